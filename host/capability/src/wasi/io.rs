//! Streams: an input that is at its end, outputs that are the run's log, and the content of files.

use wasmtime::component::Resource as Handle;

use super::error::misuse;
use super::handle::{Input, Output, Place, Pollable};
use crate::Ctx;
use crate::bindings::StreamError;
use crate::bindings::wasi::filesystem::types::ErrorCode;
use crate::bindings::wasi::io::{error, streams};

/// Bytes that one write may hold.
const MAX_WRITE: u64 = 64 * 1024;

type Answer<T> = Result<T, StreamError>;

impl Ctx {
    async fn put(&mut self, call: &'static str, to: &Handle<Output>, bytes: &[u8]) -> Answer<()> {
        if bytes.len() as u64 > MAX_WRITE {
            return Err(too_long(call, bytes.len() as u64).into());
        }
        let output = *self.wasi.table.get(to)?;
        let Output::File(Place { buffer, at }) = output else {
            return Ok(self.print(output, bytes).await?);
        };
        match self.wasi.files.write(buffer, at, bytes) {
            Ok(end) => {
                *self.wasi.table.get_mut(to)? = Output::File(Place { buffer, at: at.map(|_| end) });
                Ok(())
            }
            Err(error) => {
                let error = self.wasi.table.push(error.failure()?)?;
                Err(streams::StreamError::LastOperationFailed(error).into())
            }
        }
    }

    async fn put_zeroes(&mut self, call: &'static str, to: &Handle<Output>, len: u64) -> Answer<()> {
        match usize::try_from(len) {
            Ok(size) if len <= MAX_WRITE => self.put(call, to, &vec![0; size]).await,
            _ => Err(too_long(call, len).into()),
        }
    }

    fn take(&mut self, input: &Handle<Input>, most: u64) -> Answer<Vec<u8>> {
        let Input::File(Place { buffer, at: Some(at) }) = *self.wasi.table.get(input)? else {
            return Err(streams::StreamError::Closed.into());
        };
        let bytes = self.wasi.files.read(buffer, at, most.min(MAX_WRITE))?.to_vec();
        if bytes.is_empty() && most > 0 {
            return Err(streams::StreamError::Closed.into());
        }
        let at = Some(at.saturating_add(bytes.len() as u64));
        *self.wasi.table.get_mut(input)? = Input::File(Place { buffer, at });
        Ok(bytes)
    }

    async fn pass_on(
        &mut self,
        call: &'static str,
        output: &Handle<Output>,
        from: &Handle<Input>,
        most: u64,
    ) -> Answer<u64> {
        let bytes = self.take(from, most)?;
        self.put(call, output, &bytes).await?;
        Ok(bytes.len() as u64)
    }
}

fn too_long(call: &'static str, len: u64) -> wasmtime::Error {
    misuse(call, format!("{len} bytes in one write; {MAX_WRITE} were permitted"))
}

impl error::Host for Ctx {}

impl error::HostError for Ctx {
    async fn to_debug_string(&mut self, error: Handle<ErrorCode>) -> wasmtime::Result<String> {
        Ok(self.wasi.table.get(&error)?.to_string())
    }

    async fn drop(&mut self, error: Handle<ErrorCode>) -> wasmtime::Result<()> {
        self.wasi.table.delete(error)?;
        Ok(())
    }
}

impl streams::Host for Ctx {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        error.failure()
    }
}

impl streams::HostInputStream for Ctx {
    async fn read(&mut self, input: Handle<Input>, most: u64) -> Answer<Vec<u8>> {
        self.take(&input, most)
    }

    async fn blocking_read(&mut self, input: Handle<Input>, most: u64) -> Answer<Vec<u8>> {
        self.take(&input, most)
    }

    async fn skip(&mut self, input: Handle<Input>, most: u64) -> Answer<u64> {
        Ok(self.take(&input, most)?.len() as u64)
    }

    async fn blocking_skip(&mut self, input: Handle<Input>, most: u64) -> Answer<u64> {
        Ok(self.take(&input, most)?.len() as u64)
    }

    async fn subscribe(&mut self, input: Handle<Input>) -> wasmtime::Result<Handle<Pollable>> {
        Ok(self.wasi.table.push_child(Pollable::Ready, &input)?)
    }

    async fn drop(&mut self, input: Handle<Input>) -> wasmtime::Result<()> {
        match self.wasi.table.delete(input)? {
            Input::Ended => Ok(()),
            Input::File(place) => self.leave(place.buffer).await,
        }
    }
}

impl streams::HostOutputStream for Ctx {
    async fn check_write(&mut self, output: Handle<Output>) -> Answer<u64> {
        self.wasi.table.get(&output)?;
        Ok(MAX_WRITE)
    }

    async fn write(&mut self, output: Handle<Output>, contents: Vec<u8>) -> Answer<()> {
        self.put("wasi:io/streams.write", &output, &contents).await
    }

    async fn blocking_write_and_flush(&mut self, output: Handle<Output>, contents: Vec<u8>) -> Answer<()> {
        self.put("wasi:io/streams.blocking-write-and-flush", &output, &contents).await
    }

    async fn flush(&mut self, output: Handle<Output>) -> Answer<()> {
        // The log is made of lines: an unfinished one waits for its end, or for the guest's. A file is put
        // when it is synced or closed.
        self.wasi.table.get(&output)?;
        Ok(())
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

    async fn splice(&mut self, output: Handle<Output>, from: Handle<Input>, most: u64) -> Answer<u64> {
        self.pass_on("wasi:io/streams.splice", &output, &from, most).await
    }

    async fn blocking_splice(
        &mut self,
        output: Handle<Output>,
        from: Handle<Input>,
        most: u64,
    ) -> Answer<u64> {
        self.pass_on("wasi:io/streams.blocking-splice", &output, &from, most).await
    }

    async fn drop(&mut self, output: Handle<Output>) -> wasmtime::Result<()> {
        match self.wasi.table.delete(output)? {
            Output::Out | Output::Err => Ok(()),
            Output::File(place) => self.leave(place.buffer).await,
        }
    }
}
