//! Actions under test, with no live system: a fixture says what there is and what is asked, and the action
//! goes through the same rehearsal, grant, gate, journal and limits as in production, in a home that is
//! gone afterwards.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod bench;
mod compare;
pub mod connector;
mod error;
mod fixture;
mod record;
mod report;
mod scripted;

pub use bench::{Bench, Case, Seen};
pub use compare::differences;
pub use error::OfflineError;
pub use fixture::{Expect, FailAt, FailureKind, Fixture};
pub use record::record;
pub use report::{TestReport, TestResult};
pub use scripted::Answer;
