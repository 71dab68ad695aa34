//! Changes that may stand only for a while: `restore_after` and `page_after` of a scope. When the time is up, the host undoes
//! them or calls people, whether or not anybody thinks of it. When that is, is on record with the run's end, so that it
//! outlives every process.

use jiff::{SignedDuration, Timestamp};
use remit_engine::blocking;
use remit_gate::{LONGEST_STANDING, Phase, Scope};
use remit_journal::{Due, Event, Extended, JournalError, Paged, Record, RunId, RunState, UndoResult};
use remit_policy::PolicyAction;
use remit_trust::KeyId;

use crate::actor::{Actor, prepare_order};
use crate::authority::{Order, OrderKind, Prepared};
use crate::changes::{changes, genuine};
use crate::claim::Claim;
use crate::plan::end;
use crate::recover::{Recovered, in_doubt};
use crate::revert::{Reopened, Reverted, reopen, revert_changes};
use crate::time::second;
use crate::{Error, Host};

/// How long the host waits before it tries again to undo changes whose system failed. Twice as long each time.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// The longest such pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// How often it tries: about a day long. After that, only a person can.
const MOST_TRIES: u32 = 30;

/// What the host does by itself after the first end of a run.
pub(crate) fn due_at_first(
    scope: &Scope,
    state: RunState,
    end: impl FnOnce() -> Result<Timestamp, Error>,
) -> Result<Due, Error> {
    if !stands(state) || (scope.restore_after, scope.page_after) == (None, None) {
        return Ok(Due::default());
    }
    let end = end()?;
    let after = |time: Option<SignedDuration>| Some(whole(end.saturating_add(time?).ok()?));
    Ok(Due { restore: after(scope.restore_after), page: after(scope.page_after) })
}

/// What the host does by itself after a person reverted or resolved a run: the same as before, if changes still stand.
pub(crate) fn due_as_before(host: &Host, run: RunId, state: RunState) -> Result<Due, Error> {
    if stands(state) { Ok(host.journal.reader()?.due_of(run)?) } else { Ok(Due::default()) }
}

/// What the host does by itself after it tried to undo a run's changes. It tries again only where a system failed: whatever
/// else is in the way, a person must decide. `tries` counts the attempts so far.
pub(crate) fn due_after_try(reverted: &Reverted, tries: u32, now: Timestamp) -> Due {
    let failed = reverted.steps.iter().any(|step| matches!(step.result, UndoResult::Failed { .. }));
    Due { restore: if failed { next_try(tries, now) } else { None }, page: None }
}

fn next_try(tries: u32, now: Timestamp) -> Option<Timestamp> {
    let pause = PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    if tries < MOST_TRIES { now.saturating_add(pause).ok().map(whole) } else { None }
}

/// Whether changes of a run in this state are in effect, or may be.
fn stands(state: RunState) -> bool {
    matches!(state, RunState::Succeeded | RunState::Held | RunState::InDoubt)
}

/// The next whole second.
fn whole(at: Timestamp) -> Timestamp {
    let down = second(at);
    if down == at { at } else { down.saturating_add(SignedDuration::from_secs(1)).unwrap_or(at) }
}

/// The attempts so far to undo the changes because the time was up.
pub(crate) fn tries(records: &[(u64, Record)]) -> u32 {
    let after = records.iter().skip_while(|(_, record)| !matches!(record.event, Event::Ended(_)));
    let tries = after.filter(|(_, record)| is_try(record) || matches!(record.event, Event::Paged(_)));
    u32::try_from(tries.count()).unwrap_or(u32::MAX)
}

/// Whether the newest attempt to undo the changes was one because the time was up.
pub(crate) fn was_tried(records: &[(u64, Record)]) -> bool {
    let reverts = |record: &Record| matches!(&record.event, Event::Phase(p) if p.phase == Phase::Revert);
    let ended = records.iter().position(|(_, record)| matches!(record.event, Event::Ended(_)));
    let after = records.get(ended.unwrap_or(records.len())..).unwrap_or_default();
    after.iter().rev().find(|(_, record)| reverts(record)).is_some_and(|(_, record)| is_try(record))
}

/// After a run's end, only the host itself reverts without anybody's order.
fn is_try(record: &Record) -> bool {
    matches!(&record.event, Event::Phase(p) if p.phase == Phase::Revert && p.principal.is_none())
}

/// What the host did by itself because the time was up.
#[derive(Debug, Default)]
pub(crate) struct Contained {
    pub(crate) restored: Vec<Recovered>,
    pub(crate) paged: Vec<RunId>,
    pub(crate) stuck: Vec<(RunId, Error)>,
}

/// Undoes changes whose time is up, and calls people where a scope says so. Runs that another process works on are left to it.
pub(crate) async fn contain(host: &Host) -> Result<Contained, Error> {
    let mut contained = Contained::default();
    let now = host.now()?;
    let is_up = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    for (run, due) in blocking(|| host.journal.reader()?.due())? {
        if !is_up(due.restore) && !is_up(due.page) {
            continue;
        }
        let Some(_claim) = blocking(|| Claim::take(&host.home, run))? else { continue };
        // Another process may have done it before the lock was taken.
        let due = blocking(|| {
            let reader = host.journal.reader()?;
            let open = reader.unfinished()?.contains(&run);
            Ok::<_, JournalError>(if open { Due::default() } else { reader.due_of(run)? })
        })?;
        let done = if is_up(due.restore) {
            restore(host, run).await.map(|restored| match restored {
                Some(restored) => contained.restored.push(restored),
                None => contained.paged.push(run),
            })
        } else if is_up(due.page) {
            let why = "its changes stand for longer than its `page_after`".to_owned();
            let paged = Paged { why, due: Due { page: None, ..due } };
            let done = host.journal.commit(Record::now(run, paged)).await;
            done.map(|()| contained.paged.push(run)).map_err(Error::from)
        } else {
            Ok(())
        };
        match done {
            Ok(()) => {}
            Err(error @ Error::Journal(_)) => return Err(error),
            Err(error) => {
                tracing::error!(%run, %error, "its time is up, and its changes could not be undone");
                contained.stuck.push((run, error));
            }
        }
    }
    Ok(contained)
}

/// Undoes the changes of a run whose time is up. None if that could not even be tried: people are called then.
async fn restore(host: &Host, run: RunId) -> Result<Option<Recovered>, Error> {
    let read = || {
        let records = genuine(&host.home, &*host.journal.reader()?, run)?;
        // Checked before anything is written: without the key to its undo data the run cannot be reverted.
        host.undo_gate(run)?;
        let (changes, tries) = (changes(&records)?, tries(&records) + 1);
        Ok::<_, Error>((changes, tries))
    };
    let (changes, tries) = match blocking(read) {
        Ok(read) => read,
        // Nothing more is written about records that are not what was written, nor into a journal that fails.
        Err(error @ (Error::Journal(_) | Error::Check(_))) => return Err(error),
        Err(error) => {
            let tries = blocking(|| Ok::<_, Error>(tries(&host.journal.reader()?.run(&run)?) + 1))?;
            let due = Due { restore: next_try(tries, host.now()?), page: None };
            let why = format!("its time is up, and its changes cannot be undone: {error}");
            tracing::error!(%run, %error, "its time is up, and its changes cannot be undone");
            host.journal.commit(Record::now(run, Paged { why, due })).await?;
            return Ok(None);
        }
    };
    tracing::warn!(%run, "the time of its changes is up: undoing them");
    reopen(host, run, Phase::Revert, Reopened::Due("its changes stood for longer than its `restore_after`"))
        .await?;
    let reverted = revert_changes(host, run, &changes, false, false).await?;
    let state = reverted.state();
    let detail = match state {
        RunState::InDoubt if changes.iter().any(|change| change.in_doubt) => in_doubt(&changes),
        _ => reverted.words("reverted because its `restore_after` was up"),
    };
    end(host, run, state, detail.clone(), due_after_try(&reverted, tries, host.now()?)).await?;
    Ok(Some(Recovered { run, state, detail, reverted }))
}

/// Checks that the time of a run's changes can be extended until then.
fn check_extendable(host: &Host, run: RunId, until: Timestamp) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::NotExtendable { run: run.to_string(), why });
    let reader = host.journal.reader()?;
    let records = genuine(&host.home, &reader, run)?;
    let now = host.now()?;
    let ended = records.iter().find(|(_, record)| matches!(record.event, Event::Ended(_)));
    let (Some((_, ended)), Some(restore)) = (ended, reader.due_of(run)?.restore) else {
        return refuse("the host does not undo its changes by itself, or has done so already".to_owned());
    };
    if reader.unfinished()?.contains(&run) || restore <= now {
        return refuse(format!("its time was up at {restore}"));
    }
    if until != second(until) {
        return refuse("a time to the second is needed".to_owned());
    }
    if until <= restore {
        return refuse(format!("its time is up at {restore}, and {until} is not later"));
    }
    let last = ended.at.saturating_add(LONGEST_STANDING).unwrap_or(Timestamp::MAX);
    if until > last {
        return refuse(format!("at most until {}, which is 30 days after its end", second(last)));
    }
    Ok(())
}

fn claim(host: &Host, run: RunId) -> Result<Claim, Error> {
    Claim::take(&host.home, run)?.ok_or_else(|| Error::NotExtendable {
        run: run.to_string(),
        why: "it is going on in another process; wait for its end".to_owned(),
    })
}

/// Makes an order of a person to extend the time for which a run's changes may stand, for its signature.
pub fn prepare_extend(
    host: &Host,
    by: &KeyId,
    run: RunId,
    until: Timestamp,
    reason: &str,
) -> Result<Prepared<Order>, Error> {
    let until = second(until);
    blocking(|| {
        host.identify(by)?.check_is_person("extend", run)?;
        let _claim = claim(host, run)?;
        check_extendable(host, run, until)
    })?;
    prepare_order(host, by, Some(run), (PolicyAction::Revert, OrderKind::Extend { run, until }), reason)
}

/// Extends the time for which a run's changes may stand, by the order of a person. `reason` is that of an owner; a signed order
/// has its own.
pub async fn extend(
    host: &Host,
    by: &Actor,
    run: RunId,
    until: Timestamp,
    reason: &str,
) -> Result<(), Error> {
    let until = second(until);
    let _claim = blocking(|| claim(host, run))?;
    let by = blocking(|| {
        check_extendable(host, run, until)?;
        let ordered = OrderKind::Extend { run, until };
        let reader = host.journal.reader()?;
        by.check(host, &reader, Some(run), PolicyAction::Revert, |what| *what == ordered)
    })?;
    by.check_is_person("extend", run)?;
    let extended = Extended {
        until,
        principal: by.name.clone(),
        reason: by.reason().unwrap_or(reason).to_owned(),
        order: by.statement().map(|statement| statement.document.clone()),
    };
    Ok(host.journal.commit(Record::now(run, extended)).await?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_host_tries_again_later_and_later_and_not_for_ever() {
        let mut now = at("2026-11-29T10:00:00Z");
        let (mut tries, mut pauses) = (1, Vec::new());
        while let Some(next) = next_try(tries, now) {
            pauses.push(next.duration_since(now).as_secs() / 60);
            (now, tries) = (next, tries + 1);
        }
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses.len() + 1, 30);
    }

    #[test]
    fn the_time_is_in_whole_seconds_and_never_shorter() {
        assert_eq!(whole(at("2026-11-29T10:00:00Z")), at("2026-11-29T10:00:00Z"));
        assert_eq!(whole(at("2026-11-29T10:00:00.001Z")), at("2026-11-29T10:00:01Z"));
    }
}
