//! Reminds of runs that were started without the usual policy, as long as nobody has reviewed them. Each reminder is in the journal, so
//! that it is given once, whatever happens to the process; notifiers deliver it like any other event.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use remit_engine::blocking;
use remit_journal::{About, Act, LedgerEvent, Reader, RunId};

use crate::authority::unreviewed_runs;
use crate::{Error, Host};

/// How long after a run was made each reminder of it is given.
const REMINDERS: [SignedDuration; 3] =
    [SignedDuration::from_hours(24), SignedDuration::from_hours(3 * 24), SignedDuration::from_hours(7 * 24)];
/// After reminders, none is given for so long: runs of which it is time meanwhile are in the next one together.
const PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// How many runs an event names.
const NAMED: usize = 10;

/// Puts on record which runs wait for their review for so long that people are reminded. Returns how many reminders that were.
pub async fn remind(host: &Host) -> Result<usize, Error> {
    let now = host.now()?;
    let due = blocking(|| due(&*host.journal.reader()?, now))?;
    for (reminder, runs) in &due {
        let event = LedgerEvent::ReviewDue { runs: runs.clone(), reminder: *reminder };
        host.journal.act(&Act::now(About::Host, event)).await?;
    }
    Ok(due.len())
}

/// The reminders for which it is time: which one it is of each of its runs, and the runs, the oldest first.
fn due(reader: &Reader, now: Timestamp) -> Result<Vec<(u32, Vec<RunId>)>, Error> {
    let mut given: HashMap<RunId, u32> = HashMap::new();
    for (_, act) in reader.acts(About::Host)? {
        if let LedgerEvent::ReviewDue { runs, reminder } = act.event {
            if now.duration_since(act.at) < PAUSE {
                return Ok(Vec::new());
            }
            given.extend(runs.into_iter().map(|run| (run, reminder)));
        }
    }
    let mut due: Vec<(u32, Vec<RunId>)> = Vec::new();
    for run in unreviewed_runs(reader, None)?.into_iter().rev() {
        let age = now.duration_since(run.made());
        // Where several were missed, only the last is given.
        let reminder = (1..).zip(REMINDERS).filter(|(_, after)| age >= *after).map(|(n, _)| n).last();
        let Some(reminder) = reminder.filter(|n| given.get(&run).is_none_or(|given| given < n)) else {
            continue;
        };
        match due.iter_mut().find(|(n, _)| *n == reminder) {
            Some((_, runs)) => runs.push(run),
            None => due.push((reminder, vec![run])),
        }
    }
    Ok(due)
}

/// What people are told.
pub(crate) fn words(runs: &[RunId], reminder: u32) -> String {
    let after = reminder.checked_sub(1).and_then(|n| REMINDERS.get(usize::try_from(n).ok()?));
    let days = after.map_or(0, SignedDuration::as_hours) / 24;
    let since = if days == 1 { "a day".to_owned() } else { format!("{days} days") };
    let mut names: Vec<String> = runs.iter().take(NAMED).map(ToString::to_string).collect();
    if runs.len() > NAMED {
        names.push(format!("and {} more", runs.len() - NAMED));
    }
    let names = names.join(", ");
    format!(
        "started without the usual policy, and not reviewed for {since} or more (remit review RUN): {names}"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::{POLICY, Place};
    use crate::{Order, OrderKind, Request};

    #[test]
    fn each_reminder_is_given_once_and_none_after_the_review() {
        let place = Place::new(POLICY);
        let request =
            Request { requester: "bot".to_owned(), break_glass: true, uses: Some(9), ..place.request() };
        let glass = place.file("bot", &request);
        let (first, second) = (place.run(glass, &[], |_, _| {}), place.run(glass, &[], |_, _| {}));
        let now = Timestamp::now();
        let at = |hours: i64| now + SignedDuration::from_hours(hours);
        let look = |at: Timestamp| due(&place.reader(), at).unwrap();
        // As `remind` puts it on record at that time.
        let give = |at: Timestamp| {
            for (reminder, runs) in look(at) {
                let event = LedgerEvent::ReviewDue { runs, reminder };
                place.put_at(About::Host, event, at);
            }
        };
        assert_eq!(look(at(23)), []);
        // One for both, however many there are.
        assert_eq!(look(at(25)), [(1, vec![first, second])]);
        give(at(25));
        for later in [25, 26, 71] {
            assert_eq!(look(at(later)), [], "{later}");
        }
        let order = Order {
            log: place.rules().log.clone(),
            principal: "carol".to_owned(),
            at: now,
            reason: "was needed".to_owned(),
            order: OrderKind::Review(first),
        };
        let reviewed = LedgerEvent::Reviewed { statement: place.statement("carol", &order), run: first };
        place.put_at(About::Host, reviewed, at(71));
        assert_eq!(look(at(73)), [(2, vec![second])]);
        // Where the host said nothing for long, what was missed is one reminder: the last.
        assert_eq!(look(at(8 * 24)), [(3, vec![second])]);
        give(at(8 * 24));
        assert_eq!(look(at(1000)), []);
    }

    #[test]
    fn an_event_names_so_many_runs_and_says_how_many_more() {
        let runs: Vec<RunId> = (0..12).map(|_| RunId::new()).collect();
        let told = words(&runs, 2);
        assert!(told.contains("for 3 days or more") && told.ends_with(", and 2 more"), "{told}");
        assert!(told.contains(&runs[9].to_string()) && !told.contains(&runs[10].to_string()), "{told}");
        assert!(words(&runs[..1], 1).contains("for a day or more"));
    }
}
