//! The one way from an action to the outside.
//!
//! Every host call is an [`Operation`]. [`Gate::observe`] and [`Gate::change`] decide whether the grant's [`Scope`] covers it,
//! has its prior state recorded, makes its intent durable in the journal, and only then lets it reach
//! its backend, with a [`Permit`] that exists for that one call. Backends demand the permit's
//! [`Authority`] for everything that changes something, so there is no second way.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod context;
mod failure;
mod finish;
mod gate;
mod known;
mod live;
mod noise;
mod operation;
mod pattern;
mod plan;
mod progress;
mod recorder;
mod replay;
mod resource;
mod scope;
mod setup;
mod undo;

pub use failure::{Divergence, Exceeded, Failure, Fault, Limit};
pub use gate::Gate;
pub use known::{Known, Past};
pub use noise::Noise;
pub use operation::{
    Authority, Change, Changes, Countermeasure, Kind, MakeUp, Observe, Operation, Permit, Prepared, Reads,
    State,
};
pub use pattern::{Pattern, PatternSet};
pub use plan::{Plan, Step};
pub use progress::Made;
pub use remit_journal::{Effect, Mode, Phase};
pub use replay::Replay;
pub use resource::{Resource, ResourceError};
pub use scope::{Allow, Beyond, LONGEST_STANDING, Limits, OnFailure, Require, Rules, Scope, ScopeError};
pub use setup::{Estate, Facts, Generated, Injected, SealedValues, Setup, Used, Window};
pub use undo::UndoGate;
