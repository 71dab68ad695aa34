//! `remit:secrets`: five powers over secrets, each an interface of its own.
//!
//! Values stay on the host's side of every one of them but [`Reveal`].

mod read;
mod rotate;
mod systems;
mod withdraw;

use remit_gate::{Operation, Resource};

use crate::domain::{Domain, SystemsOf, interfaces};
use crate::{CallError, Ctx};
pub use bindings::remit::secrets as wit;
pub use read::{Metadata, Reveal};
pub use rotate::{BeforeRotation, Rotate, Rotated};
pub use withdraw::{BeforeWithdrawal, Destroy, Disable};

/// The kind of every resource here: `secret:prod/payments/stripe`.
pub const KIND: &str = "secret";

/// The longest name of a field, in bytes.
const MAX_FIELD: usize = 256;

#[allow(missing_docs, clippy::pedantic, clippy::unwrap_used, clippy::expect_used, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/types", "../../wit/secrets"],
        world: "remit:secrets/imports",
        imports: { default: async | trappable },
        with: { "remit:types/errors": crate::bindings::remit::types::errors },
        trappable_error_type: { "remit:types/errors.failure" => crate::CallError },
    });
}

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
    "remit:secrets/disable" "0.1.0" on KIND [change Disable] by wit::disable:
        "makes a version of a secret unreadable until it is enabled again";
    "remit:secrets/destroy" "0.1.0" on KIND [change Destroy] by wit::destroy:
        "destroys a version of a secret for good; nothing brings it back";
    "remit:secrets/reveal" "0.1.0" on KIND [observe Reveal] by wit::reveal:
        "reads a secret's value; from then on the action knows it";
}

impl Ctx {
    fn secret<O: Operation>(&self, path: &str) -> Result<Resource, CallError> {
        self.resource::<O>(KIND, path)
    }

    /// A field's name that can be shown in a plan and a journal as it is.
    fn field<O: Operation>(&self, field: String) -> Result<String, CallError> {
        let why = if field.is_empty() {
            "a field's name cannot be empty"
        } else if field.len() > MAX_FIELD {
            "a field's name cannot be longer than 256 bytes"
        } else if field.contains(remit_text::hides) {
            "a field's name cannot have control characters or others that are not seen"
        } else {
            return Ok(field);
        };
        Err(self.refuse::<O>(&field, why))
    }
}
