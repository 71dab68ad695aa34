//! Streams: an input that is at its end, and outputs that are the run's log.

use wasmtime::component::Resource as Handle;

use super::misuse;
use crate::Ctx;
use crate::bindings::wasi::io::streams::StreamError;
use crate::bindings::wasi::io::{error, streams};

/// Bytes that one write may hold.
const MAX_WRITE: u64 = 64 * 1024;

/// Standard input: always at its end.
#[derive(Clone, Copy, Debug)]
pub struct Input;

/// Where output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Something to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pollable {
    /// Has happened: streams never make a guest wait.
    Ready,
    /// Happens at a moment of the monotonic clock.
    At(u64),
}

/// The error of a stream operation. None is ever made: a stream is closed, or the run ends.
#[derive(Clone, Copy, Debug)]
pub enum IoError {}

/// A terminal. None is ever made.
#[derive(Clone, Copy, Debug)]
pub enum Terminal {}

type Answer<T> = wasmtime::Result<Result<T, StreamError>>;

impl Ctx {
    async fn put(&mut self, call: &'static str, to: &Handle<Output>, bytes: &[u8]) -> Answer<()> {
        if bytes.len() as u64 > MAX_WRITE {
            return Err(misuse(
                call,
                format!("{} bytes in one write; {MAX_WRITE} were permitted", bytes.len()),
            ));
        }
        let to = *self.wasi.table.get(to)?;
        self.print(to, bytes).await.map(Ok)
    }

    async fn put_zeroes(&mut self, call: &'static str, to: &Handle<Output>, len: u64) -> Answer<()> {
        match usize::try_from(len) {
            Ok(size) if len <= MAX_WRITE => self.put(call, to, &vec![0; size]).await,
            _ => Err(misuse(call, format!("{len} bytes in one write; {MAX_WRITE} were permitted"))),
        }
    }

    fn at_end<T>(&self, input: &Handle<Input>) -> Answer<T> {
        self.wasi.table.get(input)?;
        Ok(Err(StreamError::Closed))
    }
}

impl error::Host for Ctx {}

impl error::HostError for Ctx {
    async fn to_debug_string(&mut self, error: Handle<IoError>) -> wasmtime::Result<String> {
        match *self.wasi.table.get(&error)? {}
    }

    async fn drop(&mut self, error: Handle<IoError>) -> wasmtime::Result<()> {
        match self.wasi.table.delete(error)? {}
    }
}

impl streams::Host for Ctx {}

impl streams::HostInputStream for Ctx {
    async fn read(&mut self, input: Handle<Input>, _: u64) -> Answer<Vec<u8>> {
        self.at_end(&input)
    }

    async fn blocking_read(&mut self, input: Handle<Input>, _: u64) -> Answer<Vec<u8>> {
        self.at_end(&input)
    }

    async fn skip(&mut self, input: Handle<Input>, _: u64) -> Answer<u64> {
        self.at_end(&input)
    }

    async fn blocking_skip(&mut self, input: Handle<Input>, _: u64) -> Answer<u64> {
        self.at_end(&input)
    }

    async fn subscribe(&mut self, input: Handle<Input>) -> wasmtime::Result<Handle<Pollable>> {
        Ok(self.wasi.table.push_child(Pollable::Ready, &input)?)
    }

    async fn drop(&mut self, input: Handle<Input>) -> wasmtime::Result<()> {
        self.wasi.table.delete(input)?;
        Ok(())
    }
}

impl streams::HostOutputStream for Ctx {
    async fn check_write(&mut self, output: Handle<Output>) -> Answer<u64> {
        self.wasi.table.get(&output)?;
        Ok(Ok(MAX_WRITE))
    }

    async fn write(&mut self, output: Handle<Output>, contents: Vec<u8>) -> Answer<()> {
        self.put("wasi:io/streams.write", &output, &contents).await
    }

    async fn blocking_write_and_flush(&mut self, output: Handle<Output>, contents: Vec<u8>) -> Answer<()> {
        self.put("wasi:io/streams.blocking-write-and-flush", &output, &contents).await
    }

    async fn flush(&mut self, output: Handle<Output>) -> Answer<()> {
        // The log is made of lines: an unfinished one waits for its end, or for the guest's.
        self.wasi.table.get(&output)?;
        Ok(Ok(()))
    }

    async fn blocking_flush(&mut self, output: Handle<Output>) -> Answer<()> {
        streams::HostOutputStream::flush(self, output).await
    }

    async fn subscribe(&mut self, output: Handle<Output>) -> wasmtime::Result<Handle<Pollable>> {
        Ok(self.wasi.table.push_child(Pollable::Ready, &output)?)
    }

    async fn write_zeroes(&mut self, output: Handle<Output>, len: u64) -> Answer<()> {
        self.put_zeroes("wasi:io/streams.write-zeroes", &output, len).await
    }

    async fn blocking_write_zeroes_and_flush(&mut self, output: Handle<Output>, len: u64) -> Answer<()> {
        self.put_zeroes("wasi:io/streams.blocking-write-zeroes-and-flush", &output, len).await
    }

    async fn splice(&mut self, output: Handle<Output>, from: Handle<Input>, _: u64) -> Answer<u64> {
        self.wasi.table.get(&output)?;
        self.at_end(&from)
    }

    async fn blocking_splice(&mut self, output: Handle<Output>, from: Handle<Input>, _: u64) -> Answer<u64> {
        self.wasi.table.get(&output)?;
        self.at_end(&from)
    }

    async fn drop(&mut self, output: Handle<Output>) -> wasmtime::Result<()> {
        self.wasi.table.delete(output)?;
        Ok(())
    }
}
