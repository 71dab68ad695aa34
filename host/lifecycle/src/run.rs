//! Live runs, from the record of the start to a state.

use std::collections::HashSet;
use std::sync::Arc;

use remit_engine::blocking;
use remit_gate::{Gate, OnFailure, Phase, Scope, SealedValues, Setup, State, Window};
use remit_journal::{ConnectorRef, Due, Mode, Record, RunId, RunState};
use remit_sandbox::{Admitted, Call, Candidate, Consumed, Meter};
use remit_trust::Sealer;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::authority::Grant;
use crate::changes::{Change, made};
use crate::claim::Claim;
use crate::contain::due_at_first;
use crate::own_words::{OwnWords, withheld};
use crate::plan::{admit, code, end_with, header, output};
use crate::recover::{conclude, in_doubt};
use crate::revert::Reverted;
use crate::turn::Turn;
use crate::{Error, Host, Input, components, connectors};

/// The result of a live run.
#[derive(Debug)]
pub struct Finished {
    /// The run's identifier.
    pub run: RunId,
    /// The run's state, as the journal has it.
    pub state: RunState,
    /// What the action returned; none if it did not return a value.
    pub output: Option<serde_json::Value>,
    /// Whether the output and the action's own messages are sealed, because it was given a secret or content.
    pub sealed: bool,
    /// Why the run did not succeed; none if it did.
    pub cause: Option<Error>,
    /// The changes that were undone; none if the run was not reverted.
    pub reverted: Option<Reverted>,
    /// How much of its limits the run used.
    pub consumed: Consumed,
}

/// A run in progress. Dropping this value does not stop it.
#[derive(Debug)]
pub struct Started {
    /// The run's identifier.
    pub run: RunId,
    end: JoinHandle<Result<Finished, Error>>,
}

impl Started {
    /// Waits for the run's end. An error means that the journal or a backend failed, and that the run has no state.
    pub async fn end(self) -> Result<Finished, Error> {
        match self.end.await {
            Ok(end) => end,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::HostStopped { run: self.run }),
            },
        }
    }
}

/// A run that was started, with everything that it needs.
struct Running {
    host: Host,
    run: RunId,
    action: Admitted,
    /// The connectors that it can reach.
    connectors: Vec<ConnectorRef>,
    input: Input,
    seed: [u8; 32],
    gate: Gate,
    meter: Meter,
    sealer: Arc<Sealer>,
    scope: Scope,
    /// The run's lock. It is held until the run has a state, so that no other process reverts or recovers it.
    _claim: Claim,
}

/// Puts the start of a run on record and runs it in a task of its own. `grant` makes the last checks; `turn` is held until the record is
/// written, so that no two starts count the same budget. An error means that nothing was started.
pub(crate) async fn begin(
    host: &Host,
    candidate: &Candidate,
    (input, sealed): (&Input, SealedValues),
    grant: impl FnOnce() -> Result<Grant, Error>,
    turn: Turn,
) -> Result<Started, Error> {
    let (action, started, claim, (sealer, key), (facts, scope, plan, window)) = blocking(|| {
        let Grant { scope, plan, facts, connectors, principal, started_by, not_before, not_after, on_record } =
            grant()?;
        let window = Window::new(not_before, not_after);
        let action = admit(host, candidate, input, Some(&scope), plan.as_ref())?;
        components::keep(host, candidate)?;
        let Some(claim) = Claim::take(&host.home, facts.run)? else {
            return Err(Error::Busy { home: facts.run.to_string() });
        };
        let mut started = header(&action, Mode::Live, input, &scope, &facts, &principal)?;
        started.started_by = Some(started_by);
        started.grant = Some(on_record);
        // What is started is what was admitted just now, and what was approved.
        if let Some(why) = connectors::difference(&connectors, &started.connectors) {
            return Err(Error::ConnectorChanged { why });
        }
        host.keep_connectors(&started.connectors)?;
        Ok((action, started, claim, host.keyring.new_run(facts.run)?, (facts, scope, plan, window)))
    })?;
    let estate = host.estate()?.with_sealed_values(sealed);
    let (run, seed, connectors) = (facts.run, facts.seed, started.connectors.clone());
    // The watch begins before the start is on record, so that no revocation is missed.
    let watch = host.journal.watch(run);
    // The use is counted in the same transaction that makes the run exist.
    host.journal.start(Record::now(run, started), key).await?;
    drop(turn);
    crate::sealed::clear(host, Some(input));

    let running = Running {
        run,
        seed,
        scope: scope.clone(),
        meter: Meter::start(scope.limits.clone()),
        gate: Gate::new(Setup {
            facts,
            mode: Mode::Live,
            scope,
            plan,
            window: Some(window),
            watch: Some(watch),
            estate,
            journal: host.journal.clone(),
            sealer: Arc::clone(&sealer),
        }),
        host: host.clone(),
        action,
        connectors,
        input: input.clone(),
        sealer,
        _claim: claim,
    };
    // It goes on after the call that started it.
    let span = tracing::trace_span!(parent: None, "run", %run);
    span.follows_from(tracing::Span::current());
    Ok(Started { run, end: host.running.spawn(running.finish().instrument(span)) })
}

impl Running {
    /// Runs the action, checks its changes, and writes the state that the run comes to.
    async fn finish(self) -> Result<Finished, Error> {
        let Self { host, run, action, connectors, input, seed, gate, mut meter, sealer, scope, _claim } =
            self;
        let mut returned = None;
        let outcome = async {
            let call = Call::Run { input: input.json() };
            let text = host.sandbox.call(&action, &gate, seed, &mut meter, call).await?;
            gate.settle().await;
            returned = Some(output(&text)?);
            gate.enter(Phase::Verify)?;
            let verify = Call::Verify { input: input.json(), output: &text };
            host.sandbox.call(&action, &gate, seed, &mut meter, verify).await?;
            gate.enter(Phase::HostCheck)?;
            // A plan was approved as a whole. An action that tells a run from a rehearsal could otherwise choose a part of it.
            if let Some(next) = gate.left_of_plan() {
                return Err(Error::PartOfPlan { next });
            }
            host_check(&host, run, &made(&gate, &connectors)?).await
        }
        .await;
        gate.settle().await;
        let consumed = meter.consumed(gate.used());
        let (state, detail, cause, reverted) = match outcome {
            Ok(()) => (RunState::Succeeded, "every check agreed".to_owned(), None, None),
            Err(cause) => {
                match after_failure(&host, run, (&gate, &connectors), &cause, scope.on_failure).await {
                    Ok((state, note, reverted)) => {
                        (state, format!("{cause}{note}"), Some((cause, note)), reverted)
                    }
                    // The journal or a backend failed. The run has no state, and the next recovery gives it one.
                    Err(error) => {
                        tracing::error!(%run, %error, "the run could not be brought to a state");
                        return Err(error);
                    }
                }
            }
        };
        let own =
            OwnWords { detail: detail.clone(), output: returned.clone() }.sealed(&gate, run, &sealer)?;
        let sealed = own.is_some();
        let output = returned.filter(|_| !sealed);
        let (cause, told) = match cause {
            None => (None, (detail, None)),
            Some((cause, note)) => {
                let cause = withheld(&gate, run, cause);
                let told = (format!("{cause}{note}"), code(&cause));
                (Some(cause), told)
            }
        };
        // What stands for a while only: nothing does if nothing was changed.
        let due = if made(&gate, &connectors)?.is_empty() {
            Due::default()
        } else {
            due_at_first(&scope, state, || host.now())?
        };
        end_with(&host, run, (state, due), told, &consumed, output.clone(), own).await?;
        Ok(Finished { run, state, output, sealed, cause, reverted, consumed })
    }
}

/// Undoes the changes of a failed run, or holds them. Returns the run's state, a note for its detail, and what was undone.
async fn after_failure(
    host: &Host,
    run: RunId,
    (gate, connectors): (&Gate, &[ConnectorRef]),
    cause: &Error,
    on_failure: OnFailure,
) -> Result<(RunState, String, Option<Reverted>), Error> {
    gate.enter(Phase::Revert)?;
    let changes = made(gate, connectors)?;
    let (state, reverted) = conclude(host, run, &changes, on_failure).await?;
    let refused = matches!(cause, Error::Stop(stop) if stop.is_refusal());
    let state = if state == RunState::Failed && refused { RunState::Refused } else { state };
    let note = if state == RunState::InDoubt { format!("; {}", in_doubt(&changes)) } else { String::new() };
    Ok((state, note, Some(reverted).filter(|reverted| !reverted.steps.is_empty())))
}

/// The host's own check of each change, on a path that the action cannot influence.
async fn host_check(host: &Host, run: RunId, changes: &[Change]) -> Result<(), Error> {
    let gate = host.undo_gate(run)?;
    let mut checked = HashSet::new();
    for change in changes.iter().rev() {
        // After a later change of the same resource, the state that an earlier one left is gone.
        if !checked.insert(&change.intent.resource) {
            continue;
        }
        let state = change.live(host, &gate).await?;
        if state != State::After {
            let found = match state {
                State::Before => "nothing changed".to_owned(),
                State::Other(live) => live,
                State::After => continue,
            };
            return Err(Error::HostCheck {
                operation: change.operation_words(),
                resource: change.intent.resource.clone(),
                found,
            });
        }
    }
    Ok(())
}
