//! Deletes the undo data of old runs.

use jiff::{SignedDuration, Timestamp};
use remit_journal::{Event, Mode, Reader, Record, RunId, RunSummary, UndoExpired};
use remit_policy::PolicyAction;
use remit_trust::KeyId;

use crate::actor::{Actor, prepare_order};
use crate::authority::{Order, Prepared, What};
use crate::claim::Claim;
use crate::host::blocking;
use crate::{Error, Host};

/// The runs whose undo data would be deleted: those that ended before this time, and that do not wait for a person.
fn expirable(reader: &Reader, before: Timestamp) -> Result<Vec<RunSummary>, Error> {
    let mut old = Vec::new();
    for summary in reader.runs()? {
        let decided = summary.state.is_some_and(|state| !state.needs_a_person());
        if !decided || reader.run_key(&summary.run)?.is_none() {
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

fn before(older_than: SignedDuration) -> Result<Timestamp, Error> {
    Timestamp::now().checked_sub(older_than).map_err(|error| Error::Age { why: error.to_string() })
}

fn rule(older_than: SignedDuration) -> String {
    format!("older than {older_than:#}")
}

/// Makes an order to delete the undo data of every run that ended longer than `older_than` ago, for its signature; none if
/// there is no such run.
pub fn prepare_expire_undo(
    host: &Host,
    by: &KeyId,
    older_than: SignedDuration,
    reason: Option<&str>,
) -> Result<Option<Prepared<Order>>, Error> {
    let before = before(older_than)?;
    if blocking(|| expirable(&*host.journal.reader()?, before))?.is_empty() {
        return Ok(None);
    }
    let what = (PolicyAction::Resolve, What::ExpireUndo { ended_before: before });
    prepare_order(host, by, None, what, reason.unwrap_or(&rule(older_than))).map(Some)
}

/// Deletes the undo data of every run that ended before the time in the order. Nobody can read its secrets or revert it any
/// more. Runs that wait for a person are kept. If the policies do not allow it for one of the runs, nothing is deleted.
/// Returns the live runs among them. The host must have the home for itself: see [`crate::Home::alone`].
pub async fn expire_undo(host: &Host, by: &Actor, older_than: SignedDuration) -> Result<Vec<RunId>, Error> {
    let mut before = before(older_than)?;
    let (by, old) = blocking(|| {
        let reader = host.journal.reader()?;
        let by = by.check(host, &reader, None, PolicyAction::Resolve, |what| match what {
            What::ExpireUndo { ended_before } => {
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
            rule: rule(older_than),
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
