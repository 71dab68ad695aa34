//! Deletes the undo data of old runs.

use jiff::{SignedDuration, Timestamp};
use remit_engine::blocking;
use remit_journal::{Event, Mode, Reader, Record, RunId, RunSummary, UndoExpired};
use remit_policy::PolicyAction;
use remit_trust::KeyId;

use crate::actor::{Actor, prepare_order};
use crate::authority::{Order, OrderKind, Prepared};
use crate::claim::Claim;
use crate::{Error, Host};

/// The runs whose undo data would be deleted: those that ended before this time, that do not wait for a person, and whose
/// changes the host does not undo later.
fn expirable(reader: &Reader, before: Timestamp) -> Result<Vec<RunSummary>, Error> {
    let mut old = Vec::new();
    for summary in reader.runs()? {
        let decided = summary.state.is_some_and(|state| !state.needs_a_person());
        let waits = summary.restore_at.is_some();
        if !decided || waits || reader.run_key(&summary.run)?.is_none() {
            continue;
        }
        let ended = reader
            .run(&summary.run)?
            .iter()
            .rev()
            .find_map(|(_, record)| matches!(record.event, Event::Ended(_)).then_some(record.at));
        if ended.is_some_and(|at| at < before) {
            old.push(summary);
        }
    }
    Ok(old)
}

fn ago(age: SignedDuration) -> Result<Timestamp, Error> {
    Timestamp::now().checked_sub(age).map_err(|error| Error::Age { why: error.to_string() })
}

/// Makes an order to delete the undo data of every run that ended longer than `older_than` ago, for its signature; none if
/// there is no such run.
pub fn prepare_expire_undo(
    host: &Host,
    by: &KeyId,
    older_than: SignedDuration,
    reason: Option<&str>,
) -> Result<Option<Prepared<Order>>, Error> {
    let before = ago(older_than)?;
    if blocking(|| expirable(&*host.journal.reader()?, before))?.is_empty() {
        return Ok(None);
    }
    let what = (PolicyAction::Resolve, OrderKind::ExpireUndo { ended_before: before });
    let rule = format!("older than {older_than:#}");
    prepare_order(host, by, None, what, reason.unwrap_or(&rule)).map(Some)
}

/// Deletes the undo data of every run that ended before the time in the order; for an owner, who gives no order, longer than
/// `older_than` ago. Nobody can read its secrets or revert it any
/// more. Runs that wait for a person are kept. If the policies do not allow it for one of the runs, nothing is deleted.
/// Returns the live runs among them. The host must have the home for itself: see [`crate::Home::alone`].
pub async fn expire_undo(
    host: &Host,
    by: &Actor,
    older_than: Option<SignedDuration>,
) -> Result<Vec<RunId>, Error> {
    // Without an age and without an order, no run is old enough.
    let mut before = older_than.map_or(Ok(Timestamp::MIN), ago)?;
    let (by, old) = blocking(|| {
        let reader = host.journal.reader()?;
        let by = by.check(host, &reader, None, PolicyAction::Resolve, |what| match what {
            OrderKind::ExpireUndo { ended_before } => {
                before = *ended_before;
                true
            }
            _ => false,
        })?;
        let old = expirable(&reader, before)?;
        for summary in &old {
            by.check_run(host, &reader, summary.run, PolicyAction::Resolve)?;
        }
        Ok::<_, Error>((by, old))
    })?;
    let mut expired = Vec::new();
    for summary in old {
        let Some(_claim) = blocking(|| Claim::take(&host.home, summary.run))? else { continue };
        let record = UndoExpired {
            principal: by.name.clone(),
            rule: format!("ended before {before}"),
            order: by.statement().map(|statement| statement.document.clone()),
        };
        host.journal.commit(Record::now(summary.run, record)).await?;
        if summary.mode == Mode::Live {
            expired.push(summary.run);
        }
    }
    blocking(|| host.journal.scrub())?;
    Ok(expired)
}
