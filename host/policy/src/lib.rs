//! Decides by Cedar policies (<https://docs.cedarpolicy.com>) what principals may do, and which approvals a request needs.
//!
//! The host asks about plain data ([`Who`], [`Matter`]), which it takes from signed documents and its journal. Denied
//! is: what no policy permits, what a policy forbids, and anything where a policy cannot be evaluated.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod error;
mod matter;
mod need;
mod paths;
mod people;
mod policies;
mod table;

pub use error::PolicyError;
pub use matter::{Matter, Verb, Who};
pub use need::Need;
pub use policies::{Policies, SCHEMA, Verdict, shipped_files};
pub use table::{Checked, test};
