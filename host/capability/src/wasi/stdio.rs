//! Standard output and error, as lines of the run's log.

use remit_gate::{Fault, Gate};
use wasmtime::component::Resource as Handle;

use super::io::{Input, Output, Terminal};
use crate::Ctx;
use crate::bindings::wasi::cli::{
    stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout,
};
use crate::host::{Level, write};

/// Standard output is what happens; standard error is what a person should look at.
pub(super) const OUT: Level = Level::Info;
pub(super) const ERR: Level = Level::Warn;

/// A line longer than this, in bytes, is logged in pieces, so that the host's buffer stays small.
const MAX_LINE: usize = 4096;

/// Text on its way to the log: what came after the last line feed.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    async fn push(&mut self, mut bytes: &[u8], level: Level, gate: &Gate) -> Result<(), Fault> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.fill(&bytes[..end], level, gate).await?;
            self.emit(level, gate).await?;
            bytes = &bytes[end + 1..];
        }
        self.fill(bytes, level, gate).await
    }

    async fn fill(&mut self, mut bytes: &[u8], level: Level, gate: &Gate) -> Result<(), Fault> {
        while self.0.len() + bytes.len() > MAX_LINE {
            let (now, later) = bytes.split_at(MAX_LINE - self.0.len());
            self.0.extend_from_slice(now);
            self.emit(level, gate).await?;
            bytes = later;
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    async fn emit(&mut self, level: Level, gate: &Gate) -> Result<(), Fault> {
        let line = std::mem::take(&mut self.0);
        write(gate, level, &String::from_utf8_lossy(&line)).await
    }

    pub(super) async fn finish(&mut self, level: Level, gate: &Gate) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { self.emit(level, gate).await }
    }
}

impl Ctx {
    /// Hands a guest's output to the run's log.
    pub(super) async fn print(&mut self, to: Output, bytes: &[u8]) -> wasmtime::Result<()> {
        let gate = self.gate().clone();
        let done = match to {
            Output::Out => self.wasi.out.push(bytes, OUT, &gate).await,
            Output::Err => self.wasi.err.push(bytes, ERR, &gate).await,
            Output::File(_) => return Err(super::misuse("wasi:io/streams.write", "a file is no log")),
        };
        done.map_err(wasmtime::Error::new)
    }
}

impl stdin::Host for Ctx {
    async fn get_stdin(&mut self) -> wasmtime::Result<Handle<Input>> {
        Ok(self.wasi.table.push(Input::Ended)?)
    }
}

impl stdout::Host for Ctx {
    async fn get_stdout(&mut self) -> wasmtime::Result<Handle<Output>> {
        Ok(self.wasi.table.push(Output::Out)?)
    }
}

impl stderr::Host for Ctx {
    async fn get_stderr(&mut self) -> wasmtime::Result<Handle<Output>> {
        Ok(self.wasi.table.push(Output::Err)?)
    }
}

// No stream of an action is a terminal.

impl terminal_stdin::Host for Ctx {
    async fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Handle<Terminal>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for Ctx {
    async fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Handle<Terminal>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for Ctx {
    async fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Handle<Terminal>>> {
        Ok(None)
    }
}

impl terminal_input::Host for Ctx {}
impl terminal_output::Host for Ctx {}

impl terminal_input::HostTerminalInput for Ctx {
    async fn drop(&mut self, terminal: Handle<Terminal>) -> wasmtime::Result<()> {
        self.wasi.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_output::HostTerminalOutput for Ctx {
    async fn drop(&mut self, terminal: Handle<Terminal>) -> wasmtime::Result<()> {
        self.wasi.table.delete(terminal)?;
        Ok(())
    }
}
