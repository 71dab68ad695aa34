//! Putting what a run wrote, and how much it may hold.

use remit_gate::Resource;
use remit_trust::Digest;
use wasmtime::component::Resource as Handle;

use super::super::error::{Unwritten, code};
use super::super::handle::Descriptor;
use super::buffer::{Base, MAX_LISTED};
use crate::bindings::FileError;
use crate::bindings::wasi::filesystem::types::ErrorCode;
use crate::files::{Edit, Put};
use crate::{CallError, Ctx};

impl Ctx {
    /// Counts a listing, until it is closed.
    pub(super) fn hold(&mut self, bytes: usize, operation: &str) -> Result<(), FileError> {
        let listed = self.wasi.files.listed.saturating_add(bytes);
        if listed > MAX_LISTED {
            return Err(self.too_much(
                operation,
                &format!("the listings that are open hold {listed} bytes; {MAX_LISTED} are the most"),
            ));
        }
        self.wasi.files.listed = listed;
        Ok(())
    }

    /// What would take too much of the host's memory: refused, and the limit journaled.
    pub(super) fn too_much(&self, operation: &str, why: &str) -> FileError {
        let refused = self.gate().refuse(operation, "memory", why);
        refused.map_or_else(FileError::from, |_| ErrorCode::InsufficientMemory.into())
    }

    /// Makes what was written the file's content, if anything was.
    pub(super) async fn put_file(&mut self, at: usize) -> Result<(), CallError> {
        let buffer = self.wasi.files.get(at)?;
        if !buffer.dirty || buffer.gone {
            return Ok(());
        }
        // The guest gets an error once only.
        buffer.dirty = false;
        let sha256 = Digest::of(&buffer.content);
        let (from, new) = match buffer.base {
            Base::Known(same) if same == sha256 => return Ok(()),
            Base::Known(from) => (Some(from), false),
            Base::Absent => (None, true),
            Base::Unknown => (None, false),
        };
        let put = Put {
            resource: buffer.resource.clone(),
            sha256,
            size: buffer.content.len() as u64,
            from,
            new,
            like: None,
            content: buffer.content.clone(),
        };
        self.change(Edit(put)).await?;
        self.wasi.files.get(at)?.base = Base::Known(sha256);
        Ok(())
    }

    /// Puts what lies at or below a resource, before something is asked about it.
    pub(super) async fn put_below(&mut self, top: &Resource) -> Result<(), FileError> {
        let below = |resource: &Resource| {
            let rest = resource.path().strip_prefix(top.path());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        for at in self.wasi.files.dirty(below) {
            self.put_file(at).await.map_err(code(ErrorCode::Busy))?;
        }
        Ok(())
    }

    /// One user less; the last one's leaving puts what was written.
    pub(crate) async fn leave(&mut self, at: usize) -> wasmtime::Result<()> {
        let buffer = self.wasi.files.get(at)?;
        if buffer.users > 1 {
            buffer.users -= 1;
            return Ok(());
        }
        let put = self.keep(at).await;
        self.wasi.files.open[at] = None;
        put
    }

    async fn keep(&mut self, at: usize) -> wasmtime::Result<()> {
        let resource = self.wasi.files.get(at)?.resource.clone();
        match self.put_file(at).await {
            Ok(()) => Ok(()),
            Err(error) => Err(wasmtime::Error::new(Unwritten { resource, failure: error.failure()? })),
        }
    }

    /// Puts what an action wrote and left open. Called when an export of it has returned what it should.
    pub async fn close(&mut self) -> wasmtime::Result<()> {
        for at in self.wasi.files.dirty(|_| true) {
            self.keep(at).await?;
        }
        Ok(())
    }

    pub(super) fn buffer_of(
        &self,
        of: &Handle<Descriptor>,
        access: fn(read: bool, write: bool) -> bool,
    ) -> Result<usize, FileError> {
        match self.wasi.table.get(of)? {
            Descriptor::Directory(_) => Err(ErrorCode::IsDirectory.into()),
            Descriptor::File { buffer, read, write } if access(*read, *write) => Ok(*buffer),
            Descriptor::File { .. } => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    pub(super) fn directory(&self, of: &Handle<Descriptor>) -> Result<Resource, FileError> {
        match self.wasi.table.get(of)? {
            Descriptor::Directory(resource) => Ok(resource.clone()),
            Descriptor::File { .. } => Err(ErrorCode::NotDirectory.into()),
        }
    }
}
