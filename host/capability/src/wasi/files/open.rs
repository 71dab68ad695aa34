//! Opening, renaming, removing.

use remit_backend::files::{Is, Odd};
use remit_gate::{Operation as _, Resource};
use remit_trust::Digest;

use super::buffer::Base;
use super::{Answer, Descriptor, code, or_code};
use crate::Ctx;
use crate::bindings::wasi::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags};
use crate::ctx::answered;
use crate::files::{Edit, Find, Kind, Look, Put, Read, Remove};

/// The error code for something that a run may not touch.
fn odd(what: Odd) -> ErrorCode {
    match what {
        Odd::SymbolicLink => ErrorCode::Loop,
        Odd::TooLarge => ErrorCode::FileTooLarge,
        Odd::Special | Odd::HardLink | Odd::Attributes | Odd::Blocked => ErrorCode::NotPermitted,
    }
}

impl Ctx {
    /// What there is, as the power to read tells it.
    pub(super) async fn look(&mut self, resource: &Resource) -> Answer<Is> {
        let looked = answered(self.observe(Look { resource: resource.clone() }).await)?;
        Ok(match looked {
            Ok(Is::Other { what }) => Err(odd(what)),
            Ok(is) => Ok(is),
            Err(failure) => Err(code(&failure, ErrorCode::Busy)),
        })
    }

    async fn find(&mut self, resource: &Resource) -> Answer<Kind> {
        let found = answered(self.observe(Find { resource: resource.clone() }).await)?;
        Ok(match found {
            Ok(Kind::Other) => Err(ErrorCode::NotPermitted),
            Ok(kind) => Ok(kind),
            Err(failure) => Err(code(&failure, ErrorCode::Busy)),
        })
    }

    async fn content(&mut self, resource: &Resource, sha256: Digest, size: u64) -> Answer<Vec<u8>> {
        if !usize::try_from(size).is_ok_and(|size| self.wasi.files.has_room(size)) {
            return self.too_much(
                Read::NAME,
                &format!(
                    "the files that are open and this one of {size} bytes are over the most for one run"
                ),
            );
        }
        let read = answered(self.observe(Read { resource: resource.clone(), sha256 }).await)?;
        Ok(read.map(|content| content.0).map_err(|failure| code(&failure, ErrorCode::Busy)))
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
            kind = Some(or_code!(self.find(&resource).await?));
        }
        let mut known = None;
        if whole {
            let is = or_code!(self.look(&resource).await?);
            kind = Some(match &is {
                Is::Absent => Kind::Absent,
                Is::Directory { .. } => Kind::Directory,
                _ => Kind::File,
            });
            known = Some(is);
        }
        let file = |buffer| Ok(Ok(Descriptor::File { buffer, read, write }));
        if let Some(open) = self.wasi.files.find(&resource) {
            if exclusive {
                return Ok(Err(ErrorCode::Exist));
            }
            if truncate {
                or_code!(self.wasi.files.set_size(open, 0)?);
            }
            return file(self.wasi.files.share(open)?);
        }
        let directory = how.contains(OpenFlags::DIRECTORY);
        match kind {
            _ if exclusive && kind != Some(Kind::Absent) => Ok(Err(ErrorCode::Exist)),
            Some(Kind::Directory) if write => Ok(Err(ErrorCode::IsDirectory)),
            Some(Kind::Directory) => Ok(Ok(Descriptor::Directory(resource))),
            Some(Kind::File) if directory => Ok(Err(ErrorCode::NotDirectory)),
            Some(Kind::File) => {
                let (content, base) = match known {
                    Some(Is::File { sha256, size, .. }) => {
                        (or_code!(self.content(&resource, sha256, size).await?), Base::Known(sha256))
                    }
                    _ => (Vec::new(), Base::Unknown),
                };
                let dirty = base == Base::Unknown;
                file(self.wasi.files.add(resource, content, base, dirty))
            }
            _ if !create || directory => Ok(Err(ErrorCode::NoEntry)),
            _ => file(self.wasi.files.add(resource, Vec::new(), Base::Absent, true)),
        }
    }

    /// There is no operation on two resources: a file is put under its new name, then removed under its old
    /// one, and the scope must allow both.
    pub(super) async fn rename(&mut self, from: Resource, to: Resource) -> Answer<()> {
        if from == to {
            return Ok(Ok(()));
        }
        if self.wasi.files.find(&from).is_some() || self.wasi.files.find(&to).is_some() {
            return Ok(Err(ErrorCode::Busy));
        }
        let (sha256, size) = match or_code!(self.look(&from).await?) {
            Is::File { sha256, size, .. } => (sha256, size),
            Is::Absent => return Ok(Err(ErrorCode::NoEntry)),
            _ => return Ok(Err(ErrorCode::Unsupported)),
        };
        let content = or_code!(self.content(&from, sha256, size).await?);
        let like = Some(from.clone());
        let put = Put { resource: to, sha256, size, from: None, new: false, like, content };
        if let Err(failure) = answered(self.change(Edit(put)).await)? {
            return Ok(Err(code(&failure, ErrorCode::Busy)));
        }
        let removed = answered(self.change(Edit(Remove { resource: from })).await)?;
        Ok(removed.map_err(|failure| code(&failure, ErrorCode::Busy)))
    }

    pub(super) async fn remove(&mut self, resource: Resource) -> Answer<()> {
        or_code!(self.put_below(&resource).await?);
        let open = self.wasi.files.find(&resource);
        if let Err(failure) = answered(self.change(Edit(Remove { resource })).await)? {
            return Ok(Err(code(&failure, ErrorCode::NotPermitted)));
        }
        if let Some(open) = open {
            self.wasi.files.get(open)?.gone = true;
        }
        Ok(Ok(()))
    }
}
