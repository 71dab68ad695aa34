//! The component of a connector: what it is, and one phase of one call of it.

mod admission;
mod connected;
mod inspection;
mod phase;
mod standard;
mod trial;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "generated code"
)]
mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/types", "../../wit/host", "../../wit/connector"],
        world: "remit:connector/connector",
        imports: { default: async | trappable },
        exports: { default: async },
        trappable_error_type: { "remit:types/errors.failure" => remit_capability::CallError },
    });
}

pub use admission::AdmissionError;
pub use connected::Connected;
pub use inspection::{Candidate, Inspection};
pub use standard::{effect as standard_effect, interface as standard_interface};
pub use trial::{Trial, Tried};

/// The tasks of this crate, for [`remit_engine::serve`].
pub const TASKS: &[&remit_engine::Task] = &[&inspection::INSPECT];
