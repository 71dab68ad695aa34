//! Opening, renaming, removing.

use remit_backend::files::{Is, Odd};
use remit_gate::{Operation as _, Resource};
use remit_trust::Digest;

use super::super::error::code;
use super::super::handle::Descriptor;
use super::buffer::Base;
use crate::Ctx;
use crate::bindings::FileError;
use crate::bindings::wasi::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags};
use crate::files::{Edit, Find, Kind, Look, Put, Read, Remove};

/// The error code for something that a run may not touch.
fn odd(what: Odd) -> ErrorCode {
    match what {
        Odd::SymbolicLink => ErrorCode::Loop,
        Odd::TooLarge => ErrorCode::FileTooLarge,
        Odd::Special | Odd::HardLink | Odd::Attributes | Odd::Blocked => ErrorCode::NotPermitted,
    }
}

type Answer<T> = Result<T, FileError>;

impl Ctx {
    /// What there is, as the power to read tells it.
    pub(super) async fn look(&mut self, resource: &Resource) -> Answer<Is> {
        let looked = self.observe(Look { resource: resource.clone() }).await;
        match looked.map_err(code(ErrorCode::Busy))? {
            Is::Other { what } => Err(odd(what).into()),
            is => Ok(is),
        }
    }

    async fn find(&mut self, resource: &Resource) -> Answer<Kind> {
        let found = self.observe(Find { resource: resource.clone() }).await;
        match found.map_err(code(ErrorCode::Busy))? {
            Kind::Other => Err(ErrorCode::NotPermitted.into()),
            kind => Ok(kind),
        }
    }

    async fn content(&mut self, resource: &Resource, sha256: Digest, size: u64) -> Answer<Vec<u8>> {
        if !usize::try_from(size).is_ok_and(|size| self.wasi.files.has_room(size)) {
            return Err(self.too_much(
                Read::NAME,
                &format!(
                    "the files that are open and this one of {size} bytes are over the most for one run"
                ),
            ));
        }
        let read = self.observe(Read { resource: resource.clone(), sha256 }).await;
        Ok(read.map_err(code(ErrorCode::Busy))?.0)
    }

    pub(super) async fn open(
        &mut self,
        resource: Resource,
        how: OpenFlags,
        access: DescriptorFlags,
    ) -> Answer<Descriptor> {
        let (create, truncate) = (how.contains(OpenFlags::CREATE), how.contains(OpenFlags::TRUNCATE));
        let exclusive = create && how.contains(OpenFlags::EXCLUSIVE);
        let write = access.contains(DescriptorFlags::WRITE) || create || truncate;
        // If the file is to be overwritten or must not exist, only its existence needs to be known.
        let whole = !truncate && !exclusive;
        let read = access.contains(DescriptorFlags::READ) || !write;
        let mut kind = None;
        if write {
            kind = Some(self.find(&resource).await?);
        }
        let mut known = None;
        if whole {
            let is = self.look(&resource).await?;
            kind = Some(match &is {
                Is::Absent => Kind::Absent,
                Is::Directory { .. } => Kind::Directory,
                _ => Kind::File,
            });
            known = Some(is);
        }
        let file = |buffer| Ok(Descriptor::File { buffer, read, write });
        if let Some(open) = self.wasi.files.find(&resource) {
            if exclusive {
                return Err(ErrorCode::Exist.into());
            }
            if truncate {
                self.wasi.files.resize(open, 0)?;
            }
            return file(self.wasi.files.share(open)?);
        }
        let directory = how.contains(OpenFlags::DIRECTORY);
        match kind {
            _ if exclusive && kind != Some(Kind::Absent) => Err(ErrorCode::Exist.into()),
            Some(Kind::Directory) if write => Err(ErrorCode::IsDirectory.into()),
            Some(Kind::Directory) => Ok(Descriptor::Directory(resource)),
            Some(Kind::File) if directory => Err(ErrorCode::NotDirectory.into()),
            Some(Kind::File) => {
                let (content, base) = match known {
                    Some(Is::File { sha256, size, .. }) => {
                        (self.content(&resource, sha256, size).await?, Base::Known(sha256))
                    }
                    _ => (Vec::new(), Base::Unknown),
                };
                let dirty = base == Base::Unknown;
                file(self.wasi.files.add(resource, content, base, dirty))
            }
            _ if !create || directory => Err(ErrorCode::NoEntry.into()),
            _ => file(self.wasi.files.add(resource, Vec::new(), Base::Absent, true)),
        }
    }

    /// There is no operation on two resources: a file is put under its new name, then removed under its old
    /// one, and the scope must allow both.
    pub(super) async fn rename(&mut self, from: Resource, to: Resource) -> Answer<()> {
        if from == to {
            return Ok(());
        }
        if self.wasi.files.find(&from).is_some() || self.wasi.files.find(&to).is_some() {
            return Err(ErrorCode::Busy.into());
        }
        let (sha256, size) = match self.look(&from).await? {
            Is::File { sha256, size, .. } => (sha256, size),
            Is::Absent => return Err(ErrorCode::NoEntry.into()),
            _ => return Err(ErrorCode::Unsupported.into()),
        };
        let content = self.content(&from, sha256, size).await?;
        let like = Some(from.clone());
        let put = Put { resource: to, sha256, size, from: None, new: false, like, content };
        self.change(Edit(put)).await.map_err(code(ErrorCode::Busy))?;
        self.change(Edit(Remove { resource: from })).await.map_err(code(ErrorCode::Busy))
    }

    pub(super) async fn remove(&mut self, resource: Resource) -> Answer<()> {
        self.put_below(&resource).await?;
        let open = self.wasi.files.find(&resource);
        self.change(Edit(Remove { resource })).await.map_err(code(ErrorCode::NotPermitted))?;
        if let Some(open) = open {
            self.wasi.files.get(open)?.gone = true;
        }
        Ok(())
    }
}
