//! Reading and writing files. The rest of the host uses only this crate: `clippy.toml` forbids the functions of `std` there.
//!
//! **Reading.** Every file is read for a purpose ([`Kind`]), which limits its size. It is opened once, without waiting, and its
//! form, owner and mode are checked on the open file. The function says where the name came from:
//! - [`given`]: a person named the file. It may be a pipe, a process substitution or `-`, and is read exactly once.
//! - [`plain`]: the file is beside another file or in a folder. It must be a regular file or a link to one.
//! - [`trusted`]: the content decides who may do what. As `plain`; also, the file must belong to this user or to root, and
//!   others must not be able to write it.
//!
//! **Writing.** [`write()`] writes an answer where a person wants it: into a device, a pipe or standard output, or to a file. A
//! file is replaced completely or not at all, keeps its mode and owner, and links to it are followed. [`create`] and
//! [`replace`] write Remit's own files: durable, with a fixed mode whatever the umask.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "this is the place for them")]

mod acl;
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
