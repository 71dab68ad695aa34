//! Files: there are none. A language's runtime may ask; no directory is handed out, so nothing is ever
//! opened, and no descriptor is ever made.

use wasmtime::component::Resource as Handle;

use super::io::{Input, IoError, Output};
use crate::Ctx;
use crate::bindings::wasi::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};
use crate::bindings::wasi::filesystem::{preopens, types};

/// An open file or directory. None is ever made.
#[derive(Clone, Copy, Debug)]
pub enum Descriptor {}

/// A directory that is being read. None is ever made.
#[derive(Clone, Copy, Debug)]
pub enum DirectoryEntryStream {}

impl preopens::Host for Ctx {
    async fn get_directories(&mut self) -> wasmtime::Result<Vec<(Handle<Descriptor>, String)>> {
        Ok(Vec::new())
    }
}

impl types::Host for Ctx {
    async fn filesystem_error_code(&mut self, error: Handle<IoError>) -> wasmtime::Result<Option<ErrorCode>> {
        match *self.wasi.table.get(&error)? {}
    }
}

/// What can be asked of a descriptor. A guest that makes one up ends in a trap: the table has none.
macro_rules! of_no_descriptor {
    ($($name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        impl types::HostDescriptor for Ctx {
            $(async fn $name(
                &mut self,
                of: Handle<Descriptor>,
                $(_: $argument),*
            ) -> wasmtime::Result<Result<$answer, ErrorCode>> {
                match *self.wasi.table.get(&of)? {}
            })*

            async fn is_same_object(
                &mut self,
                of: Handle<Descriptor>,
                _: Handle<Descriptor>,
            ) -> wasmtime::Result<bool> {
                match *self.wasi.table.get(&of)? {}
            }

            async fn drop(&mut self, of: Handle<Descriptor>) -> wasmtime::Result<()> {
                match self.wasi.table.delete(of)? {}
            }
        }
    };
}

of_no_descriptor! {
    read_via_stream(u64) -> Handle<Input>;
    write_via_stream(u64) -> Handle<Output>;
    append_via_stream() -> Handle<Output>;
    advise(u64, u64, Advice) -> ();
    sync_data() -> ();
    get_flags() -> DescriptorFlags;
    get_type() -> DescriptorType;
    set_size(u64) -> ();
    set_times(NewTimestamp, NewTimestamp) -> ();
    read(u64, u64) -> (Vec<u8>, bool);
    write(Vec<u8>, u64) -> u64;
    read_directory() -> Handle<DirectoryEntryStream>;
    sync() -> ();
    create_directory_at(String) -> ();
    stat() -> DescriptorStat;
    stat_at(PathFlags, String) -> DescriptorStat;
    set_times_at(PathFlags, String, NewTimestamp, NewTimestamp) -> ();
    link_at(PathFlags, String, Handle<Descriptor>, String) -> ();
    open_at(PathFlags, String, OpenFlags, DescriptorFlags) -> Handle<Descriptor>;
    readlink_at(String) -> String;
    remove_directory_at(String) -> ();
    rename_at(String, Handle<Descriptor>, String) -> ();
    symlink_at(String, String) -> ();
    unlink_file_at(String) -> ();
    metadata_hash() -> MetadataHashValue;
    metadata_hash_at(PathFlags, String) -> MetadataHashValue;
}

impl types::HostDirectoryEntryStream for Ctx {
    async fn read_directory_entry(
        &mut self,
        of: Handle<DirectoryEntryStream>,
    ) -> wasmtime::Result<Result<Option<DirectoryEntry>, ErrorCode>> {
        match *self.wasi.table.get(&of)? {}
    }

    async fn drop(&mut self, of: Handle<DirectoryEntryStream>) -> wasmtime::Result<()> {
        match self.wasi.table.delete(of)? {}
    }
}
