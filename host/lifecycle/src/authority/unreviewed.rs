//! Break-glass runs that nobody has reviewed yet.

use std::collections::HashSet;

use remit_journal::{About, LedgerEvent, Reader, RunId};

use crate::Error;

/// The break-glass runs that nobody has reviewed yet, the newest first; only those of one requester, if one is given.
pub(crate) fn unreviewed_runs(reader: &Reader, requester: Option<&str>) -> Result<Vec<RunId>, Error> {
    let reviewed: HashSet<RunId> = reader
        .acts(About::Host)?
        .into_iter()
        .filter_map(|(_, act)| match act.event {
            LedgerEvent::Reviewed { run, .. } => Some(run),
            _ => None,
        })
        .collect();
    let of = |name: &str| requester.is_none_or(|requester| requester == name);
    let all = reader.break_glass_runs()?.into_iter();
    Ok(all.filter(|(run, name)| of(name) && !reviewed.contains(run)).map(|(run, _)| run).collect())
}

/// Who reviewed a run, and what they said of it; none if nobody has.
pub fn review_of(reader: &Reader, run: RunId) -> Result<Option<(String, String)>, Error> {
    let mut acts = reader.acts(About::Host)?.into_iter();
    Ok(acts.find_map(|(_, act)| match act.event {
        LedgerEvent::Reviewed { statement, run: reviewed } if reviewed == run => {
            Some((statement.principal, statement.reason))
        }
        _ => None,
    }))
}

/// Returns an error if a break-glass run of this requester was not reviewed.
pub(crate) fn check_reviewed(reader: &Reader, requester: &str) -> Result<(), Error> {
    match unreviewed_runs(reader, Some(requester))?.first() {
        Some(run) => Err(Error::Unreviewed { who: requester.to_owned(), run: *run }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::{POLICY, Place};
    use crate::{Order, OrderKind, Request};

    #[test]
    fn a_break_glass_run_is_unreviewed_until_somebody_reviewed_that_one() {
        let place = Place::new(POLICY);
        let ask = |requester: &str, break_glass| {
            let requester = requester.to_owned();
            let request =
                Request { requester: requester.clone(), break_glass, uses: Some(9), ..place.request() };
            place.file(&requester, &request)
        };
        let (glass, plain, alices) = (ask("bot", true), ask("bot", false), ask("alice", true));
        let all = |requester| unreviewed_runs(&place.reader(), requester).unwrap();
        assert_eq!(all(None), []);
        check_reviewed(&place.reader(), "bot").unwrap();
        let first = place.run(glass, &[], |_, _| {});
        place.run(plain, &[], |_, _| {});
        let other = place.run(alices, &[], |_, _| {});
        let second = place.run(glass, &[], |_, _| {});
        assert_eq!(all(None), [second, other, first]);
        assert_eq!(
            (all(Some("bot")), all(Some("alice")), all(Some("bob"))),
            (vec![second, first], vec![other], vec![])
        );
        let review = |run| {
            let order = Order {
                log: place.rules().log.clone(),
                principal: "carol".to_owned(),
                at: jiff::Timestamp::now(),
                reason: "was needed".to_owned(),
                order: OrderKind::Review(run),
            };
            let statement = place.statement("carol", &order);
            place.put(About::Host, LedgerEvent::Reviewed { statement, run });
        };
        review(first);
        assert_eq!(all(Some("bot")), [second]);
        let told = check_reviewed(&place.reader(), "bot").unwrap_err();
        assert!(told.to_string().contains(&second.to_string()), "{told}");
        review(second);
        check_reviewed(&place.reader(), "bot").unwrap();
        assert_eq!(all(None), [other]);
    }
}
