//! What a run has open: the whole of each file, read once and written once.

use remit_backend::files::MAX_FILE;
use remit_gate::Resource;
use remit_trust::Digest;

use super::super::error::misuse;
use crate::bindings::FileError;
use crate::bindings::wasi::filesystem::types::ErrorCode;

/// Bytes of all open files together.
const MAX_OPEN: usize = 16 * 1024 * 1024;

/// Bytes of all directories together that are being read: more than the largest listing has.
pub(super) const MAX_LISTED: usize = 8 * 1024 * 1024;

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
    pub(super) users: usize,
}

/// All of a run's open files.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(super) open: Vec<Option<Buffer>>,
    /// The size in bytes of the listings that the guest has not closed.
    pub(super) listed: usize,
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
        buffer.ok_or_else(|| misuse("wasi:filesystem/types", "a file that is closed"))
    }

    pub(super) fn share(&mut self, at: usize) -> wasmtime::Result<usize> {
        self.get(at)?.users += 1;
        Ok(at)
    }

    /// The dirty ones for which `which` holds.
    pub(super) fn dirty(&self, which: impl Fn(&Resource) -> bool) -> Vec<usize> {
        let wanted = |b: &Buffer| b.dirty && !b.gone && which(&b.resource);
        (0..self.open.len()).filter(|at| self.open[*at].as_ref().is_some_and(wanted)).collect()
    }

    fn size(&self) -> usize {
        self.open.iter().flatten().map(|buffer| buffer.content.len()).sum()
    }

    /// Makes the content of a buffer `size` bytes long.
    pub(super) fn resize(&mut self, at: usize, size: u64) -> Result<(), FileError> {
        let Some(new) = usize::try_from(size).ok().filter(|_| size <= MAX_FILE) else {
            return Err(ErrorCode::FileTooLarge.into());
        };
        let others = self.size() - self.get(at)?.content.len();
        if others + new > MAX_OPEN {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let buffer = self.get(at)?;
        buffer.content.resize(new, 0);
        buffer.dirty = true;
        Ok(())
    }

    /// A listing was closed.
    pub(super) fn let_go(&mut self, bytes: usize) {
        self.listed = self.listed.saturating_sub(bytes);
    }

    pub(super) fn has_room(&self, size: usize) -> bool {
        self.size().saturating_add(size) <= MAX_OPEN
    }

    /// Writes at `offset`, or at the end.
    pub(crate) fn write(&mut self, at: usize, offset: Option<u64>, bytes: &[u8]) -> Result<u64, FileError> {
        let old = self.get(at)?.content.len() as u64;
        let start = offset.unwrap_or(old);
        let end = start.saturating_add(bytes.len() as u64);
        if end > old {
            self.resize(at, end)?;
        }
        let buffer = self.get(at)?;
        if let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) {
            buffer.content[from..to].copy_from_slice(bytes);
            buffer.dirty = true;
        }
        Ok(end)
    }

    /// What is at `offset`, at most `length` bytes; nothing at the end.
    pub(crate) fn read(&mut self, at: usize, offset: u64, length: u64) -> wasmtime::Result<&[u8]> {
        let content = &self.get(at)?.content;
        let clamp = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(content.len());
        Ok(&content[clamp(offset)..clamp(offset.saturating_add(length))])
    }
}
