//! `remit:secrets`: powers over secrets, each an interface of its own, and fresh values for them.
//!
//! Values stay on the host's side of every one of them but [`Reveal`].

mod argument;
mod bindings;
mod compare;
mod generate;
mod given;
mod put;
mod read;
mod renew;
mod rotate;
mod systems;
mod withdraw;

use remit_backend::secrets::KIND;

use crate::domain::{Domain, SystemsOf, interfaces};
pub use bindings::remit::secrets as wit;
pub use compare::Matches;
pub use generate::Generate;
pub use given::Given;
pub use put::{Put, Stored};
pub use read::{Metadata, Reveal};
pub use renew::BeforeRotation;
pub use rotate::{Rotate, Rotated};
pub use withdraw::{BeforeWithdrawal, Destroy, Disable, Enable};

/// The `remit:secrets` domain.
pub(crate) static DOMAIN: Domain = Domain {
    name: "secrets",
    interfaces: INTERFACES,
    systems: Some(&SystemsOf::<remit_backend::Secrets>::NEW),
};

interfaces! {
    "remit:secrets/inspect" "0.1.0" on KIND [observe Metadata] by wit::inspect:
        "sees which versions a secret has and when they were made, never a value";
    "remit:secrets/rotate" "0.1.0" on KIND [change Rotate] by wit::rotate:
        "replaces a secret's value by a new one it never sees; whoever still uses the old value is locked out";
    "remit:secrets/generate" "0.1.0" [observe Generate] by wit::generate:
        "has the host make values that it never sees; each reaches nothing until another call puts it somewhere";
    "remit:secrets/put" "0.1.0" on KIND [change Put] by wit::put:
        "puts a value that was given sealed or generated, and that it never sees, into a secret; whoever still uses the old value is locked out";
    "remit:secrets/compare" "0.1.0" on KIND [observe Matches] by wit::compare:
        "finds out whether a secret is a value that was given sealed; who chooses that value can test a guess";
    "remit:secrets/disable" "0.1.0" on KIND [change Disable] by wit::disable:
        "makes a version of a secret unreadable until it is enabled again";
    "remit:secrets/enable" "0.1.0" on KIND [change Enable] by wit::enable:
        "makes a version of a secret readable that somebody had disabled";
    "remit:secrets/destroy" "0.1.0" on KIND [change Destroy] by wit::destroy:
        "destroys a version of a secret for good; nothing brings it back";
    "remit:secrets/reveal" "0.1.0" on KIND [observe Reveal] by wit::reveal:
        "reads a secret's value; from then on the action knows it";
}
