//! Files in directories that the configuration names, in two powers: `remit:files/read` and
//! `remit:files/write`. No component imports them. A guest uses plain `wasi:filesystem`, whose functions
//! ([`crate::wasi`]) become these operations; a scope grants these names.
//!
//! What a guest writes is gathered in memory, and one [`Put`] makes it the file's new content when the guest
//! syncs or closes it, or returns. So a plan tells of files and not of pieces, each change is atomic, and
//! its undo is the whole file.

mod content;
mod kept;
mod read;
mod systems;
mod write;

use remit_backend::files::KIND;

use crate::domain::{Domain, SystemsOf, interfaces};
pub use content::Content;
pub use read::{GetDirectories, List, Look, Read};
pub use write::{BeforeChange, Edit, Edits, Find, Kind, MakeDirectory, Put, Remove, RemoveDirectory};

/// The domain. It has no WIT of its own.
pub(crate) static DOMAIN: Domain =
    Domain { name: "files", interfaces: INTERFACES, systems: Some(&SystemsOf::<remit_backend::Files>::NEW) };

interfaces! {
    "remit:files/read" "0.1.0" on KIND through "wasi:filesystem/types"
        [observe Look, observe Read, observe List]:
        "reads files and lists directories; from then on the action knows what is in them";
    "remit:files/write" "0.1.0" on KIND through "wasi:filesystem/types"
        [observe Find, change Edit<Put>, change Edit<Remove>, change Edit<MakeDirectory>, change Edit<RemoveDirectory>]:
        "replaces, makes and removes files and directories; whoever reads them follows the new content";
}
