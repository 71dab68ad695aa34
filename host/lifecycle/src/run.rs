//! A live run, from the check of its grant to a named end.

use std::collections::HashSet;

use remit_gate::{Gate, OnFailure, Phase, Setup, State, Window};
use remit_journal::{Mode, Record, RunId, RunState};
use remit_sandbox::{Call, Candidate, Consumed, Meter};

use crate::authority::Grant;
use crate::changes::{Change, made};
use crate::claim::Claim;
use crate::own_words::{OwnWords, withheld};
use crate::plan::{admit, end_with, header, output};
use crate::recover::{conclude, in_doubt};
use crate::revert::Reverted;
use crate::{Error, Host, Input, components};

/// How a live run ended.
#[derive(Debug)]
pub struct Finished {
    /// The run.
    pub run: RunId,
    /// Its state, as journaled.
    pub state: RunState,
    /// What the action returned, when it returned.
    pub output: Option<serde_json::Value>,
    /// Whether that, and what else the action said in its own words, is sealed: it had been told a secret or content.
    pub sealed: bool,
    /// Why it did not succeed.
    pub cause: Option<Error>,
    /// What was taken back, when something was.
    pub reverted: Option<Reverted>,
    /// What it used.
    pub consumed: Consumed,
}

/// Runs an action under a grant. An error means that nothing was started, or that the journal failed and
/// the run has no end on record; every other end is told by [`Finished`].
pub(crate) async fn perform(
    host: &Host,
    candidate: &Candidate,
    input: &Input,
    grant: Grant,
) -> Result<Finished, Error> {
    let action = admit(host, candidate, input, Some(&grant.scope), grant.plan.as_ref())?;
    let (run, seed) = (grant.run(), grant.facts.seed);
    let mut started = header(&action, Mode::Live, input, &grant.scope, &grant.facts, &grant.principal)?;
    started.started_by = Some(grant.started_by);
    started.grant = Some(grant.on_record);
    components::keep(host, candidate)?;
    let Some(_claim) = Claim::take(&host.home, run)? else {
        return Err(Error::Busy { home: run.to_string() });
    };
    let (sealer, key) = host.keyring.new_run(run)?;
    // From here on nothing is missed that takes its authority away.
    let watch = host.journal.watch(run);
    // The use is counted in the same transaction that makes the run exist.
    host.journal.start(Record::now(run, started), key).await?;
    drop(grant.turn);

    let on_failure = grant.scope.on_failure;
    let mut meter = Meter::start(grant.scope.limits.clone());
    let gate = Gate::new(Setup {
        facts: grant.facts,
        mode: Mode::Live,
        scope: grant.scope,
        plan: grant.plan,
        window: Some(Window::new(grant.not_before, grant.not_after)),
        watch: Some(watch),
        estate: host.estate.clone(),
        journal: host.journal.clone(),
        sealer: sealer.clone(),
    });
    let mut returned = None;
    let outcome = async {
        let text =
            host.sandbox.call(&action, &gate, seed, &mut meter, Call::Run { input: input.json() }).await?;
        gate.settle().await;
        returned = Some(output(&text)?);
        gate.enter(Phase::Verify)?;
        let verify = Call::Verify { input: input.json(), output: &text };
        host.sandbox.call(&action, &gate, seed, &mut meter, verify).await?;
        gate.enter(Phase::HostCheck)?;
        host_check(host, run, &made(&gate)?).await
    }
    .await;
    gate.settle().await;
    let consumed = meter.consumed(gate.used());

    let Err(cause) = outcome else {
        let detail = "every check agreed".to_owned();
        let own =
            OwnWords { detail: detail.clone(), output: returned.clone() }.sealed(&gate, run, &sealer)?;
        let returned = returned.filter(|_| own.is_none());
        let sealed = own.is_some();
        end_with(host, run, RunState::Succeeded, detail, &consumed, returned.clone(), own).await?;
        return Ok(Finished {
            run,
            state: RunState::Succeeded,
            output: returned,
            sealed,
            cause: None,
            reverted: None,
            consumed,
        });
    };
    let (state, note, reverted) = match after_failure(host, run, &gate, &cause, on_failure).await {
        Ok(decided) => decided,
        // The journal or a backend is gone: what is on disk says the rest, and `remit revert` goes on.
        Err(error) => {
            tracing::error!(%run, %error, "the run could not be brought to an end");
            return Err(error);
        }
    };
    let own = OwnWords { detail: format!("{cause}{note}"), output: returned.clone() };
    let own = own.sealed(&gate, run, &sealer)?;
    let (sealed, cause) = (own.is_some(), withheld(&gate, run, cause));
    let output = returned.filter(|_| !sealed);
    end_with(host, run, state, format!("{cause}{note}"), &consumed, output.clone(), own).await?;
    Ok(Finished { run, state, output, sealed, cause: Some(cause), reverted, consumed })
}

async fn after_failure(
    host: &Host,
    run: RunId,
    gate: &Gate,
    cause: &Error,
    on_failure: OnFailure,
) -> Result<(RunState, String, Option<Reverted>), Error> {
    gate.enter(Phase::Revert)?;
    // Its own gate saw every change: nobody is between what happened and what is taken back.
    let changes = made(gate)?;
    let (state, reverted) = conclude(host, run, &changes, on_failure).await?;
    let refused = matches!(cause, Error::Stop(stop) if stop.is_refusal());
    let state = if state == RunState::Failed && refused { RunState::Refused } else { state };
    let note = if state == RunState::InDoubt { format!("; {}", in_doubt(&changes)) } else { String::new() };
    Ok((state, note, Some(reverted).filter(|reverted| !reverted.steps.is_empty())))
}

/// The host's own look at each change, on a path the action has no part in.
async fn host_check(host: &Host, run: RunId, changes: &[Change]) -> Result<(), Error> {
    let gate = host.undo_gate(run)?;
    let mut seen = HashSet::new();
    for change in changes.iter().rev() {
        // A later change of the same resource explains why an earlier one no longer stands.
        if !seen.insert(&change.intent.resource) {
            continue;
        }
        let state = change.live(&gate).await?;
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
