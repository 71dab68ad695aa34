//! Sealed inputs and generated values, as calls name them.

use remit_gate::{Failure, Operation};
use remit_trust::{SecretText, ValueHandle};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{CallError, Ctx};

/// A value that a call names by its handle. On record it is its name: of a sealed input, whose handle is in the run's input, or
/// `generated:1`. The value is there only in a run: neither a replay nor an undo needs it.
#[derive(Clone, Debug)]
pub struct Given {
    name: String,
    value: Option<SecretText>,
}

impl Given {
    /// The value of this name; without a value, calls with it fail.
    #[must_use]
    pub fn new(name: &str, value: Option<SecretText>) -> Self {
        Self { name: name.to_owned(), value }
    }

    /// The value; an error for the action if the run has none.
    pub(crate) fn value(&self) -> Result<&SecretText, Failure> {
        self.value.as_ref().ok_or_else(|| {
            let Self { name, .. } = self;
            Failure::NotFound(format!(
                "this run has no sealed input or generated value `{name}` with this handle"
            ))
        })
    }
}

impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Given {}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self { name: String::deserialize(from)?, value: None })
    }
}

impl Ctx {
    /// The value of a handle. One that the action made up has no value, and the call fails.
    pub(crate) fn given<O: Operation>(&self, handle: &str) -> Result<Given, CallError> {
        match handle.parse::<ValueHandle>() {
            Ok(handle) => Ok(Given::new(&handle.name(), self.gate().sealed_value(&handle))),
            // What it is instead is not shown: it may be a secret that was taken for a handle.
            Err(why) => Err(self.refuse::<O>("(not shown)", &why.to_string())),
        }
    }
}
