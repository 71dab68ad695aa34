//! `remit:secrets`: five powers over secrets, each an interface of its own.
//!
//! Values stay on the host's side of every one of them but [`Reveal`].

mod read;
mod rotate;
mod withdraw;

use remit_backend::Secrets;
use remit_gate::{Estate, Failure, Mode, Operation, Resource, Scope};

use crate::bindings::remit::secrets::types;
use crate::{CallError, Ctx};
pub use read::{Metadata, Reveal};
pub use rotate::{BeforeRotation, Rotate, Rotated};
pub use withdraw::{BeforeWithdrawal, Destroy, Disable};

/// The kind of every resource here: `secret:prod/payments/stripe`.
pub const KIND: &str = "secret";

/// Lets runs reach `secrets`; a rehearsal looks at them and plays its changes.
#[must_use]
pub fn served(estate: Estate, secrets: Secrets) -> Estate {
    estate.with_per_run(secrets, |secrets: &Secrets, _: &Scope, mode: Mode| {
        Some(match mode {
            Mode::Rehearse => secrets.for_rehearsal(),
            Mode::Live => secrets.clone(),
        })
    })
}

/// The longest name of a field, in bytes.
const MAX_FIELD: usize = 256;

impl types::Host for Ctx {
    fn convert_failure(&mut self, error: CallError) -> wasmtime::Result<types::Failure> {
        Ok(match error.failure()? {
            Failure::Denied(why) => types::Failure::Denied(why),
            Failure::NotFound(why) => types::Failure::NotFound(why),
            Failure::Conflict(why) => types::Failure::Conflict(why),
            Failure::Invalid(why) => types::Failure::Invalid(why),
            Failure::Unavailable(why) => types::Failure::Unavailable(why),
        })
    }
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
