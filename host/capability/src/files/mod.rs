//! Files in directories that the configuration names, in three powers. `remit:files/read` and `remit:files/write` no component
//! imports: a guest uses plain `wasi:filesystem`, whose functions ([`crate::wasi`]) become these operations; a scope grants these
//! names. `remit:files/render` writes what a guest must not see, and is imported as it is.
//!
//! What a guest writes is gathered in memory, and one [`Put`] makes it the file's new content when the guest
//! syncs or closes it, or returns. So a plan tells of files and not of pieces, each change is atomic, and
//! its undo is the whole file.

mod bindings;
mod content;
mod edit;
mod kept;
mod read;
mod render;
mod systems;
mod write;

use remit_backend::files::KIND;

use crate::domain::{Domain, SystemsOf, interfaces};
pub use bindings::remit::files as wit;
pub use content::Content;
pub use edit::{BeforeChange, Edit, Edits};
pub use read::{GetDirectories, List, Look, Read};
pub use render::{Render, Value};
pub use write::{Find, Kind, MakeDirectory, Put, Remove, RemoveDirectory};

/// The `remit:files` domain.
pub(crate) static DOMAIN: Domain =
    Domain { name: "files", interfaces: INTERFACES, systems: Some(&SystemsOf::<remit_backend::Files>::NEW) };

interfaces! {
    "remit:files/read" "0.1.0" on KIND through "wasi:filesystem/types"
        [observe Look, observe Read, observe List]:
        "reads files and lists directories; from then on the action knows what is in them";
    "remit:files/write" "0.1.0" on KIND through "wasi:filesystem/types"
        [observe Find, change Edit<Put>, change Edit<Remove>, change Edit<MakeDirectory>, change Edit<RemoveDirectory>]:
        "replaces, makes and removes files and directories; whoever reads them follows the new content";
    "remit:files/render" "0.1.0" on KIND [change Edit<Render>] by wit::render:
        "replaces or makes a file from a template, with values that it never sees; whoever reads the file follows the new content";
}
