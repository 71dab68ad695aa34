//! Tells notifiers about events. The events, and how far each notifier has got, both follow from the journal: a crash
//! loses nothing, and at most the interrupted delivery is repeated.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use remit_journal::{About, Act, Event, LedgerEvent, Mode, Reader, Record, RunState, SignedStatement};
use remit_notify::{Notice, Notifiers, NotifyError};
use remit_policy::PolicyAction;
use remit_trust::KeyId;

use crate::authority::{Actor, Does, Order, Prepared, RequestState, What, claimed, prepare_order};
use crate::error::WITHHELD;
use crate::host::blocking;
use crate::own_words::passed_on;
use crate::{Error, Host};

/// The kinds of events that a notifier can be configured for.
pub(crate) const KINDS: &[&str] = &[
    "requested",
    "break-glass-requested",
    "request-denied",
    "request-voided",
    "request-expired",
    "revoked",
    "frozen",
    "unfrozen",
    "reviewed",
    "run-succeeded",
    "run-failed",
    "run-refused",
    "run-reverted",
    "run-held",
    "run-in-doubt",
];
/// The maximum length of a summary in characters. Reasons, which it quotes, have no limit.
const LONGEST: usize = 1000;

/// The result of a delivery to all notifiers.
#[derive(Debug, Default)]
pub struct Delivery {
    /// The events that were delivered, each with the name of the notifier.
    pub told: Vec<(String, String)>,
    /// The deliveries that failed. Their events, and those after them, stay queued.
    pub failed: Vec<NotifyError>,
}

/// Delivers to each notifier the events that it has not got yet, in order. After a failed delivery, a notifier gets
/// nothing until that delivery succeeds.
pub async fn notify(host: &Host, patience: Duration) -> Result<Delivery, Error> {
    let config = host.home.load()?;
    let mut delivery = Delivery::default();
    if config.notify.is_empty() {
        return Ok(delivery);
    }
    let notifiers = Notifiers::open(&config.notify, host.home.path(), KINDS, patience)?;
    for name in notifiers.names() {
        let reader = host.journal.reader()?;
        let Some(since) = reader.told(name)? else {
            // A new one hears of what happens from now on.
            tell(host, name, reader.size()?, None).await?;
            continue;
        };
        let mut waiting = Waiting { since, passed: 0 };
        while let Some(next) = waiting.next(&reader, &config.log, |kind| notifiers.wants(name, kind))? {
            let (seq, event) = match next {
                Next::Event(seq, event) => (seq, event),
                // Nothing of it is for this one: it is not looked at again, by any command.
                Next::Passed => {
                    tell(host, name, waiting.since, None).await?;
                    continue;
                }
            };
            if let Err(error) = notifiers.deliver(name, &event).await {
                delivery.failed.push(error);
                break;
            }
            // Recorded at once: what is not on record would be delivered again.
            tell(host, name, seq, None).await?;
            delivery.told.push((name.to_owned(), event.id));
        }
    }
    Ok(delivery)
}

/// The first event that waits for a notifier: the number of its record, and its id.
fn first_waiting(host: &Host, name: &str) -> Result<Option<(u64, String)>, Error> {
    let config = host.home.load()?;
    let notifiers = Notifiers::open(&config.notify, host.home.path(), KINDS, Duration::ZERO)?;
    let reader = host.journal.reader()?;
    let Some(since) = reader.told(name)? else { return Ok(None) };
    let mut waiting = Waiting { since, passed: 0 };
    while let Some(next) = waiting.next(&reader, &config.log, |kind| notifiers.wants(name, kind))? {
        if let Next::Event(seq, event) = next {
            return Ok(Some((seq, event.id)));
        }
    }
    Ok(None)
}

/// Makes what is signed to never tell a notifier of what waits for it first; none if nothing waits.
pub fn prepare_give_up(
    host: &Host,
    by: &KeyId,
    name: &str,
    reason: &str,
) -> Result<Option<Prepared<Order>>, Error> {
    let Some((record, _)) = blocking(|| first_waiting(host, name))? else { return Ok(None) };
    let what = What::GiveUp { notifier: name.to_owned(), record };
    prepare_order(host, by, None, (PolicyAction::Review, what), reason).map(Some)
}

/// Skips the first event that waits for a notifier: an event that the receiver never accepts would block all later
/// ones. Since the event is then never delivered, this needs a principal's order. Returns the event's id, if one waits.
pub async fn give_up(host: &Host, by: &Actor, name: &str) -> Result<Option<String>, Error> {
    let Some((record, id)) = blocking(|| first_waiting(host, name))? else { return Ok(None) };
    let said = blocking(|| {
        let ordered = What::GiveUp { notifier: name.to_owned(), record };
        by.orders(host, &*host.journal.reader()?, None, (PolicyAction::Review, |what| *what == ordered))
    })?;
    tell(host, name, record, said.statement).await?;
    Ok(Some(id))
}

/// So many records that are of no interest to a notifier are passed over before the journal says so: with one record for
/// each command it would be the journal that grows, without any, what each command reads.
const PASSED: u32 = 64;

/// The events that a notifier has not got yet.
struct Waiting {
    /// It was told, or does not want, everything up to here.
    since: u64,
    /// How many records before it are not on record as that.
    passed: u32,
}

enum Next {
    /// One event that it wants, and the number of its record.
    Event(u64, Notice),
    /// Enough that it does not want for a record of that.
    Passed,
}

impl Waiting {
    fn next(
        &mut self,
        reader: &Reader,
        log: &str,
        wants: impl Fn(&str) -> bool,
    ) -> Result<Option<Next>, Error> {
        loop {
            let records = reader.to_tell(self.since, PASSED)?;
            if records.is_empty() {
                return Ok(None);
            }
            for (seq, of, body) in records {
                self.since = seq;
                if let Some(event) = event(reader, log, seq, &of, &body, &wants)? {
                    self.passed = 0;
                    return Ok(Some(Next::Event(seq, event)));
                }
                self.passed += 1;
                if self.passed == PASSED {
                    self.passed = 0;
                    return Ok(Some(Next::Passed));
                }
            }
        }
    }
}

async fn tell(host: &Host, name: &str, upto: u64, statement: Option<SignedStatement>) -> Result<(), Error> {
    let event = LedgerEvent::Notified { notifier: name.to_owned(), upto, statement };
    Ok(host.journal.act(&Act::now(About::Host, event)).await?)
}

/// Puts on record which requests ran out of time unused: that too is worth telling.
pub async fn expire(host: &Host) -> Result<u64, Error> {
    let rules = host.rules()?;
    // No request is valid for longer than 30 days.
    let oldest = Timestamp::now() - SignedDuration::from_hours(31 * 24);
    let reader = host.journal.reader()?;
    let mut count = 0;
    for id in reader.requests()?.into_iter().rev() {
        if id.made() < oldest {
            break;
        }
        let about = About::Request(id);
        let on_record = reader.acts(about)?.iter().any(|(_, act)| matches!(act.event, LedgerEvent::Expired));
        let Ok(case) = RequestState::load(&reader, &rules, id) else { continue };
        let over = Timestamp::now() >= case.request.not_after && case.closed.is_none();
        let unused = case.request.uses.is_some_and(|uses| case.started < uses);
        if over && unused && !on_record {
            host.journal.act(&Act::now(about, LedgerEvent::Expired)).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Why a request is void, as far as it may leave this machine: it names what a rehearsal did, and where that read content
/// the names may hold it.
fn why_void<'a>(reader: &Reader, act: &Act, why: &'a str) -> Result<&'a str, Error> {
    let acts = reader.acts(act.about)?;
    let requested = acts.first().and_then(|(_, act)| act.event.statement());
    let request = requested.and_then(|statement| claimed(&statement.document));
    let is_told = request.is_none_or(|(request, _)| {
        request.powers().all.iter().any(|power| matches!(power.does, Does::Read | Does::Disclose))
    });
    Ok(if is_told { WITHHELD } else { why })
}

/// What a record is to one who wants such events; nothing, if it is none of its business.
fn event(
    reader: &Reader,
    log: &str,
    seq: u64,
    of: &str,
    body: &str,
    wants: impl Fn(&str) -> bool,
) -> Result<Option<Notice>, Error> {
    let told = |kind: &str, at, summary: String| {
        debug_assert!(KINDS.contains(&kind), "{kind}");
        if !wants(kind) {
            return None;
        }
        let (kind, subject) = (kind.to_owned(), of.to_owned());
        let summary = summary.chars().take(LONGEST).collect();
        Some(Notice { id: format!("{log}/{seq}"), kind, at, subject, summary })
    };
    if of.starts_with("run-") {
        let record: Record = serde_json::from_str(body)?;
        let Event::Ended(ended) = &record.event else { return Ok(None) };
        let kind = format!("run-{}", ended.state);
        // Before all of the run is read.
        if !KINDS.contains(&kind.as_str()) || !wants(&kind) {
            return Ok(None);
        }
        let records = reader.run(&record.run)?;
        let Some((_, Record { event: Event::Started(started), .. })) = records.first() else {
            return Ok(None);
        };
        let authority = started.grant.as_ref().and_then(|grant| grant.authority.as_ref());
        let glass = authority.is_some_and(|authority| authority.break_glass);
        if started.mode != Mode::Live || (ended.state == RunState::Succeeded && !glass) {
            return Ok(None);
        }
        let what = format!(
            "{} {}: {}",
            started.action.name,
            started.action.version,
            passed_on(&records, seq, ended)
        );
        let glass = if glass { "WITHOUT THE USUAL POLICY, " } else { "" };
        let summary = format!("{glass}{} by {} is {}: {what}", record.run, started.principal, ended.state);
        return Ok(told(&kind, record.at, summary));
    }
    let act: Act = serde_json::from_str(body)?;
    let said = act
        .event
        .statement()
        .map(|statement| format!("{}: {}", statement.principal, statement.reason))
        .unwrap_or_default();
    let (kind, summary) = match &act.event {
        LedgerEvent::Requested(statement) => {
            let request = claimed(&statement.document).map(|(request, _)| request);
            let glass = request.as_ref().is_some_and(|request| request.break_glass);
            let what = request.map(|request| request.action_words()).unwrap_or_default();
            let kind = if glass { "break-glass-requested" } else { "requested" };
            (kind, format!("{of} asks for {what}, by {said}"))
        }
        LedgerEvent::RequestDenied(_) => ("request-denied", format!("{of} was denied by {said}")),
        LedgerEvent::Voided { why } => {
            ("request-voided", format!("{of} is void: {}", why_void(reader, &act, why)?))
        }
        LedgerEvent::Expired => ("request-expired", format!("{of} ran out of time unused")),
        LedgerEvent::Revoked { revocations, .. } => {
            let bases: Vec<String> =
                revocations.iter().map(|revocation| revocation.basis.to_string()).collect();
            ("revoked", format!("{} revoked by {said}", bases.join(", ")))
        }
        LedgerEvent::Frozen(_) => ("frozen", format!("everything was frozen by {said}")),
        LedgerEvent::Unfrozen(_) => ("unfrozen", format!("everything may go on, says {said}")),
        LedgerEvent::Reviewed { run, .. } => ("reviewed", format!("{run} was reviewed by {said}")),
        LedgerEvent::Approved(_) | LedgerEvent::Notified { .. } => return Ok(None),
    };
    Ok(told(kind, act.at, summary))
}
