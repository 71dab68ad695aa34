//! `remit:evidence`: keeping evidence of workloads, and finding out whether it is still there.

mod bindings;
mod capture;
mod check;
mod systems;

use remit_backend::evidence::KIND;

use crate::domain::{Domain, SystemsOf, interfaces};
pub use bindings::remit::evidence as wit;
pub use capture::{Capture, Captured};
pub use check::Holds;

/// The `remit:evidence` domain.
pub(crate) static DOMAIN: Domain = Domain {
    name: "evidence",
    interfaces: INTERFACES,
    systems: Some(&SystemsOf::<remit_backend::Evidence>::NEW),
};

interfaces! {
    "remit:evidence/capture" "0.1.0" on KIND [change Capture] by wit::capture:
        "has the host keep evidence of a workload, which stays; never sees what is in it";
    "remit:evidence/check" "0.1.0" on KIND [observe Holds] by wit::check:
        "finds out whether evidence is still there, unchanged";
}
