//! Why an examination or a compilation of foreign bytes has no result. It crosses the border of the confined process.

use serde::{Deserialize, Serialize};
use wasmparser::Error;

/// Columns kept of the validator's message, which repeats names from the bytes.
const LONGEST_MESSAGE: usize = 400;

/// Why a task on untrusted bytes has no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Flaw {
    /// The bytes are not WebAssembly.
    NotWasm,
    /// They are a core module, not a component.
    CoreModule,
    /// They are not a valid component: the validator's message.
    Malformed(String),
    /// A limit was reached: which.
    TooComplex(String),
    /// The custom section that the world reads is wrong: what is wrong with it.
    Section(String),
    /// The component is valid, and the compiler does not take it: the compiler's message.
    NotCompiled(String),
    /// The host could not do the task; this says nothing about the bytes.
    Host(String),
}

impl From<Error> for Flaw {
    fn from(error: Error) -> Self {
        // The validator has limits of its own, and only its text tells them from other errors.
        let message = error.message();
        if message.contains("exceed") || message.contains("too deep") || message.contains("too large") {
            return Self::TooComplex(message_of(&error));
        }
        Self::Malformed(format!("{} (at offset {:#x})", message_of(&error), error.offset()))
    }
}

/// The validator's message, on one line.
pub(crate) fn message_of(error: &Error) -> String {
    remit_text::short_line(&error.message().replace('\n', ": "), LONGEST_MESSAGE).into_owned()
}
