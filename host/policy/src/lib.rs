//! Decides by Cedar policies (<https://docs.cedarpolicy.com>) what principals may do, and which approvals a request needs.
//!
//! The host asks about plain data ([`Subject`], [`PolicyRequest`]), which it takes from signed documents and its journal. Denied
//! is: what no policy permits, what a policy forbids, and anything where a policy cannot be evaluated.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod error;
mod need;
mod paths;
mod people;
mod policies;
mod request;
mod table;

pub use error::PolicyError;
pub use need::Need;
pub use policies::{Policies, PolicyAnswer, SCHEMA, shipped_files};
pub use request::{PolicyAction, PolicyConnector, PolicyRequest, Subject};
pub use table::{Checked, test};
