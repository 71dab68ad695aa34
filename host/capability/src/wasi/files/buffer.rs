//! What a run has open: the whole of each file, read once and written once.

use remit_backend::files::MAX_FILE;
use remit_gate::{Failure, Resource};
use remit_trust::Digest;

use super::{Answer, Descriptor, code};
use crate::Ctx;
use crate::bindings::wasi::filesystem::types::ErrorCode;
use crate::ctx::answered;
use crate::files::{Edit, Put};

/// Bytes of all open files together.
const MAX_OPEN: usize = 16 * 1024 * 1024;

/// Bytes of all directories together that are being read: more than the largest listing has.
const MAX_LISTED: usize = 8 * 1024 * 1024;

/// What was there when a file was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// There was no file.
    Absent,
    /// A file whose content has this digest.
    Known(Digest),
    /// A file whose content the run has not read.
    Unknown,
}

/// A file's content on its way between guest and system.
pub(super) struct Buffer {
    pub(super) resource: Resource,
    pub(super) content: Vec<u8>,
    pub(super) base: Base,
    /// Whether the guest changed it since it was read or put.
    pub(super) dirty: bool,
    /// Removed under its name; what is still written goes nowhere.
    pub(super) gone: bool,
    /// How many descriptors and streams of the guest use the buffer.
    users: usize,
}

/// All of a run's open files.
#[derive(Default)]
pub(crate) struct Buffers {
    open: Vec<Option<Buffer>>,
    /// The size in bytes of the listings that the guest has not closed.
    listed: usize,
}

/// What an action wrote did not get there, and it cannot be told any more: it has closed the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was written to {resource} could not be kept when it was closed: {failure}")]
pub struct Unwritten {
    /// The file that was not written.
    pub resource: Resource,
    /// Why it was not written.
    pub failure: Failure,
}

impl Buffers {
    pub(super) fn add(&mut self, resource: Resource, content: Vec<u8>, base: Base, dirty: bool) -> usize {
        let buffer = Some(Buffer { resource, content, base, dirty, gone: false, users: 1 });
        match self.open.iter().position(Option::is_none) {
            Some(free) => {
                self.open[free] = buffer;
                free
            }
            None => {
                self.open.push(buffer);
                self.open.len() - 1
            }
        }
    }

    pub(super) fn find(&self, resource: &Resource) -> Option<usize> {
        self.open.iter().position(|b| b.as_ref().is_some_and(|b| !b.gone && b.resource == *resource))
    }

    pub(super) fn get(&mut self, at: usize) -> wasmtime::Result<&mut Buffer> {
        let buffer = self.open.get_mut(at).and_then(Option::as_mut);
        buffer.ok_or_else(|| super::super::misuse("wasi:filesystem/types", "a file that is closed"))
    }

    pub(super) fn share(&mut self, at: usize) -> wasmtime::Result<usize> {
        self.get(at)?.users += 1;
        Ok(at)
    }

    /// The dirty ones for which `which` holds.
    fn dirty(&self, which: impl Fn(&Resource) -> bool) -> Vec<usize> {
        let wanted = |b: &Buffer| b.dirty && !b.gone && which(&b.resource);
        (0..self.open.len()).filter(|at| self.open[*at].as_ref().is_some_and(wanted)).collect()
    }

    fn size(&self) -> usize {
        self.open.iter().flatten().map(|buffer| buffer.content.len()).sum()
    }

    /// Makes room for `size` bytes in a buffer.
    fn resize(&mut self, at: usize, size: u64) -> Answer<()> {
        let Some(new) = usize::try_from(size).ok().filter(|_| size <= MAX_FILE) else {
            return Ok(Err(ErrorCode::FileTooLarge));
        };
        let others = self.size() - self.get(at)?.content.len();
        if others + new > MAX_OPEN {
            return Ok(Err(ErrorCode::InsufficientMemory));
        }
        let buffer = self.get(at)?;
        buffer.content.resize(new, 0);
        buffer.dirty = true;
        Ok(Ok(()))
    }

    /// A listing was closed.
    pub(super) fn let_go(&mut self, bytes: usize) {
        self.listed = self.listed.saturating_sub(bytes);
    }

    pub(super) fn has_room(&self, size: usize) -> bool {
        self.size().saturating_add(size) <= MAX_OPEN
    }

    pub(super) fn set_size(&mut self, at: usize, size: u64) -> Answer<()> {
        self.resize(at, size)
    }

    /// Writes at `offset`, or at the end.
    pub(crate) fn write(&mut self, at: usize, offset: Option<u64>, bytes: &[u8]) -> Answer<u64> {
        let old = self.get(at)?.content.len() as u64;
        let start = offset.unwrap_or(old);
        let end = start.saturating_add(bytes.len() as u64);
        if end > old {
            super::or_code!(self.resize(at, end)?);
        }
        let buffer = self.get(at)?;
        if let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) {
            buffer.content[from..to].copy_from_slice(bytes);
            buffer.dirty = true;
        }
        Ok(Ok(end))
    }

    /// What is at `offset`, at most `length` bytes; nothing at the end.
    pub(crate) fn read(&mut self, at: usize, offset: u64, length: u64) -> wasmtime::Result<&[u8]> {
        let content = &self.get(at)?.content;
        let clamp = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(content.len());
        Ok(&content[clamp(offset)..clamp(offset.saturating_add(length))])
    }
}

impl Ctx {
    /// Counts a listing, until it is closed.
    pub(super) fn hold(&mut self, bytes: usize, operation: &str) -> Answer<()> {
        let listed = self.wasi.files.listed.saturating_add(bytes);
        if listed > MAX_LISTED {
            return self.too_much(
                operation,
                &format!("the listings that are open hold {listed} bytes; {MAX_LISTED} are the most"),
            );
        }
        self.wasi.files.listed = listed;
        Ok(Ok(()))
    }

    /// What would take too much of the host's memory: refused, and the limit journaled.
    pub(super) fn too_much<T>(&self, operation: &str, why: &str) -> Answer<T> {
        self.gate().refuse(operation, "memory", why).map_err(wasmtime::Error::new)?;
        Ok(Err(ErrorCode::InsufficientMemory))
    }

    /// Makes what was written the file's content, if anything was.
    pub(super) async fn put_file(&mut self, at: usize) -> wasmtime::Result<Result<(), Failure>> {
        let buffer = self.wasi.files.get(at)?;
        if !buffer.dirty || buffer.gone {
            return Ok(Ok(()));
        }
        // The guest gets an error once only.
        buffer.dirty = false;
        let sha256 = Digest::of(&buffer.content);
        let (from, new) = match buffer.base {
            Base::Known(same) if same == sha256 => return Ok(Ok(())),
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
        let answer = answered(self.change(Edit(put)).await)?;
        if answer.is_ok() {
            self.wasi.files.get(at)?.base = Base::Known(sha256);
        }
        Ok(answer)
    }

    /// Puts what lies at or below a resource, before something is asked about it.
    pub(super) async fn put_below(&mut self, top: &Resource) -> Answer<()> {
        let below = |resource: &Resource| {
            let rest = resource.path().strip_prefix(top.path());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        for at in self.wasi.files.dirty(below) {
            if let Err(failure) = self.put_file(at).await? {
                return Ok(Err(code(&failure, ErrorCode::Busy)));
            }
        }
        Ok(Ok(()))
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
        match self.put_file(at).await? {
            Ok(()) => Ok(()),
            Err(failure) => Err(wasmtime::Error::new(Unwritten { resource, failure })),
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
        of: &wasmtime::component::Resource<Descriptor>,
        access: fn(read: bool, write: bool) -> bool,
    ) -> Answer<usize> {
        Ok(match self.wasi.table.get(of)? {
            Descriptor::Directory(_) => Err(ErrorCode::IsDirectory),
            Descriptor::File { buffer, read, write } if access(*read, *write) => Ok(*buffer),
            Descriptor::File { .. } => Err(ErrorCode::BadDescriptor),
        })
    }

    pub(super) fn directory(&self, of: &wasmtime::component::Resource<Descriptor>) -> Answer<Resource> {
        Ok(match self.wasi.table.get(of)? {
            Descriptor::Directory(resource) => Ok(resource.clone()),
            Descriptor::File { .. } => Err(ErrorCode::NotDirectory),
        })
    }
}
