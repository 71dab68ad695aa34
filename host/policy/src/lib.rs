//! What principals may do, as Cedar policies say (<https://docs.cedarpolicy.com>), and which approvals a request needs.
//!
//! The host asks about plain data ([`Who`], [`Matter`]), which it takes from what was signed and from its journal. What
//! cannot be decided is denied: no policy that allows it, one that forbids it, or one that cannot be evaluated.
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
