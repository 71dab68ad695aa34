//! Making a fresh value that the action never sees.

use std::borrow::Cow;

use remit_backend::{Alphabet, Generator};
use remit_gate::{Failure, Generated, Observe, Operation, Reads, Resource};
use serde::{Deserialize, Serialize};

use super::bindings::remit::secrets::generate;
use crate::host::this_run;
use crate::{CallError, Ctx};

impl generate::Host for Ctx {
    async fn generate(&mut self, length: u32, alphabet: generate::Alphabet) -> Result<String, CallError> {
        let alphabet = match alphabet {
            generate::Alphabet::Alphanumeric => Alphabet::Alphanumeric,
            generate::Alphabet::Printable => Alphabet::Printable,
            generate::Alphabet::Hex => Alphabet::Hex,
            generate::Alphabet::Base64url => Alphabet::Base64url,
        };
        self.observe(Generate { length, alphabet }).await
    }
}

/// `remit:secrets/generate.generate`: makes a value and keeps it for the run. Ambient: the value reaches nothing until a call that
/// a scope grants takes its handle, and that call is a step of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generate {
    /// How many characters.
    pub length: u32,
    /// Which characters.
    pub alphabet: Alphabet,
}

impl Operation for Generate {
    const NAME: &'static str = "remit:secrets/generate.generate";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Generated;
    /// The handle.
    type Outcome = String;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(this_run())
    }
}

impl Observe for Generate {
    async fn observe(&self, on: &Generated) -> Result<String, Failure> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        let generator = Generator::new(length, self.alphabet.characters()).map_err(Failure::Invalid)?;
        Ok(on.keep(generator.generate()?).to_string())
    }
}
