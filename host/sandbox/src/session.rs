//! One call of one export: instantiate, meter, call, say how it ended.

use std::time::Instant;

use miette::Diagnostic;
use remit_capability::Ctx;
use remit_capability::bindings::Action;
use remit_capability::wasi::Exit;
use remit_gate::{Exceeded, Fault, Gate, Limit};
use tokio::sync::SemaphorePermit;
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::engine::STACK;
use crate::meter::{Limiter, Meter};
use crate::{Admitted, Sandbox};

/// What a store holds.
pub(crate) struct Guest {
    pub(crate) ctx: Ctx,
    limiter: Limiter,
}

/// Which export to call.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// The repair.
    Run {
        /// JSON.
        input: &'a str,
    },
    /// The action's own check.
    Verify {
        /// JSON, as given to `run`.
        input: &'a str,
        /// JSON, as returned by `run`.
        output: &'a str,
    },
}

/// Why a call did not return what it should.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Stop {
    /// The gate ended it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fault(Fault),
    /// A limit of the sandbox was reached.
    #[error(transparent)]
    #[diagnostic(code(failed::limit), help("{}", limit_help(.0)))]
    Exceeded(Exceeded),
    /// `run` of the action returned an error.
    #[error("the action failed: {0}")]
    #[diagnostic(
        code(failed::action),
        help("the message is the action's own; `remit show RUN` tells what it did before")
    )]
    Failed(String),
    /// `verify` of the action returned an error: the repair was made and does not hold.
    #[error("verify failed: {0}")]
    #[diagnostic(
        code(failed::verify),
        help(
            "the message is from the action's own check, after its `run` had ended well; `remit show RUN` tells what it did"
        )
    )]
    Unverified(String),
    /// The machine has no room for the guest, which never began.
    #[error("{}{_0}", Self::NOT_STARTED)]
    #[diagnostic(
        code(failed::room),
        help(
            "the machine is short of memory, or a limit on addresses (`ulimit -v`, `LimitAS=`) leaves less than the \
             4 GiB that each memory of a guest is laid out in"
        )
    )]
    NotStarted(String),
    /// The guest crashed.
    #[error("the action crashed: {0}")]
    #[diagnostic(
        code(failed::trap),
        help("report this to the action's author, with the run's log (`remit show RUN`)")
    )]
    Trapped(String),
    /// The action returned something that is not JSON.
    #[error("the action's output is not JSON: {0}")]
    #[diagnostic(code(failed::output), help("report this to the action's author"))]
    Output(String),
}

fn limit_help(exceeded: &Exceeded) -> &'static str {
    match exceeded.limit {
        Limit::Stack => {
            "the stack is the same for every run: report the endless recursion to the action's author"
        }
        _ => {
            "raise this limit in the scope and ask again (`remit request --scope`), if the action should need that much"
        }
    }
}

impl Stop {
    /// How the text of a [`Stop::NotStarted`] begins, on record too.
    pub const NOT_STARTED: &str = "the host has no room for the action: ";

    /// Whether the host refused, rather than the action or a system failing.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.code().is_some_and(|code| code.to_string().starts_with("refused"))
    }
}

impl Sandbox {
    /// Calls one export in a store of its own. The store is gone afterwards, whatever happened; effects
    /// the call began end on their own ([`Gate::settle`]).
    pub async fn call(
        &self,
        action: &Admitted,
        gate: &Gate,
        seed: [u8; 32],
        meter: &mut Meter,
        call: Call<'_>,
    ) -> Result<String, Stop> {
        if let Call::Run { input } = call {
            let (used, allowed) = (input.len() as u64, meter.limits.input.as_u64());
            meter.consumed.input = used;
            if used > allowed {
                return Err(Stop::Exceeded(Exceeded { limit: Limit::Input, used, allowed }));
            }
        }
        let _place = self.place(meter).await;
        let guest = Guest { ctx: Ctx::new(gate.clone(), seed), limiter: Limiter::new(&meter.limits) };
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        // What one host call may copy out of the guest: never more than its memory.
        store.set_hostcall_fuel(usize::try_from(meter.limits.memory.as_u64()).unwrap_or(usize::MAX));
        let fuel = meter.limits.fuel.saturating_sub(meter.consumed.fuel);
        store.set_fuel(fuel).map_err(|error| Stop::Trapped(error.to_string()))?;
        store.set_epoch_deadline(1);
        let (deadline, late) = (meter.deadline(), meter.out_of_time());
        let authority = gate.clone();
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= deadline {
                return Err(wasmtime::Error::new(late.clone()));
            }
            // A guest that computes and never calls is stopped here when its authority ends.
            authority.still_in_force().map_err(wasmtime::Error::new)?;
            Ok(UpdateDeadline::Yield(1))
        });

        let called = tokio::time::timeout_at(deadline.into(), async {
            let answer = invoke(action, &mut store, call).await?;
            if answer.is_ok() {
                // What an action that failed or crashed wrote and did not close is not wanted.
                store.data_mut().ctx.close().await?;
            }
            Ok(answer)
        });
        let called = called.await;
        let flushed = store.data_mut().ctx.finish().await;
        let left = store.get_fuel().unwrap_or(0);
        meter.consumed.fuel += fuel - left;
        let limiter = &store.data().limiter;
        meter.consumed.memory = meter.consumed.memory.max(limiter.memory);
        meter.consumed.table_elements = meter.consumed.table_elements.max(limiter.table_elements);

        let Ok(called) = called else {
            return Err(Stop::Exceeded(meter.out_of_time()));
        };
        let said = store.data().ctx.last_words();
        let answer = called.map_err(|error| stop(error, meter, said))?.map_err(match call {
            Call::Run { .. } => Stop::Failed,
            Call::Verify { .. } => Stop::Unverified,
        })?;
        flushed.map_err(Stop::Fault)?;
        let (used, allowed) = (answer.len() as u64, meter.limits.output.as_u64());
        meter.consumed.output = meter.consumed.output.max(used);
        if used > allowed {
            return Err(Stop::Exceeded(Exceeded { limit: Limit::Output, used, allowed }));
        }
        Ok(answer)
    }

    /// Waits for a place among the guests. The run's clock stands still meanwhile: others' time is not its own.
    async fn place(&self, meter: &mut Meter) -> Option<SemaphorePermit<'_>> {
        if let Ok(place) = self.places.try_acquire() {
            return Some(place);
        }
        let since = Instant::now();
        // Never closed.
        let place = self.places.acquire().await.ok();
        meter.started += since.elapsed();
        place
    }
}

async fn invoke(
    action: &Admitted,
    store: &mut Store<Guest>,
    call: Call<'_>,
) -> wasmtime::Result<Result<String, String>> {
    let exports: Action = action.ready.pre.instantiate_async(&mut *store).await.map_err(not_started)?;
    let remediation = exports.remit_action_remediation();
    match call {
        Call::Run { input } => remediation.call_run(&mut *store, input).await,
        Call::Verify { input, output } => {
            let held = remediation.call_verify(&mut *store, input, output).await?;
            Ok(held.map(|()| "null".to_owned()))
        }
    }
}

/// The machine could not make an instance.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoRoom(String);

/// Why there is no instance: a trap, a limit or an error with a frame of its code is the guest's; else it never began.
fn not_started(error: wasmtime::Error) -> wasmtime::Error {
    let its_own =
        error.is::<Fault>() || error.is::<Exceeded>() || error.is::<Trap>() || error.is::<WasmBacktrace>();
    if its_own { error } else { wasmtime::Error::new(NoRoom(format!("{error:#}"))) }
}

/// Finds the cause of a trap: a kind, never a text. A guest that gave up, as a panic does, has said why before.
fn stop(error: wasmtime::Error, meter: &Meter, said: Option<&str>) -> Stop {
    let error = match error.downcast::<Fault>() {
        Ok(fault) => return Stop::Fault(fault),
        Err(error) => error,
    };
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return Stop::Exceeded(match exceeded.limit {
            Limit::WallTime => meter.out_of_time(),
            _ => exceeded.clone(),
        });
    }
    if let Some(exit) = error.downcast_ref::<Exit>() {
        return Stop::Trapped(exit.to_string());
    }
    if let Some(NoRoom(why)) = error.downcast_ref() {
        return Stop::NotStarted(why.clone());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            let allowed = meter.limits.fuel;
            Stop::Exceeded(Exceeded { limit: Limit::Fuel, used: allowed.saturating_add(1), allowed })
        }
        Some(Trap::StackOverflow) => {
            let allowed = STACK as u64;
            Stop::Exceeded(Exceeded { limit: Limit::Stack, used: allowed + 1, allowed })
        }
        Some(Trap::UnreachableCodeReached) if let Some(said) = said => Stop::Trapped(said.to_owned()),
        Some(trap) => Stop::Trapped(trap.to_string()),
        None => Stop::Trapped(format!("{error:#}")),
    }
}
