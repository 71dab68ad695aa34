//! `remit:types`: the failure that the interfaces of all domains have in common.

use remit_gate::Failure;

use crate::bindings::remit::types::errors;
use crate::domain::{Domain, interfaces};
use crate::{CallError, Ctx};

/// The domain. It has types only.
pub(crate) static DOMAIN: Domain = Domain { name: "types", interfaces: INTERFACES, systems: None };

interfaces! {
    "remit:types/errors" "0.1.0" [] by errors:
        "names the failures of all other interfaces; can do nothing";
}

impl errors::Host for Ctx {
    fn convert_failure(&mut self, error: CallError) -> wasmtime::Result<errors::Failure> {
        Ok(match error.failure()? {
            Failure::Denied(why) => errors::Failure::Denied(why),
            Failure::NotFound(why) => errors::Failure::NotFound(why),
            Failure::Conflict(why) => errors::Failure::Conflict(why),
            Failure::Invalid(why) => errors::Failure::Invalid(why),
            Failure::Unavailable(why) => errors::Failure::Unavailable(why),
        })
    }
}
