//! From a [`Connector`] to the exports that the host calls.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bindings::exports::remit::connector::operations as wit;
use super::{Call, Connector, Failure, Live, Prepared, Result, Simulated};

/// What the macro makes of [`Connector::observe`].
pub fn observe<C: Connector>(call: wit::Call) -> Result<String> {
    C::observe(&read(call)?).map(|answer| answer.to_string())
}

/// What the macro makes of [`Connector::prepare`].
pub fn prepare<C: Connector>(call: wit::Call) -> Result<wit::Prepared> {
    let Prepared { undo, secret, irrevocable, describe, would_return } = C::prepare(&read(call)?)?;
    let undo = serde_json::to_string(&undo).map_err(|error| wrong("undo", &error))?;
    Ok(wit::Prepared { undo, secret, irrevocable, describe, would_return: would_return.to_string() })
}

/// What the macro makes of [`Connector::perform`].
pub fn perform<C: Connector>(call: wit::Call, prepared: wit::Prepared) -> Result<String> {
    C::perform(&read(call)?, &prepared_of::<C>(prepared)?).map(|answer| answer.to_string())
}

/// What the macro makes of [`Connector::state`].
pub fn state<C: Connector>(call: wit::Call, prepared: wit::Prepared, got: Option<String>) -> Result<Live> {
    C::state(&read(call)?, &prepared_of::<C>(prepared)?, got_of(got)?.as_ref())
}

/// What the macro makes of [`Connector::undo`].
pub fn undo<C: Connector>(call: wit::Call, prepared: wit::Prepared, got: Option<String>) -> Result<()> {
    C::undo(&read(call)?, &prepared_of::<C>(prepared)?, got_of(got)?.as_ref())
}

fn read<C: Connector>(call: wit::Call) -> Result<Call<C>> {
    crate::action::log_panics();
    let simulated = |one: wit::Simulated| {
        Ok(Simulated { asked: asked(&one.function, &one.arguments)?, undo: parsed("undo", &one.undo)? })
    };
    Ok(Call {
        asked: asked(&call.function, &call.arguments)?,
        config: config(&call.config)?,
        // One of another package is no matter of this connector's types.
        simulated: call.simulated.into_iter().map(simulated).collect::<Result<_>>()?,
    })
}

/// The table that an operator writes: `()` stands for any.
fn config<T: DeserializeOwned>(text: &str) -> Result<T> {
    parsed("config", text).or_else(|failure| serde_json::from_value(Value::Null).map_err(|_| failure))
}

fn asked<T: DeserializeOwned>(function: &str, arguments: &str) -> Result<T> {
    let arguments: Value = parsed("arguments", arguments)?;
    let call = serde_json::json!({ "function": function, "arguments": arguments });
    serde_json::from_value(call).map_err(|error| {
        Failure::Invalid(format!("the connector does not know the call {function}: {error}"))
    })
}

fn prepared_of<C: Connector>(prepared: wit::Prepared) -> Result<Prepared<C::Undo>> {
    let wit::Prepared { undo, secret, irrevocable, describe, would_return } = prepared;
    let (undo, would_return) = (parsed("undo", &undo)?, parsed("would-return", &would_return)?);
    Ok(Prepared { undo, secret, irrevocable, describe, would_return })
}

fn got_of(got: Option<String>) -> Result<Option<Value>> {
    got.map(|got| parsed("result", &got)).transpose()
}

fn parsed<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| wrong(what, &error))
}

fn wrong(what: &str, error: &serde_json::Error) -> Failure {
    Failure::Invalid(format!("the connector's {what}: {error}"))
}
