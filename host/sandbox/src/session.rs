//! One call of one export of an action.

use remit_capability::Ctx;
use remit_engine::instantiated;
use remit_gate::{Fault, Gate};
use wasmtime::Store;

use crate::admission::Admitted;
use crate::meter::Meter;
use crate::sandbox::{Guest, Sandbox};
use crate::stop::Stop;

/// The export that is called.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// The `run` export, which makes the repair.
    Run {
        /// The input of the action, as JSON.
        input: &'a str,
    },
    /// The `verify` export, the action's own check.
    Verify {
        /// The input, as it was given to `run`.
        input: &'a str,
        /// The output of `run`, as JSON.
        output: &'a str,
    },
}

impl Sandbox {
    /// Calls one export in a store of its own. The store is gone afterwards, whatever happened; host calls that the call
    /// began end on their own ([`Gate::settle`]).
    pub async fn call(
        &self,
        action: &Admitted,
        gate: &Gate,
        seed: [u8; 32],
        meter: &mut Meter,
        call: Call<'_>,
    ) -> Result<String, Stop> {
        if let Call::Run { input } = call {
            meter.input(input).map_err(Stop::Exceeded)?;
        }
        let authority = gate.clone();
        // A guest that computes and makes no host call is stopped here when its authority ends.
        let in_force = move || authority.still_in_force().map_err(wasmtime::Error::new);
        let place = self.engine.place(&mut meter.engine).await;
        let opened =
            place.open(&meter.engine, Ctx::new(gate.clone(), seed, action.registry.clone()), in_force);
        let mut session = opened.map_err(|error| Stop::Trapped(error.to_string()))?;
        let called = meter
            .engine
            .until_deadline(async {
                let answer = invoke(action, &mut session.store, call).await?;
                if answer.is_ok() {
                    // After a failure or a crash, what was written and not closed is dropped.
                    session.data_mut().close().await?;
                }
                Ok(answer)
            })
            .await;
        let flushed = session.data_mut().finish().await;
        session.settle(&mut meter.engine);

        let answer = called
            .map_err(|error| Stop::of(error, &meter.engine, session.data().last_words()))?
            .map_err(match call {
                Call::Run { .. } => Stop::Failed,
                Call::Verify { .. } => Stop::Unverified,
            })?;
        flushed.map_err(Stop::Fault)?;
        meter.output(&answer).map_err(Stop::Exceeded)?;
        Ok(answer)
    }
}

async fn invoke(
    action: &Admitted,
    store: &mut Store<Guest>,
    call: Call<'_>,
) -> wasmtime::Result<Result<String, String>> {
    let exports = action.ready.pre.instantiate_async(&mut *store).await;
    let exports = instantiated(exports, wasmtime::Error::is::<Fault>)?;
    let remediation = exports.remit_action_remediation();
    match call {
        Call::Run { input } => remediation.call_run(&mut *store, input).await,
        Call::Verify { input, output } => {
            let held = remediation.call_verify(&mut *store, input, output).await?;
            Ok(held.map(|()| "null".to_owned()))
        }
    }
}
