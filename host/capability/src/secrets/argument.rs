//! What a guest can name: secrets and their fields.

use remit_backend::secrets::KIND;
use remit_gate::{Operation, Resource};

use crate::{CallError, Ctx};

/// The longest name of a field, in bytes.
const MAX_FIELD: usize = 256;

impl Ctx {
    pub(super) fn secret<O: Operation>(&self, path: &str) -> Result<Resource, CallError> {
        self.resource::<O>(KIND, path)
    }

    /// A field's name that can be shown in a plan and a journal as it is.
    pub(super) fn field<O: Operation>(&self, field: String) -> Result<String, CallError> {
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
