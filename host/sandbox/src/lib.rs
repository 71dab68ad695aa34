//! Where an action runs: what is admitted, how it is metered, and how it ends.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod admission;
mod cache;
mod candidate;
mod confined;
mod engine;
mod examine;
mod features;
mod identity;
mod inspection;
mod meter;
mod notes;
mod scan;
mod session;
mod warm;

pub use admission::{AdmissionError, Admitted, Publishers};
pub use cache::Cache;
pub use candidate::Candidate;
pub use confined::{Announce, Unchecked, check, serve};
pub use engine::Sandbox;
pub use inspection::{Import, Inspection};
pub use meter::{Consumed, Meter};
pub use remit_capability::{Interface, find as interface, powers};
pub use session::{Call, Stop};
