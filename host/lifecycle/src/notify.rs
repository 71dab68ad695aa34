//! Delivers events to notifiers. The journal holds the events and how far each notifier has got, so a crash loses nothing,
//! and at most the interrupted delivery is repeated.

use std::time::Duration;

use jiff::Timestamp;
use remit_engine::blocking;
use remit_journal::{
    About, Act, Event, LedgerEvent, Mode, Reader, Record, RequestId, RunState, SignedStatement,
};
use remit_notify::{Notice, Notifiers, NotifyError};
use remit_policy::PolicyAction;
use remit_trust::KeyId;

use crate::actor::{Actor, prepare_order};
use crate::authority::{
    AccessKind, Order, OrderKind, Prepared, Request, RequestState, claimed, may_be_valid,
};
use crate::error::WITHHELD;
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
    "review-due",
    "review-overdue",
    "run-succeeded",
    "run-failed",
    "run-refused",
    "run-reverted",
    "run-held",
    "run-in-doubt",
    "run-extended",
    "run-due",
];
/// The maximum length of a summary in characters. It quotes reasons, whose length is not limited.
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
            // A new notifier gets the events from now on.
            tell(host, name, reader.size()?, None).await?;
            continue;
        };
        let mut waiting = Waiting { since, passed: 0 };
        let wants = |kind: &str| notifiers.wants(name, kind);
        while let Some(next) = blocking(|| waiting.next(&reader, &config.log, wants))? {
            let (seq, event) = match next {
                Next::Event(seq, event) => (seq, event),
                // This notifier wants none of these records, so no command reads them for it again.
                Next::Passed => {
                    tell(host, name, waiting.since, None).await?;
                    continue;
                }
            };
            if let Err(error) = notifiers.deliver(name, &event).await {
                delivery.failed.push(error);
                break;
            }
            // Recorded at once, so that the event is not delivered again.
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

/// Makes an order to skip the first event that waits for a notifier, for its signature; none if no event waits.
pub fn prepare_give_up(
    host: &Host,
    by: &KeyId,
    name: &str,
    reason: &str,
) -> Result<Option<Prepared<Order>>, Error> {
    let Some((record, _)) = blocking(|| first_waiting(host, name))? else { return Ok(None) };
    let what = OrderKind::GiveUp { notifier: name.to_owned(), record };
    prepare_order(host, by, None, (PolicyAction::Review, what), reason).map(Some)
}

/// Skips the first event that waits for a notifier: an event that the receiver never accepts would block all later
/// ones. Since the event is then never delivered, this needs a principal's order. Returns the event's id, if one waits.
pub async fn give_up(host: &Host, by: &Actor, name: &str) -> Result<Option<String>, Error> {
    let Some((record, id)) = blocking(|| first_waiting(host, name))? else { return Ok(None) };
    let by = blocking(|| {
        let ordered = OrderKind::GiveUp { notifier: name.to_owned(), record };
        let reader = host.journal.reader()?;
        by.check(host, &reader, None, PolicyAction::Review, |what| *what == ordered)
    })?;
    tell(host, name, record, by.statement().cloned()).await?;
    Ok(Some(id))
}

/// After how many records that a notifier does not want the journal notes that they were passed. A note for each would make
/// the journal grow with every command; without notes, every command would read all of them again.
const PASSED: u32 = 64;

/// The events that a notifier has not got yet.
struct Waiting {
    /// The notifier got, or does not want, everything up to this record.
    since: u64,
    /// How many records it does not want since the last note in the journal.
    passed: u32,
}

enum Next {
    /// An event that the notifier wants, and the number of its record.
    Event(u64, Notice),
    /// Enough records that it does not want for a note in the journal.
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

/// Puts on record which requests expired without being used up, so that notifiers get an event for each. Returns how many.
pub async fn expire(host: &Host) -> Result<u64, Error> {
    let expired = blocking(|| expired(host))?;
    for id in &expired {
        host.journal.act(&Act::now(About::Request(*id), LedgerEvent::Expired)).await?;
    }
    Ok(expired.len() as u64)
}

/// Why a request is void, as far as it may leave this machine: it names what a rehearsal did, and where that read content
/// the names may hold it.
fn why_void<'a>(reader: &Reader, act: &Act, why: &'a str) -> Result<&'a str, Error> {
    let acts = reader.acts(act.about)?;
    let requested = acts.first().and_then(|(_, act)| act.event.statement());
    let request = requested.and_then(|statement| claimed::<Request>(&statement.document));
    let is_told = request.is_none_or(|(request, _)| {
        request.powers().all.iter().any(|power| matches!(power.does, AccessKind::Read | AccessKind::Disclose))
    });
    Ok(if is_told { WITHHELD } else { why })
}

/// The requests that expired without being used up, and whose end is not on record.
fn expired(host: &Host) -> Result<Vec<RequestId>, Error> {
    let (rules, reader, now) = (host.rules()?, host.journal.reader()?, Timestamp::now());
    let mut expired = Vec::new();
    for id in reader.requests()?.into_iter().filter(|id| may_be_valid(*id, now)) {
        let acts = reader.acts(About::Request(id))?;
        let on_record = acts.iter().any(|(_, act)| matches!(act.event, LedgerEvent::Expired));
        let Ok(state) = RequestState::load(&reader, &rules, id) else { continue };
        let over = now >= state.request.not_after && state.closed.is_none();
        let unused = state.request.uses.is_some() && !state.is_used_up();
        if over && unused && !on_record {
            expired.push(id);
        }
    }
    Ok(expired)
}

/// The event of a record; none if it has none, or none that is wanted.
fn event(
    reader: &Reader,
    log: &str,
    seq: u64,
    of: &str,
    body: &str,
    wants: impl Fn(&str) -> bool,
) -> Result<Option<Notice>, Error> {
    let notice = |kind: &str, at, summary: String| {
        debug_assert!(KINDS.contains(&kind), "{kind}");
        if !wants(kind) {
            return None;
        }
        let (kind, subject) = (kind.to_owned(), of.to_owned());
        let summary = summary.chars().take(LONGEST).collect();
        Some(Notice { id: format!("{log}/{seq}"), kind, at, subject, digest: None, summary })
    };
    if of.starts_with("run-") {
        let record: Record = serde_json::from_str(body)?;
        let kind = match &record.event {
            Event::Ended(ended) => format!("run-{}", ended.state),
            Event::Extended(_) => "run-extended".to_owned(),
            Event::Paged(_) => "run-due".to_owned(),
            _ => return Ok(None),
        };
        // Checked before the whole run is read.
        if !KINDS.contains(&kind.as_str()) || !wants(&kind) {
            return Ok(None);
        }
        let records = reader.run(&record.run)?;
        let Some((_, Record { event: Event::Started(started), .. })) = records.first() else {
            return Ok(None);
        };
        let authority = started.grant.as_ref().and_then(|grant| grant.authority.as_ref());
        let break_glass = authority.is_some_and(|authority| authority.break_glass);
        let action = format!("{} {}", started.action.name, started.action.version);
        let (is, detail) = match &record.event {
            Event::Ended(ended) => {
                if started.mode != Mode::Live || (ended.state == RunState::Succeeded && !break_glass) {
                    return Ok(None);
                }
                (format!("is {}", ended.state), ended.detail.clone())
            }
            Event::Extended(extended) => {
                let is = format!("may stand until {}, says {}", extended.until, extended.principal);
                (is, extended.reason.clone())
            }
            Event::Paged(paged) => ("needs a person".to_owned(), paged.why.clone()),
            _ => return Ok(None),
        };
        let mark = if break_glass { "WITHOUT THE USUAL POLICY, " } else { "" };
        let summary = format!("{mark}{} by {} {is}: {action}: {detail}", record.run, started.principal);
        return Ok(notice(&kind, record.at, summary));
    }
    let act: Act = serde_json::from_str(body)?;
    let said = act
        .event
        .statement()
        .map(|statement| format!("{}: {}", statement.principal, statement.reason))
        .unwrap_or_default();
    let (kind, summary) = match &act.event {
        LedgerEvent::Requested(statement) => {
            let Some((request, digest)) = claimed::<Request>(&statement.document) else {
                return Ok(notice("requested", act.at, format!("{of} cannot be read; asked for by {said}")));
            };
            let kind = if request.break_glass { "break-glass-requested" } else { "requested" };
            // Before the reason, which the requester writes: it could have another digest in it, or be so long that this is cut off.
            let summary = format!("{of} ({digest}) asks for {}, by {said}", request.action_words());
            let told = notice(kind, act.at, summary);
            return Ok(told.map(|told| Notice { digest: Some(digest.to_string()), ..told }));
        }
        LedgerEvent::RequestDenied(_) => ("request-denied", format!("{of} was denied by {said}")),
        LedgerEvent::Voided { why } => {
            ("request-voided", format!("{of} is void: {}", why_void(reader, &act, why)?))
        }
        LedgerEvent::Expired => ("request-expired", format!("{of} expired and was not used up")),
        LedgerEvent::Revoked { revocations, .. } => {
            let bases: Vec<String> =
                revocations.iter().map(|revocation| revocation.basis.to_string()).collect();
            ("revoked", format!("{} revoked by {said}", bases.join(", ")))
        }
        LedgerEvent::Frozen(_) => ("frozen", format!("everything was frozen by {said}")),
        LedgerEvent::Unfrozen { .. } => ("unfrozen", format!("everything was unfrozen by {said}")),
        LedgerEvent::Reviewed { run, .. } => ("reviewed", format!("{run} was reviewed by {said}")),
        LedgerEvent::ReviewDue { runs, reminder } => {
            let kind = if *reminder > 1 { "review-overdue" } else { "review-due" };
            (kind, crate::remind::words(runs, *reminder))
        }
        LedgerEvent::Approved(_)
        | LedgerEvent::Notified { .. }
        | LedgerEvent::Certified(_)
        | LedgerEvent::Exchanged { .. } => return Ok(None),
    };
    Ok(notice(kind, act.at, summary))
}
