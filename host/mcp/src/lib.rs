//! What an agent sees: the tools of the Model Context Protocol, each a few calls of the HTTP API.
//!
//! There is one table of tools. Where their calls lead, to a server or into a router in this process, and who signs, is a
//! [`Reach`]. A tool can make only what [`Call`] lists: what only people do is not among it.
#![forbid(unsafe_code)]

mod answers;
mod call;
mod clean;
mod reach;
mod read;
mod schema;
mod service;
mod table;
mod write;

pub use call::{Call, Wanted};
pub use reach::{At, Reach, Remote, Sealed, with_sealed};
pub use service::{HttpConfig, Tools, http, stdio};
pub use table::Table;
