//! Break-glass runs that nobody has reviewed yet.

use remit_journal::{About, Event, LedgerEvent, Reader, RunId};

use crate::Error;

/// The break-glass runs that nobody has reviewed yet, the newest first; only those of one requester, if one is given.
pub(crate) fn unreviewed_runs(reader: &Reader, requester: Option<&str>) -> Result<Vec<RunId>, Error> {
    let host_acts = reader.acts(About::Host)?;
    let reviewed = |run: RunId| {
        host_acts.iter().any(
            |(_, act)| matches!(act.event, LedgerEvent::Reviewed { run: reviewed, .. } if reviewed == run),
        )
    };
    let mut unreviewed = Vec::new();
    reader.newest_runs(|_, record| {
        if let Event::Started(started) = &record.event
            && started
                .grant
                .as_ref()
                .and_then(|grant| grant.authority.as_ref())
                .is_some_and(|a| a.break_glass)
            && requester.is_none_or(|name| started.principal == name)
            && !reviewed(record.run)
        {
            unreviewed.push(record.run);
        }
        true
    })?;
    Ok(unreviewed)
}

/// Returns an error if a break-glass run of this requester was not reviewed.
pub(crate) fn check_reviewed(reader: &Reader, requester: &str) -> Result<(), Error> {
    match unreviewed_runs(reader, Some(requester))?.first() {
        Some(run) => Err(Error::Unreviewed { who: requester.to_owned(), run: *run }),
        None => Ok(()),
    }
}
