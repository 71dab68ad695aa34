//! Where an action runs: which component is admitted, and one call of it. What is the same for a component of any world is
//! in [`remit_engine`].
#![forbid(unsafe_code)]

mod admission;
mod error;
mod import;
mod input;
mod inspection;
mod meter;
mod sandbox;
mod session;
mod stop;

pub use admission::Admitted;
pub use error::AdmissionError;
pub use import::{Import, NotOffered};
pub use input::{Unchecked, check};
pub use inspection::{Candidate, Inspection};
pub use meter::{Consumed, Meter};
pub use remit_capability::{BUILT_IN, Interface, Registry};
pub use sandbox::Sandbox;
pub use session::Call;
pub use stop::Stop;

/// The tasks of this crate, for [`remit_engine::serve`].
pub const TASKS: &[&remit_engine::Task] = &[&inspection::INSPECT, &input::CHECK];
