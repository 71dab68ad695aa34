//! `wasi:filesystem` on the operations of [`crate::files`]. Where a scope grants no directory there is none:
//! nothing is ever opened, and no descriptor is ever made.

mod buffer;
mod descriptor;
mod open;
mod path;
mod preopens;
mod put;

pub(super) use buffer::Buffers;
#[doc(hidden)]
pub use path::path_below;
