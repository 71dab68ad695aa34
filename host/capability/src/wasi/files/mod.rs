//! `wasi:filesystem` on the operations of [`crate::files`]. Where a scope grants no directory there is none:
//! nothing is ever opened, and no descriptor is ever made.
//!
//! A descriptor is no authority. It holds a name; each thing done by it is decided by the gate anew.

mod buffer;
mod descriptor;
mod open;
mod path;

use std::collections::VecDeque;

use remit_gate::{Failure, Operation as _, Resource};
use wasmtime::component::Resource as Handle;

pub(crate) use buffer::Buffers;
pub use buffer::Unwritten;
#[doc(hidden)]
pub use path::path_below;

use super::io::IoError;
use crate::Ctx;
use crate::bindings::wasi::filesystem::types::{DirectoryEntry, ErrorCode};
use crate::bindings::wasi::filesystem::{preopens, types};
use crate::ctx::answered;
use crate::files::GetDirectories;

/// An open file or directory.
#[derive(Clone, Debug)]
pub enum Descriptor {
    /// A directory: its name, nothing more.
    Directory(Resource),
    /// A file: which of the run's buffers holds it.
    File {
        /// The index of the file's buffer.
        buffer: usize,
        /// Whether it was opened for reading.
        read: bool,
        /// Whether it was opened for writing.
        write: bool,
    },
}

/// A directory that is being read.
#[derive(Debug)]
pub struct DirectoryEntryStream {
    entries: VecDeque<DirectoryEntry>,
    /// Bytes of memory that it was counted as; see [`Buffers`].
    held: usize,
}

type Answer<T> = wasmtime::Result<Result<T, ErrorCode>>;

/// The error code of a failure; `conflict` is what a conflict means to the caller.
fn code(failure: &Failure, conflict: ErrorCode) -> ErrorCode {
    match failure {
        Failure::Denied(_) => ErrorCode::Access,
        Failure::NotFound(_) => ErrorCode::NoEntry,
        Failure::Conflict(_) => conflict,
        Failure::Invalid(_) => ErrorCode::Invalid,
        Failure::Unavailable(_) => ErrorCode::Io,
    }
}

/// Takes the value out of an [`Answer`], or gives the error code to the guest.
macro_rules! or_code {
    ($asked:expr) => {
        match $asked {
            Ok(value) => value,
            Err(code) => return Ok(Err(code)),
        }
    };
}
use or_code;

impl preopens::Host for Ctx {
    async fn get_directories(&mut self) -> wasmtime::Result<Vec<(Handle<Descriptor>, String)>> {
        if !self.gate().offers::<GetDirectories>() {
            return Ok(Vec::new());
        }
        let names = answered(self.observe(GetDirectories {}).await)?.unwrap_or_default();
        let mut directories = Vec::new();
        for name in names {
            let resource = Resource::new(remit_backend::files::KIND, &name)
                .map_err(|error| super::misuse(GetDirectories::NAME, error.to_string()))?;
            let handle = self.wasi.table.push(Descriptor::Directory(resource))?;
            directories.push((handle, format!("/{name}")));
        }
        Ok(directories)
    }
}

impl types::Host for Ctx {
    async fn filesystem_error_code(&mut self, error: Handle<IoError>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(Some(self.wasi.table.get(&error)?.0))
    }
}

impl types::HostDirectoryEntryStream for Ctx {
    async fn read_directory_entry(
        &mut self,
        of: Handle<DirectoryEntryStream>,
    ) -> Answer<Option<DirectoryEntry>> {
        Ok(Ok(self.wasi.table.get_mut(&of)?.entries.pop_front()))
    }

    async fn drop(&mut self, of: Handle<DirectoryEntryStream>) -> wasmtime::Result<()> {
        let closed = self.wasi.table.delete(of)?;
        self.wasi.files.let_go(closed.held);
        Ok(())
    }
}
