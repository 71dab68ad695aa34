//! Standard output and error, as lines of the run's log.

use remit_gate::Fault;
use wasmtime::component::Resource as Handle;

use super::error::misuse;
use super::handle::{Input, Output, Terminal};
use crate::Ctx;
use crate::bindings::wasi::cli::{
    stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout,
};
use crate::host::{Level, write};

/// Standard output is what happens; standard error is what a person should look at.
const OUT: Level = Level::Info;
const ERR: Level = Level::Warn;

impl Ctx {
    /// Ends the run's standard streams: a last line without its line feed still goes to the log. Called
    /// after each export of the guest has returned or trapped.
    pub async fn finish(&mut self) -> Result<(), Fault> {
        for (line, level) in [(self.wasi.out.last(), OUT), (self.wasi.err.last(), ERR)] {
            if let Some(line) = line {
                write(self.gate(), level, &line).await?;
            }
        }
        Ok(())
    }

    /// Hands a guest's output to the run's log.
    pub(super) async fn print(&mut self, to: Output, mut bytes: &[u8]) -> wasmtime::Result<()> {
        loop {
            let (lines, level) = match to {
                Output::Out => (&mut self.wasi.out, OUT),
                Output::Err => (&mut self.wasi.err, ERR),
                Output::File(_) => return Err(misuse("wasi:io/streams.write", "a file is no log")),
            };
            let Some(line) = lines.next(&mut bytes) else { return Ok(()) };
            write(self.gate(), level, &line).await.map_err(wasmtime::Error::new)?;
        }
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
