//! Giving up the undo data of old runs.

use jiff::{SignedDuration, Timestamp};
use remit_journal::{Event, Mode, Reader, Record, RunId, RunSummary, UndoExpired};
use remit_policy::PolicyAction;
use remit_trust::KeyId;

use crate::authority::{Actor, Order, Prepared, What, prepare_order};
use crate::claim::Claim;
use crate::{Error, Home, Host};

/// The runs whose undo data would be given up: those that ended before, and that do not wait for a person.
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

impl Home {
    /// Opens this home for exclusive use, which deleting undo data needs.
    pub fn alone(&self) -> Result<Host, Error> {
        self.open_alone()
    }
}

/// Makes what is signed to give up the undo data of every run that ended before `older_than` ago; none if there is none.
pub fn prepare_expire_undo(
    host: &Host,
    by: &KeyId,
    older_than: SignedDuration,
    reason: Option<&str>,
) -> Result<Option<Prepared<Order>>, Error> {
    let before = ago(older_than)?;
    if expirable(&*host.journal.reader()?, before)?.is_empty() {
        return Ok(None);
    }
    let rule = format!("older than {older_than:#}");
    let what = (PolicyAction::Resolve, What::ExpireUndo { ended_before: before });
    prepare_order(host, by, None, what, reason.unwrap_or(&rule)).map(Some)
}

fn ago(age: SignedDuration) -> Result<Timestamp, Error> {
    Timestamp::now().checked_sub(age).map_err(|error| Error::Age { why: error.to_string() })
}

/// Gives up the undo data of every run that ended before the moment that the order names; for an owner, who gives no
/// order, before `older_than` ago. Its secrets can never be read again, and it can no longer be reverted. Runs that
/// wait for a person are kept. All that are meant, or none, if the rules do not let this principal do it to each.
/// Answers which. The host must be alone: see [`Home::alone`].
pub async fn expire_undo(
    host: &Host,
    by: &Actor,
    older_than: Option<SignedDuration>,
) -> Result<Vec<RunId>, Error> {
    // Without an age and without an order, no run is old enough.
    let mut before = older_than.map_or(Ok(Timestamp::MIN), ago)?;
    let mut old = Vec::new();
    let said = {
        let reader = host.journal.reader()?;
        let expires = |what: &What| match what {
            What::ExpireUndo { ended_before } => {
                before = *ended_before;
                true
            }
            _ => false,
        };
        let said = by.orders(host, &reader, None, (PolicyAction::Resolve, expires))?;
        for summary in expirable(&reader, before)? {
            by.may(host, &reader, summary.run, PolicyAction::Resolve)?;
            old.push(summary);
        }
        said
    };
    let rule = format!("ended before {before}");
    let order = said.statement.as_ref().map(|statement| statement.document.clone());
    let mut expired = Vec::new();
    for summary in old {
        let Some(_claim) = Claim::take(&host.home, summary.run)? else { continue };
        let body = UndoExpired { principal: said.name.clone(), rule: rule.clone(), order: order.clone() };
        host.journal.commit(Record::now(summary.run, body)).await?;
        if summary.mode == Mode::Live {
            expired.push(summary.run);
        }
    }
    host.journal.scrub()?;
    Ok(expired)
}
