//! The directories that a run has, and what else is asked about them.

use remit_gate::{Operation as _, Resource};
use wasmtime::component::Resource as Handle;

use super::super::error::misuse;
use super::super::handle::{Descriptor, DirectoryEntryStream};
use crate::bindings::FileError;
use crate::bindings::wasi::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};
use crate::bindings::wasi::filesystem::{preopens, types};
use crate::files::GetDirectories;
use crate::{Ctx, answered};

impl preopens::Host for Ctx {
    async fn get_directories(&mut self) -> wasmtime::Result<Vec<(Handle<Descriptor>, String)>> {
        if !self.gate().offers::<GetDirectories>() {
            return Ok(Vec::new());
        }
        let names = answered(self.observe(GetDirectories {}).await)?.unwrap_or_default();
        let mut directories = Vec::new();
        for name in names {
            let resource = Resource::new(remit_backend::files::KIND, &name)
                .map_err(|error| misuse(GetDirectories::NAME, error.to_string()))?;
            let handle = self.wasi.table.push(Descriptor::Directory(resource))?;
            directories.push((handle, format!("/{name}")));
        }
        Ok(directories)
    }
}

impl types::Host for Ctx {
    async fn filesystem_error_code(
        &mut self,
        error: Handle<ErrorCode>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(Some(*self.wasi.table.get(&error)?))
    }

    fn convert_error_code(&mut self, error: FileError) -> wasmtime::Result<ErrorCode> {
        error.failure()
    }
}

impl types::HostDirectoryEntryStream for Ctx {
    async fn read_directory_entry(
        &mut self,
        of: Handle<DirectoryEntryStream>,
    ) -> Result<Option<DirectoryEntry>, FileError> {
        let next = self.wasi.table.get_mut(&of)?.entries.pop_front();
        Ok(next.map(|entry| DirectoryEntry {
            type_: match (entry.file, entry.directory) {
                (true, _) => DescriptorType::RegularFile,
                (_, true) => DescriptorType::Directory,
                _ => DescriptorType::Unknown,
            },
            name: entry.name,
        }))
    }

    async fn drop(&mut self, of: Handle<DirectoryEntryStream>) -> wasmtime::Result<()> {
        let closed = self.wasi.table.delete(of)?;
        self.wasi.files.let_go(closed.held);
        Ok(())
    }
}
