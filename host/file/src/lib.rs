//! How Remit reads and writes files: one reader and one writer, and nothing beside them (`clippy.toml` forbids the
//! functions of `std` in the rest of the host).
//!
//! **Reading.** Every file is read for a purpose ([`Kind`]), which says how large it may be. It is opened once, without
//! waiting; what is judged (its form, owner and mode) is the file that is read. Whoever reads says where the name came
//! from:
//! - [`given`]: a person named it. It may be a pipe, a process substitution or `-`, read exactly once.
//! - [`plain`]: it lies beside another file or in a folder. It must be a regular file, or a link to one.
//! - [`trusted`]: what is in it decides who may do what. As `plain`, and it belongs to this user or to root, and others
//!   cannot write it.
//!
//! **Writing.** [`write`] puts an answer where a person wants it: into a device, a pipe or standard output, or in the
//! place of a file, whole or not at all, with its mode and owner, behind the links that lead to it. [`create`] and
//! [`replace`] keep Remit's own files: durable, with a mode of their own whatever the umask.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "this is the place for them")]

mod error;
mod folder;
mod keep;
mod kind;
mod read;
mod trust;
mod write;

pub use error::FileError;
pub use folder::{Entry, list, make_folder, sync_folder};
pub use keep::{Durable, append, create, lock, make_empty, replace, replace_with};
pub use kind::Kind;
pub use read::{Content, Opened, check, given, open, open_plain, plain, standard_input, trusted};
pub use trust::{judge_folder, others_can_write};
pub use write::{Wrote, write, write_with};
