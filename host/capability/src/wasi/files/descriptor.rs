//! What can be done with a descriptor.

use remit_gate::{Operation as _, Resource};
use remit_trust::Digest;
use wasmtime::component::Resource as Handle;

use super::super::error::code;
use super::super::handle::{Descriptor, DirectoryEntryStream, Input, Output, Place};
use crate::bindings::FileError;
use crate::bindings::wasi::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, HostDescriptor, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};
use crate::files::{Edit, List, Look, MakeDirectory, Put, Remove, RemoveDirectory};
use crate::{CallError, Ctx};

type Answer<T> = Result<T, FileError>;

/// Bytes that one read gives at most.
const MAX_READ: u64 = 64 * 1024;

fn stat_of(kind: DescriptorType, size: u64) -> DescriptorStat {
    DescriptorStat {
        type_: kind,
        link_count: 1,
        size,
        data_access_timestamp: None,
        data_modification_timestamp: None,
        status_change_timestamp: None,
    }
}

/// A number for a name: two names are never one file here.
fn identity(of: &Resource) -> MetadataHashValue {
    let digest = Digest::of(of.as_str().as_bytes());
    let half = |from: usize| digest.as_bytes()[from..from + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
    MetadataHashValue { lower: half(0), upper: half(8) }
}

impl Ctx {
    fn name_of(&mut self, of: &Handle<Descriptor>) -> wasmtime::Result<Resource> {
        Ok(match self.wasi.table.get(of)?.clone() {
            Descriptor::Directory(resource) => resource,
            Descriptor::File { buffer, .. } => self.wasi.files.get(buffer)?.resource.clone(),
        })
    }

    async fn synced(&mut self, of: &Handle<Descriptor>) -> Answer<()> {
        if let Descriptor::File { buffer, .. } = *self.wasi.table.get(of)? {
            self.put_file(buffer).await.map_err(code(ErrorCode::Busy))?;
        }
        Ok(())
    }

    fn output(&mut self, of: &Handle<Descriptor>, at: Option<u64>) -> Answer<Handle<Output>> {
        let buffer = self.buffer_of(of, |_, write| write)?;
        let buffer = self.wasi.files.share(buffer)?;
        Ok(self.wasi.table.push(Output::File(Place { buffer, at }))?)
    }
}

impl HostDescriptor for Ctx {
    async fn read_via_stream(&mut self, of: Handle<Descriptor>, at: u64) -> Answer<Handle<Input>> {
        let buffer = self.buffer_of(&of, |read, _| read)?;
        let buffer = self.wasi.files.share(buffer)?;
        Ok(self.wasi.table.push(Input::File(Place { buffer, at: Some(at) }))?)
    }

    async fn write_via_stream(&mut self, of: Handle<Descriptor>, at: u64) -> Answer<Handle<Output>> {
        self.output(&of, Some(at))
    }

    async fn append_via_stream(&mut self, of: Handle<Descriptor>) -> Answer<Handle<Output>> {
        self.output(&of, None)
    }

    async fn advise(&mut self, of: Handle<Descriptor>, _: u64, _: u64, _: Advice) -> Answer<()> {
        // Advice may be ignored, and is.
        self.wasi.table.get(&of)?;
        Ok(())
    }

    async fn sync_data(&mut self, of: Handle<Descriptor>) -> Answer<()> {
        self.synced(&of).await
    }

    async fn sync(&mut self, of: Handle<Descriptor>) -> Answer<()> {
        self.synced(&of).await
    }

    async fn get_flags(&mut self, of: Handle<Descriptor>) -> Answer<DescriptorFlags> {
        Ok(match self.wasi.table.get(&of)? {
            Descriptor::Directory(_) => DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
            Descriptor::File { read, write, .. } => {
                let when = |held: bool, flag| if held { flag } else { DescriptorFlags::empty() };
                when(*read, DescriptorFlags::READ) | when(*write, DescriptorFlags::WRITE)
            }
        })
    }

    async fn get_type(&mut self, of: Handle<Descriptor>) -> Answer<DescriptorType> {
        Ok(match self.wasi.table.get(&of)? {
            Descriptor::Directory(_) => DescriptorType::Directory,
            Descriptor::File { .. } => DescriptorType::RegularFile,
        })
    }

    async fn set_size(&mut self, of: Handle<Descriptor>, size: u64) -> Answer<()> {
        let buffer = self.buffer_of(&of, |_, write| write).map_err(|error| match error {
            CallError::Failure(ErrorCode::BadDescriptor) => ErrorCode::Invalid.into(),
            other => other,
        })?;
        self.wasi.files.resize(buffer, size)
    }

    async fn set_times(&mut self, of: Handle<Descriptor>, _: NewTimestamp, _: NewTimestamp) -> Answer<()> {
        let name = self.name_of(&of)?;
        self.unsupported("wasi:filesystem/types.set-times", name.path())
    }

    async fn read(&mut self, of: Handle<Descriptor>, length: u64, at: u64) -> Answer<(Vec<u8>, bool)> {
        let buffer = self.buffer_of(&of, |read, _| read)?;
        let bytes = self.wasi.files.read(buffer, at, length.min(MAX_READ))?.to_vec();
        let end = self.wasi.files.get(buffer)?.content.len() as u64;
        let ends = at.saturating_add(bytes.len() as u64) >= end;
        Ok((bytes, ends))
    }

    async fn write(&mut self, of: Handle<Descriptor>, bytes: Vec<u8>, at: u64) -> Answer<u64> {
        let buffer = self.buffer_of(&of, |_, write| write)?;
        self.wasi.files.write(buffer, Some(at), &bytes)?;
        Ok(bytes.len() as u64)
    }

    async fn read_directory(&mut self, of: Handle<Descriptor>) -> Answer<Handle<DirectoryEntryStream>> {
        let resource = self.directory(&of)?;
        self.put_below(&resource).await?;
        let entries = self.observe(List { resource }).await.map_err(code(ErrorCode::NotDirectory))?;
        let held = entries.iter().map(|entry| size_of_val(entry) + entry.name.len()).sum();
        self.hold(held, List::NAME)?;
        Ok(self.wasi.table.push(DirectoryEntryStream { entries: entries.into(), held })?)
    }

    async fn create_directory_at(&mut self, of: Handle<Descriptor>, path: String) -> Answer<()> {
        let directory = self.directory(&of)?;
        let resource = self.named::<Edit<MakeDirectory>>(&directory, &path)?;
        self.change(Edit(MakeDirectory { resource })).await.map_err(code(ErrorCode::Exist))
    }

    async fn stat(&mut self, of: Handle<Descriptor>) -> Answer<DescriptorStat> {
        Ok(match *self.wasi.table.get(&of)? {
            Descriptor::Directory(_) => stat_of(DescriptorType::Directory, 0),
            Descriptor::File { buffer, .. } => {
                let size = self.wasi.files.get(buffer)?.content.len() as u64;
                stat_of(DescriptorType::RegularFile, size)
            }
        })
    }

    async fn stat_at(
        &mut self,
        of: Handle<Descriptor>,
        _: PathFlags,
        path: String,
    ) -> Answer<DescriptorStat> {
        use remit_backend::files::Is;
        let directory = self.directory(&of)?;
        let resource = self.named::<Look>(&directory, &path)?;
        self.put_below(&resource).await?;
        match self.look(&resource).await? {
            Is::File { size, .. } => Ok(stat_of(DescriptorType::RegularFile, size)),
            Is::Directory { .. } => Ok(stat_of(DescriptorType::Directory, 0)),
            _ => Err(ErrorCode::NoEntry.into()),
        }
    }

    async fn set_times_at(
        &mut self,
        of: Handle<Descriptor>,
        _: PathFlags,
        path: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> Answer<()> {
        self.directory(&of)?;
        self.unsupported("wasi:filesystem/types.set-times-at", &path)
    }

    async fn link_at(
        &mut self,
        of: Handle<Descriptor>,
        _: PathFlags,
        _: String,
        _: Handle<Descriptor>,
        to: String,
    ) -> Answer<()> {
        self.directory(&of)?;
        self.unsupported("wasi:filesystem/types.link-at", &to)
    }

    async fn open_at(
        &mut self,
        of: Handle<Descriptor>,
        _: PathFlags,
        path: String,
        how: OpenFlags,
        access: DescriptorFlags,
    ) -> Answer<Handle<Descriptor>> {
        let directory = self.directory(&of)?;
        let resource = if access.contains(DescriptorFlags::WRITE) {
            self.named::<Edit<Put>>(&directory, &path)?
        } else {
            self.named::<Look>(&directory, &path)?
        };
        let opened = self.open(resource, how, access).await?;
        Ok(self.wasi.table.push(opened)?)
    }

    async fn readlink_at(&mut self, of: Handle<Descriptor>, path: String) -> Answer<String> {
        self.directory(&of)?;
        self.unsupported("wasi:filesystem/types.readlink-at", &path)
    }

    async fn remove_directory_at(&mut self, of: Handle<Descriptor>, path: String) -> Answer<()> {
        let directory = self.directory(&of)?;
        let resource = self.named::<Edit<RemoveDirectory>>(&directory, &path)?;
        self.put_below(&resource).await?;
        let removed = self.change(Edit(RemoveDirectory { resource })).await;
        removed.map_err(code(ErrorCode::NotEmpty)).map_err(|error| match error {
            CallError::Failure(ErrorCode::Invalid) => ErrorCode::NotDirectory.into(),
            other => other,
        })
    }

    async fn rename_at(
        &mut self,
        of: Handle<Descriptor>,
        from: String,
        other: Handle<Descriptor>,
        to: String,
    ) -> Answer<()> {
        let (here, there) = (self.directory(&of)?, self.directory(&other)?);
        let from = self.named::<Edit<Remove>>(&here, &from)?;
        let to = self.named::<Edit<Put>>(&there, &to)?;
        self.rename(from, to).await
    }

    async fn symlink_at(&mut self, of: Handle<Descriptor>, _: String, to: String) -> Answer<()> {
        self.directory(&of)?;
        self.unsupported("wasi:filesystem/types.symlink-at", &to)
    }

    async fn unlink_file_at(&mut self, of: Handle<Descriptor>, path: String) -> Answer<()> {
        let directory = self.directory(&of)?;
        let resource = self.named::<Edit<Remove>>(&directory, &path)?;
        self.remove(resource).await
    }

    async fn is_same_object(
        &mut self,
        of: Handle<Descriptor>,
        other: Handle<Descriptor>,
    ) -> wasmtime::Result<bool> {
        Ok(self.name_of(&of)? == self.name_of(&other)?)
    }

    async fn metadata_hash(&mut self, of: Handle<Descriptor>) -> Answer<MetadataHashValue> {
        Ok(identity(&self.name_of(&of)?))
    }

    async fn metadata_hash_at(
        &mut self,
        of: Handle<Descriptor>,
        _: PathFlags,
        path: String,
    ) -> Answer<MetadataHashValue> {
        // Only from the name: `stat-at` tells whether there is such a file.
        let directory = self.directory(&of)?;
        Ok(identity(&self.named::<Look>(&directory, &path)?))
    }

    async fn drop(&mut self, of: Handle<Descriptor>) -> wasmtime::Result<()> {
        match self.wasi.table.delete(of)? {
            Descriptor::Directory(_) => Ok(()),
            Descriptor::File { buffer, .. } => self.leave(buffer).await,
        }
    }
}
