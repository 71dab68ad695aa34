//! Checking an input against the schema in an action's manifest.

use remit_engine::{Flaw, MIB, Task, perform};
use remit_manifest::{Mismatch, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Checks an input against a schema: from an [`Order`] to a [`Checked`], both in JSON.
pub(crate) static CHECK: Task = Task {
    name: "check",
    purpose: "to check the input",
    memory: 128 * MIB,
    seconds: 3,
    answer: MIB,
    announced: false,
    work: |bytes| {
        let host = |error: serde_json::Error| Flaw::Host(error.to_string());
        let order: Order<Value> = serde_json::from_slice(bytes).map_err(host)?;
        serde_json::to_vec(&mismatches(&order.schema, &order.input)).map_err(host)
    },
};

#[derive(Serialize, Deserialize)]
struct Order<T> {
    schema: T,
    input: T,
}

/// The mismatches, or why the schema is none.
type Checked = Result<Vec<Mismatch>, String>;

fn mismatches(schema: &Value, input: &Value) -> Checked {
    let schema = Schema::new(schema).map_err(|error| error.to_string())?;
    Ok(schema.check(input).err().unwrap_or_default())
}

/// Why an input cannot be checked against a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unchecked {
    /// The schema is not valid, or reaches a limit with this input: which.
    #[error("{0}")]
    Schema(String),
    /// The host could not do it: the system's message.
    #[error("{0}")]
    Host(String),
}

/// Checks an input against a schema of a component. Answers every place that does not match, or the first ones if they are
/// many.
pub fn check(schema: &Value, input: &Value) -> Result<Vec<Mismatch>, Unchecked> {
    // Most are so simple that starting a process takes longer than the check.
    if remit_manifest::is_quick(schema, input) {
        return mismatches(schema, input).map_err(Unchecked::Schema);
    }
    let host = |error: serde_json::Error| Unchecked::Host(error.to_string());
    let order = serde_json::to_vec(&Order { schema, input }).map_err(host)?;
    let checked = perform(&CHECK, &order, "").map_err(|flaw| match flaw {
        Flaw::TooComplex(why) => Unchecked::Schema(why),
        Flaw::Host(why) => Unchecked::Host(why),
        other => Unchecked::Host(format!("{other:?}")),
    })?;
    serde_json::from_slice::<Checked>(&checked).map_err(host)?.map_err(Unchecked::Schema)
}
