//! The one way from an action to the outside.
//!
//! Every host call is an [`Operation`]. [`Gate::call`] decides whether the grant's [`Scope`] covers it,
//! has its prior state recorded, makes its intent durable in the journal, and only then lets it reach
//! its backend, with a [`Permit`] that exists for that one call. Backends demand the permit's
//! [`Authority`] for everything that changes something, so there is no second way.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod failure;
mod finish;
mod gate;
mod noise;
mod operation;
mod pattern;
mod plan;
mod replay;
mod resource;
mod scope;
mod setup;
mod undo;

pub use failure::{Exceeded, Failure, Fault, Limit};
pub use gate::{Gate, Made};
pub use noise::Noise;
pub use operation::{Authority, MakeUp, Observation, Operation, Permit, Prepared, State};
pub use pattern::Pattern;
pub use plan::{Plan, Step};
pub use remit_journal::{Effect, Mode, Phase};
pub use replay::{Divergence, Replay};
pub use resource::{Resource, ResourceError};
pub use scope::{Allow, Limits, OnFailure, Rules, Scope, ScopeError};
pub use setup::{Estate, Facts, Injected, Setup, Used, Window};
pub use undo::{AnyOperation, Boxed, Of, UndoGate};
