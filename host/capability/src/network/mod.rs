//! `remit:network`: powers over the traffic of workloads, each an interface of its own.

mod argument;
mod bindings;
mod cut;
mod inspect;
mod systems;

use remit_backend::network::KIND;

use crate::domain::{Domain, SystemsOf, interfaces};
pub(crate) use argument::{no_path, target};
pub use bindings::remit::network as wit;
pub use cut::CutTraffic;
pub use inspect::{Connections, Get, Workload};

/// The `remit:network` domain.
pub(crate) static DOMAIN: Domain = Domain {
    name: "network",
    interfaces: INTERFACES,
    systems: Some(&SystemsOf::<remit_backend::Networks>::NEW),
};

interfaces! {
    "remit:network/inspect" "0.1.0" on KIND [observe Get, observe Connections] by wit::inspect:
        "sees whether a workload's traffic is cut, and whom it is connected with";
    "remit:network/cut" "0.1.0" on KIND [change CutTraffic] by wit::cut:
        "cuts a workload off from everybody but those that the operator listed; whoever uses it is cut off from it";
}
