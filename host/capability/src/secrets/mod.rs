//! `remit:secrets`: five powers over secrets, each an interface of its own.
//!
//! Values stay on the host's side of every one of them but [`Reveal`].

mod read;
mod rotate;
mod withdraw;

use remit_backend::Secrets;
use remit_gate::{Estate, Failure, Mode, Operation as _, Resource, Scope};

use crate::Ctx;
use crate::bindings::remit::secrets::{destroy, disable, inspect, reveal, rotate as rotation};
use crate::bindings::remit::types::errors;
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

impl From<Failure> for errors::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Denied(why) => Self::Denied(why),
            Failure::NotFound(why) => Self::NotFound(why),
            Failure::Conflict(why) => Self::Conflict(why),
            Failure::Invalid(why) => Self::Invalid(why),
            Failure::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// The guest's answer: done, its own to handle, or (outside) the end of its run.
type Answer<T> = wasmtime::Result<Result<T, errors::Failure>>;

/// Takes the value out of a `Result<Result<_, Failure>>`, or answers the guest with the failure.
macro_rules! or_answer {
    ($asked:expr) => {
        match $asked? {
            Ok(value) => value,
            Err(failure) => return Ok(Err(failure.into())),
        }
    };
}

impl Ctx {
    fn secret(&self, operation: &str, path: &str) -> wasmtime::Result<Result<Resource, Failure>> {
        self.resource(operation, KIND, path)
    }

    /// A field's name that can be shown in a plan and a journal as it is.
    fn field(&self, operation: &str, field: String) -> wasmtime::Result<Result<String, Failure>> {
        let why = if field.is_empty() {
            "a field's name cannot be empty"
        } else if field.len() > MAX_FIELD {
            "a field's name cannot be longer than 256 bytes"
        } else if field.contains(remit_text::hides) {
            "a field's name cannot have control characters or others that are not seen"
        } else {
            return Ok(Ok(field));
        };
        self.gate().refuse(operation, &field, why).map(Err).map_err(wasmtime::Error::new)
    }
}

impl errors::Host for Ctx {}

impl inspect::Host for Ctx {
    async fn metadata(&mut self, path: String) -> Answer<inspect::SecretMetadata> {
        let resource = or_answer!(self.secret(Metadata::NAME, &path));
        Ok(self.call(Metadata { resource }).await?.map(Into::into).map_err(Into::into))
    }
}

impl rotation::Host for Ctx {
    async fn rotate(&mut self, path: String, field: Option<String>) -> Answer<rotation::Rotated> {
        let resource = or_answer!(self.secret(Rotate::NAME, &path));
        let field = match field {
            None => None,
            Some(field) => Some(or_answer!(self.field(Rotate::NAME, field))),
        };
        let answer = self.call(Rotate { resource, field }).await?;
        Ok(answer
            .map(|Rotated { previous, current }| rotation::Rotated { previous, current })
            .map_err(Into::into))
    }
}

impl disable::Host for Ctx {
    async fn disable(&mut self, path: String, version: u64) -> Answer<()> {
        let resource = or_answer!(self.secret(Disable::NAME, &path));
        Ok(self.call(Disable { resource, version }).await?.map_err(Into::into))
    }
}

impl destroy::Host for Ctx {
    async fn destroy(&mut self, path: String, version: u64) -> Answer<()> {
        let resource = or_answer!(self.secret(Destroy::NAME, &path));
        Ok(self.call(Destroy { resource, version }).await?.map_err(Into::into))
    }
}

impl reveal::Host for Ctx {
    async fn reveal(&mut self, path: String, field: String, version: u64) -> Answer<String> {
        let resource = or_answer!(self.secret(Reveal::NAME, &path));
        let field = or_answer!(self.field(Reveal::NAME, field));
        Ok(self.call(Reveal { resource, field, version }).await?.map_err(Into::into))
    }
}
