//! From an action's import to the gate and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_engine::{Signature, Signatures, Type};
use remit_gate::{Effect, Failure, Fault, Resource, SealedValues};
use remit_trust::{ValueHandle, canonical};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Val};

use super::{Act, Call, Look, Served, form};
use crate::{CallError, Ctx};

/// A function that an action imports.
struct Function {
    /// The name of the interface with its version.
    import: String,
    /// The name of the operation.
    operation: Arc<str>,
    /// The name of the function.
    name: String,
    parameters: Vec<(String, Type)>,
    /// The type of what it returns if it does not fail.
    returns: Option<Type>,
}

/// Lets the components of `linker` import an interface that connectors serve, with the functions that an action imports of it.
/// Which connectors these are is looked up at each call, in the registry of the run.
pub fn link<T: AsMut<Ctx> + Send + 'static>(
    linker: &mut Linker<T>,
    import: &str,
    functions: &Signatures,
) -> wasmtime::Result<()> {
    let interface = import.split('@').next().unwrap_or(import);
    let mut instance = linker.instance(import)?;
    for (name, signature) in &functions.0 {
        let returns = form(signature).map_err(|why| wasmtime::Error::msg(format!("`{name}` {why}")))?;
        let Signature { parameters, .. } = signature;
        let function = Arc::new(Function {
            import: import.to_owned(),
            operation: format!("{interface}.{name}").into(),
            name: name.clone(),
            parameters: parameters.clone(),
            returns: returns.cloned(),
        });
        instance.func_new_async(name, move |mut store: StoreContextMut<'_, T>, _, arguments, results| {
            let function = Arc::clone(&function);
            Box::new(async move {
                let answer = function.call(store.data_mut().as_mut(), arguments).await;
                let answer = crate::answered(answer)?;
                if let Some(result) = results.first_mut() {
                    *result = function.result(answer)?;
                }
                Ok(())
            })
        })?;
    }
    Ok(())
}

impl Function {
    /// Asks the gate.
    async fn call(&self, ctx: &mut Ctx, arguments: &[Val]) -> Result<Value, CallError> {
        let served = ctx.served(&self.import).ok_or_else(|| self.fault("nothing serves it"))?;
        let call = self.of(ctx, &served, arguments)?;
        let by = served.route(&call.resource);
        let effect = by.as_ref().ok().and_then(|by| by.function(&self.operation)).map(|facts| facts.effect);
        match (by, effect) {
            (Ok(by), Some(Effect::Change | Effect::Irrevocable)) => {
                ctx.change(Act { call, by: Arc::clone(by), got: None }).await
            }
            (by, _) => ctx.observe(Look { call, by: by.map(Arc::clone) }).await,
        }
    }

    /// The call of these arguments; or the journaled refusal of one.
    fn of(&self, ctx: &Ctx, served: &Served, arguments: &[Val]) -> Result<Call, CallError> {
        let mut object = Map::new();
        for ((name, of), value) in self.parameters.iter().zip(arguments) {
            let json = of.to_json(value).map_err(|misfit| self.fault(&format!("{name}: {misfit}")))?;
            object.insert(name.clone(), json);
        }
        let sealed = self.sealed(ctx, served, &object)?;
        let path = self.parameters.first().and_then(|(name, _)| object.get(name)).and_then(Value::as_str);
        let path = path.ok_or_else(|| self.fault("it has no path"))?;
        let resource = Resource::new(&served.kind, path)
            .map_err(|error| ctx.refuse_named(&self.operation, path, &error.to_string()))?;
        let text = canonical(&object).ok().and_then(|text| String::from_utf8(text).ok());
        let arguments = text.and_then(|text| RawValue::from_string(text).ok());
        let arguments = arguments.ok_or_else(|| self.fault("its arguments have no canonical JSON"))?;
        Ok(Call {
            operation: Arc::clone(&self.operation),
            resource,
            arguments,
            sealed: Arc::new(sealed),
            sent: super::Requests::default(),
        })
    }

    /// The values whose handles are in the arguments.
    fn sealed(
        &self,
        ctx: &Ctx,
        served: &Served,
        arguments: &Map<String, Value>,
    ) -> Result<SealedValues, CallError> {
        let mut sealed = BTreeMap::new();
        for name in served.sealed.get(&self.name).into_iter().flatten() {
            let argument = arguments.get(name).filter(|argument| !argument.is_null());
            let Some(argument) = argument else { continue };
            let handle = argument.as_str().unwrap_or_default().parse::<ValueHandle>();
            // What it is instead is not shown: it may be a secret that was taken for a handle.
            let handle = handle.map_err(|why| {
                ctx.refuse_named(&self.operation, "(not shown)", &format!("`{name}`: {why}"))
            })?;
            if let Some(value) = ctx.gate().sealed_value(&handle) {
                sealed.insert(handle, value);
            }
        }
        Ok(sealed)
    }

    /// What the guest gets.
    fn result(&self, answer: Result<Value, Failure>) -> wasmtime::Result<Val> {
        let result = match answer {
            Ok(value) => match &self.returns {
                None => Ok(None),
                Some(returns) => {
                    let value = returns.from_json(&value).map_err(|misfit| {
                        wasmtime::Error::new(self.record_of_another_type(&misfit.to_string()))
                    })?;
                    Ok(Some(Box::new(value)))
                }
            },
            Err(failure) => {
                let (case, why) = match failure {
                    Failure::Denied(why) => ("denied", why),
                    Failure::NotFound(why) => ("not-found", why),
                    Failure::Conflict(why) => ("conflict", why),
                    Failure::Invalid(why) => ("invalid", why),
                    Failure::Unavailable(why) => ("unavailable", why),
                };
                let failure = Val::Variant(case.to_owned(), Some(Box::new(Val::String(why))));
                Err(Some(Box::new(failure)))
            }
        };
        Ok(Val::Result(result))
    }

    /// A connector's result was checked before it was put on record, so it is a record of another time.
    fn record_of_another_type(&self, why: &str) -> Fault {
        Fault::Record { operation: self.operation.to_string(), verb: "read", why: why.to_owned() }
    }

    /// What cannot be for a component that was admitted.
    fn fault(&self, why: &str) -> CallError {
        CallError::Trap(wasmtime::Error::msg(format!("{}: {why}", self.operation)))
    }
}
