//! Recovery: brings every run whose host was killed to a state. Where the host cannot know what happened, a person states
//! it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use remit_engine::blocking;
use remit_gate::{Fault, OnFailure, Phase, Scope, State};
use remit_journal::{Due, Event, Mode, Record, Resolved, RunId, RunState, Started};
use remit_policy::PolicyAction;
use remit_trust::KeyId;
use serde::{Deserialize, Serialize};

use crate::actor::{Actor, prepare_order};
use crate::authority::{Order, OrderKind, Prepared};
use crate::changes::{Change, changes, genuine};
use crate::claim::Claim;
use crate::contain::{contain, due_after_try, due_as_before, due_at_first, tries, was_tried};
use crate::plan::end;
use crate::revert::{Reopened, Reverted, reopen, revert_changes};
use crate::{Error, Host, sealed};

/// How long recovery waits after the last record. The last call of the killed host may still be on its way to a remote
/// system, and until it arrives the system shows the old state.
const SETTLED: SignedDuration = SignedDuration::from_secs(1);

/// A run that was recovered after its host had stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recovered {
    /// The run's identifier.
    pub run: RunId,
    /// The state that the recovery gave it.
    pub state: RunState,
    /// Why it has that state, as the journal says it.
    pub detail: String,
    /// The changes that were undone.
    pub reverted: Reverted,
}

/// The result of a recovery.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The runs that have a state now.
    pub recovered: Vec<Recovered>,
    /// The runs whose changes the host undid, or tried to undo, because their `restore_after` was up.
    pub restored: Vec<Recovered>,
    /// The runs because of which people were called, because their `page_after` was up or their changes cannot be undone.
    pub paged: Vec<RunId>,
    /// The runs that could not be brought to a state, and why. They are unchanged; the next recovery tries again.
    pub stuck: Vec<(RunId, Error)>,
}

/// Brings every run whose host is gone to a state. Runs that are in progress in another process are not touched. A run that
/// cannot be recovered does not stop the others, but a journal that cannot be written does. Then does what the host does by
/// itself for runs whose time is up.
pub async fn recover(host: &Host) -> Result<Recovery, Error> {
    let mut recovery = Recovery::default();
    let unfinished = || Ok::<_, Error>(host.journal.reader()?.unfinished()?);
    for run in blocking(unfinished)? {
        let Some(_claim) = blocking(|| Claim::take(&host.home, run))? else { continue };
        // The run may have ended before its lock was taken.
        if !blocking(unfinished)?.contains(&run) {
            continue;
        }
        match recover_one(host, run).await {
            Ok(recovered) => recovery.recovered.push(recovered),
            Err(error @ (Error::Journal(_) | Error::Fault(Fault::Journal(_)))) => return Err(error),
            Err(error) => {
                tracing::error!(%run, %error, "could not be recovered");
                recovery.stuck.push((run, error));
            }
        }
    }
    sealed::clear(host, None);
    let contained = contain(host).await?;
    (recovery.restored, recovery.paged) = (contained.restored, contained.paged);
    recovery.stuck.extend(contained.stuck);
    Ok(recovery)
}

async fn recover_one(host: &Host, run: RunId) -> Result<Recovered, Error> {
    let records = blocking(|| genuine(&host.home, &*host.journal.reader()?, run))?;
    let Some((_, Record { event: Event::Started(started), .. })) = records.first() else {
        return Err(Error::NotRevertible { run: run.to_string(), why: "its first record is missing" });
    };
    // A run that had a state was being reverted by hand. The revert continues, whatever the scope says.
    let had_ended = records.iter().any(|(_, record)| matches!(record.event, Event::Ended(_)));
    let scope = scope(started)?;
    let on_failure = if had_ended { OnFailure::Revert } else { on_failure(scope.as_ref()) };
    // The records are read once: what is undone is what was found genuine. A rehearsal has no changes.
    let changes = changes(&records)?;
    // Checked before anything is written: without the key to its undo data the run cannot be recovered.
    if !changes.is_empty() {
        host.undo_gate(run)?;
    }
    tracing::info!(%run, "the host of this run is gone: recovering");
    if let Some(last) = records.last() {
        settle(last.1.at).await;
    }
    reopen(host, run, Phase::Recover, Reopened::LeftBehind).await?;
    let (state, reverted) = conclude(host, run, &changes, on_failure).await?;
    let due = match scope {
        _ if had_ended && was_tried(&records) => due_after_try(&reverted, tries(&records), host.now()?),
        _ if had_ended => due_as_before(host, run, state)?,
        Some(scope) if !changes.is_empty() => due_at_first(&scope, state, || host.now())?,
        _ => Due::default(),
    };
    let detail = match state {
        RunState::InDoubt => in_doubt(&changes),
        _ if had_ended => "the host was stopped during the revert".to_owned(),
        _ if started.mode == Mode::Rehearse => "the host was stopped during the rehearsal".to_owned(),
        _ => "the host was stopped during the run".to_owned(),
    };
    end(host, run, state, detail.clone(), due).await?;
    Ok(Recovered { run, state, detail, reverted })
}

/// The scope of a recorded run.
fn scope(started: &Started) -> Result<Option<Scope>, Error> {
    Ok(started.scope.as_ref().map(|scope| serde_json::from_str(scope.get())).transpose()?)
}

/// What a scope orders when the run fails. Without a scope on record, the default.
fn on_failure(scope: Option<&Scope>) -> OnFailure {
    scope.map_or(OnFailure::Revert, |scope| scope.on_failure)
}

/// Undoes the changes of a run that will not continue, or holds them. Returns its state, and what was undone.
pub(crate) async fn conclude(
    host: &Host,
    run: RunId,
    changes: &[Change],
    on_failure: OnFailure,
) -> Result<(RunState, Reverted), Error> {
    if changes.is_empty() {
        return Ok((RunState::Failed, Reverted::default()));
    }
    if on_failure == OnFailure::Hold {
        return Ok((held(host, run, changes).await?, Reverted::default()));
    }
    let reverted = revert_changes(host, run, changes, false, false).await?;
    Ok((reverted.state(), reverted))
}

/// The state of a run whose changes are not undone. If the journal does not say whether a change took effect, the live
/// system shows it. For an irrevocable change only a person may say so.
async fn held(host: &Host, run: RunId, changes: &[Change]) -> Result<RunState, Error> {
    let gate = host.undo_gate(run)?;
    let mut stands = false;
    for change in changes {
        if change.needs_a_person() {
            return Ok(RunState::InDoubt);
        }
        let live = if change.in_doubt { change.live(host, &gate).await? } else { State::After };
        match live {
            State::After => stands = true,
            State::Before => {}
            State::Other(_) => return Ok(RunState::InDoubt),
        }
    }
    Ok(if stands { RunState::Held } else { RunState::Failed })
}

async fn settle(since: Timestamp) {
    let left = SETTLED - Timestamp::now().duration_since(since);
    // If the clock was set back, the wait is not longer.
    let left = Duration::try_from(left.min(SETTLED)).unwrap_or_default();
    tokio::time::sleep(left).await;
}

/// What a person must find out, in one sentence.
pub(crate) fn in_doubt(changes: &[Change]) -> String {
    let calls: Vec<String> = changes.iter().filter(|change| change.in_doubt).map(Change::words).collect();
    if calls.is_empty() {
        "a change could not be undone, because its system failed".to_owned()
    } else {
        format!("not known whether it happened: {}", calls.join(", "))
    }
}

/// A person's statement about a call in doubt.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The number of the call; none if only one is in doubt.
    pub call: Option<u64>,
    /// Whether the call took effect.
    pub happened: bool,
    /// How the person knows, in their own words. The reason of a signed order takes its place.
    pub reason: String,
}

/// A run in doubt, and the call that a person's statement is about.
struct Resolvable {
    /// The number of the call in doubt.
    call: u64,
    /// All changes of the run.
    changes: Vec<Change>,
    on_failure: OnFailure,
}

impl Resolvable {
    fn order(&self, run: RunId, verdict: &Verdict) -> OrderKind {
        OrderKind::Resolve { run, call: self.call, happened: verdict.happened }
    }
}

fn claim(host: &Host, run: RunId) -> Result<Claim, Error> {
    Claim::take(&host.home, run)?.ok_or_else(|| Error::NotResolvable {
        run: run.to_string(),
        why: "it is going on in another process".to_owned(),
    })
}

/// The call that a statement is about; an error if the run or the call is not in doubt.
async fn resolvable(host: &Host, run: RunId, verdict: &Verdict) -> Result<Resolvable, Error> {
    let refuse = |why: String| Err(Error::NotResolvable { run: run.to_string(), why });
    let records = blocking(|| genuine(&host.home, &*host.journal.reader()?, run))?;
    let last = records.iter().rev().find(|(_, record)| !record.event.keeps_state());
    let (first, last) = (records.first(), last);
    let (Some((_, Record { event: Event::Started(started), .. })), Some((_, last))) = (first, last) else {
        return refuse("its first record is missing".to_owned());
    };
    let state = if let Event::Ended(ended) = &last.event { Some(ended.state) } else { None };
    if state != Some(RunState::InDoubt) {
        return refuse("it is not in doubt".to_owned());
    }
    let changes = changes(&records)?;
    let open: Vec<&Change> = changes.iter().filter(|change| change.in_doubt).collect();
    let chosen = match (verdict.call, open.as_slice()) {
        (_, []) => {
            return refuse("none of its calls is in doubt; undo them with `remit revert`".to_owned());
        }
        (None, [only]) => only,
        (None, _) => {
            let calls: Vec<String> = open.iter().map(|change| change.words()).collect();
            return refuse(format!(
                "several calls are in doubt; choose one with --call: {}",
                calls.join(", ")
            ));
        }
        (Some(call), _) => match open.iter().find(|change| change.intent.call == call) {
            Some(change) => change,
            None => return refuse(format!("call {call} is not in doubt")),
        },
    };
    let call = chosen.intent.call;
    if verdict.happened && chosen.needs_a_person() {
        let live = chosen.live(host, &host.undo_gate(run)?).await?;
        if live == State::Before {
            return refuse(format!("call {call} cannot have happened: the live system is as it was before"));
        }
    }
    Ok(Resolvable { call, on_failure: on_failure(scope(started)?.as_ref()), changes })
}

/// Makes the statement of a person about a call in doubt, for its signature.
pub async fn prepare_resolve(
    host: &Host,
    by: &KeyId,
    run: RunId,
    verdict: &Verdict,
) -> Result<Prepared<Order>, Error> {
    let _claim = blocking(|| claim(host, run))?;
    let what = resolvable(host, run, verdict).await?.order(run, verdict);
    prepare_order(host, by, Some(run), (PolicyAction::Resolve, what), &verdict.reason)
}

/// Accepts a person's statement about a call in doubt, and brings the run to the state that follows from it.
pub async fn resolve(host: &Host, by: &Actor, run: RunId, verdict: &Verdict) -> Result<Recovered, Error> {
    let _claim = blocking(|| claim(host, run))?;
    let resolvable = resolvable(host, run, verdict).await?;
    let by = blocking(|| {
        let ordered = resolvable.order(run, verdict);
        let reader = host.journal.reader()?;
        by.check(host, &reader, Some(run), PolicyAction::Resolve, |what| *what == ordered)
    })?;
    let reason = by.reason().unwrap_or(&verdict.reason).to_owned();
    if reason.trim().is_empty() {
        let why = "no reason was given".to_owned();
        return Err(Error::NotResolvable { run: run.to_string(), why });
    }
    let Resolvable { call, mut changes, on_failure } = resolvable;
    reopen(host, run, Phase::Revert, Reopened::By(&by)).await?;
    let resolved = Resolved { call, happened: verdict.happened, principal: by.name.clone(), reason };
    host.journal.commit(Record::now(run, resolved)).await?;
    if verdict.happened {
        changes
            .iter_mut()
            .filter(|change| change.intent.call == call)
            .for_each(|change| change.in_doubt = false);
    } else {
        changes.retain(|change| change.intent.call != call);
    }
    let (state, reverted) = conclude(host, run, &changes, on_failure).await?;
    let detail = match state {
        RunState::InDoubt => in_doubt(&changes),
        _ => format!("call {call} was resolved by {}", by.name),
    };
    end(host, run, state, detail.clone(), due_as_before(host, run, state)?).await?;
    Ok(Recovered { run, state, detail, reverted })
}
