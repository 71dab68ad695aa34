//! Where an action runs: what is admitted, how it is metered, and how it ends.

mod admission;
mod cache;
mod engine;
mod inspection;
mod meter;
mod session;

pub use admission::{AdmissionError, Admitted, Candidate, Publishers};
pub use cache::Cache;
pub use engine::Sandbox;
pub use inspection::{Import, Inspection};
pub use meter::{Consumed, Meter};
pub use remit_capability::{Interface, find as interface, powers};
pub use session::{Call, Stop};
