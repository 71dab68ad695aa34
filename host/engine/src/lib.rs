//! Everything about running a foreign component that does not depend on what the component is for: the wasmtime engine,
//! the cache of compiled code, the examination of foreign bytes in a confined process, signatures of publishers, and the
//! metering of a call.
//!
//! A *world* is one kind of component: an action (`remit-sandbox`), for example. For each world, a crate above
//! this one defines
//! - a [`World`]: what the host offers to it and what it must export; and a [`Task`] that [`examine`]s bytes against it,
//! - an [`Inspect`] type: what is kept of an examination,
//! - the data of a store (`T` of [`Session`]), and what it links.
//!
//! ```text
//! Engine::find → Candidate<I> → publisher, inspection → Engine::compile → Prepared<R>
//! Engine::place → Place → Session<T> → Halt
//! ```
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod cache;
mod candidate;
mod config;
mod confined;
mod engine;
mod error;
mod examine;
mod features;
mod flaw;
mod identity;
mod interface;
mod load;
mod meter;
mod notes;
mod prepared;
mod publishers;
mod quota;
mod scan;
mod session;
mod value;

pub use cache::Cache;
pub use candidate::{Candidate, Inspect};
pub use confined::{Announce, MIB, Task, perform};
pub use engine::Engine;
pub use error::ComponentError;
pub use examine::{Examination, World, examine};
pub use flaw::Flaw;
pub use interface::{Signature, Signatures, Type, wit_package};
pub use meter::{Exceeded, Limit, Limits, Meter, Used, blocking, deadline};
pub use prepared::Prepared;
pub use publishers::Publishers;
pub use session::{Halt, Metered, Place, Session, instantiated};
pub use value::Misfit;

/// To be called first in a program that examines or compiles foreign components, with the tasks of all its worlds. If the
/// process was started to perform a task, it does so, and the program is to end with the returned code. Otherwise tasks
/// are performed in processes of their own from now on.
pub fn serve(tasks: &[&Task], announce: Announce) -> Option<std::process::ExitCode> {
    confined::serve(&[tasks, &[&config::COMPILE]].concat(), announce)
}
