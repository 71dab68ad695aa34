//! What a person wants to know before deciding.

use jiff::Timestamp;
use remit_journal::{About, Deed, Event, Mode, Reader, Started};
use remit_policy::{Matter, Verb, Who};
use remit_trust::dsse::Envelope;

use super::decide::{Voice, check, may_order, stands};
use super::matter::{run_of, started_by};
use super::rules::who;
use super::start::{may_start, may_use};
use super::{Asks, Case, Opinion, Power, Powers, Request, Rules};
use crate::Error;
use crate::timeline::second;

/// What differs from the last live run of this action, a line each; that there was none is one too.
pub fn differences(reader: &Reader, case: &Case) -> Result<Vec<String>, Error> {
    let Asks::Run { action, input, .. } = &case.request.asks else { return Ok(Vec::new()) };
    let mut last: Option<(Timestamp, Box<Started>)> = None;
    reader.newest_runs(|_, record| {
        if let Event::Started(started) = &record.event
            && started.mode == Mode::Live
            && started.action.name == action.name
        {
            last = Some((record.at, started.clone()));
            return false;
        }
        true
    })?;
    let Some((at, started)) = last else {
        return Ok(vec![format!("{} has never run here", action.name)]);
    };
    let mut lines = Vec::new();
    if started.action.digest != action.digest {
        lines.push(format!(
            "it was {} {} ({})",
            started.action.name,
            started.action.version,
            started.action.digest.short()
        ));
    }
    let then: serde_json::Value = serde_json::from_str(started.input.get())?;
    if then != *input {
        lines.push(format!("its input was {then}"));
    }
    let powers = |started: &Started| -> Option<Powers> {
        let grant = started.grant.as_ref()?;
        let envelope: Envelope = serde_json::from_str(grant.signed.as_ref()?.envelope.get()).ok()?;
        let request: Request = serde_json::from_slice(&envelope.payload_named(grant.digest).ok()?).ok()?;
        Some(request.powers())
    };
    if let Some(then) = powers(&started) {
        let words = |powers: &Powers| -> Vec<String> {
            let words = |power: &Power| format!("{} {} by {}", power.does, power.resource, power.capability);
            powers.all.iter().map(words).collect()
        };
        let (then, now) = (words(&then), words(&case.request.powers()));
        lines.extend(now.iter().filter(|line| !then.contains(line)).map(|line| format!("new: {line}")));
        lines.extend(then.iter().filter(|line| !now.contains(line)).map(|line| format!("not now: {line}")));
    }
    let when = second(at);
    if lines.is_empty() {
        lines.push(format!("the same as at {when}"));
    } else {
        lines.insert(0, format!("at {when}, by {}", started.principal));
    }
    Ok(lines)
}

/// Whatever was ordered about this host as a whole, a line each.
pub fn orders(reader: &Reader) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for (seq, act) in reader.acts(About::Host)? {
        let at = second(act.at);
        let line = match &act.deed {
            Deed::Revoked { word, strikes } => {
                let grounds: Vec<String> = strikes.iter().map(|strike| strike.ground.to_string()).collect();
                format!("revoked {} by {}: {}", grounds.join(", "), word.principal, word.reason)
            }
            Deed::Frozen(word) => format!("frozen by {}: {}", word.principal, word.reason),
            Deed::Unfrozen(word) => format!("unfrozen by {}: {}", word.principal, word.reason),
            Deed::Reviewed { word, run } => format!("{run} reviewed by {}: {}", word.principal, word.reason),
            Deed::Notified { notifier, upto, word: Some(word) } => format!(
                "given up: {notifier} is not told of record {upto}, by {}: {}",
                word.principal, word.reason
            ),
            _ => continue,
        };
        lines.push(format!("{seq}  {at}  {line}"));
    }
    Ok(lines)
}

/// What a principal could do about a request now.
#[derive(Clone, Debug)]
pub struct Could {
    /// Who.
    pub who: String,
    /// What.
    pub verb: Verb,
    /// The policies that allow it; or what would be said to one who tried.
    pub answer: Result<String, String>,
}

/// What each principal could do about a request now: approve it, start it, revoke it. Asked of the same functions that
/// decide when somebody does.
pub fn could(reader: &Reader, rules: &Rules, case: &Case) -> Result<Vec<Could>, Error> {
    let mut all = Vec::new();
    for principal in rules.principals.iter() {
        let now = Timestamp::now();
        let mut key = None;
        let mut why = "it has no key that counts now".to_owned();
        for held in &principal.keys {
            let id = held.key.id();
            if !rules.principals.in_force(&id, now) {
                continue;
            }
            match stands(reader, &principal.name, &id) {
                Ok(()) => key = Some(id),
                Err(error) => why = error.to_string(),
            }
        }
        for verb in [Verb::Approve, Verb::Trigger, Verb::Revoke] {
            let answer = match &key {
                None => Err(why.clone()),
                Some(key) => {
                    let voice = Voice { principal, key: key.clone() };
                    may(reader, rules, case, &voice, verb).map_err(|error| error.to_string())
                }
            };
            all.push(Could { who: principal.name.clone(), verb, answer });
        }
    }
    Ok(all)
}

fn may(reader: &Reader, rules: &Rules, case: &Case, by: &Voice<'_>, verb: Verb) -> Result<String, Error> {
    let who = who(by.principal);
    let now = Timestamp::now();
    let allowed = |matter: &Matter, approvers: &[Who]| {
        rules.policies.may(&who, verb, Some(matter), now, approvers).words()
    };
    match verb {
        Verb::Approve => {
            let opinion = Opinion { approve: true, reason: String::new(), expect: None };
            check(reader, rules, by, case, &opinion)?;
            Ok(allowed(&case.matter, &case.approvers()))
        }
        Verb::Trigger => {
            may_use(reader, rules, &who.name, case)?;
            // What a run under a standing scope would do, nobody knows yet: at least nothing.
            let standing = matches!(case.request.asks, Asks::Standing(_));
            let matter = if standing {
                run_of(reader, case, &who.name, &[])?
            } else {
                started_by(reader, case, &who.name)?
            };
            may_start(reader, rules, &who, &matter, &case.request.powers(), case)?;
            Ok(if case.request.break_glass {
                "allowed by the quorum of [break-glass]".to_owned()
            } else if standing {
                format!(
                    "{}, if it changes nothing; what it does change is judged then",
                    allowed(&matter, &case.approvers())
                )
            } else {
                allowed(&matter, &case.approvers())
            })
        }
        _ => {
            may_order(rules, &who, verb, Some(&case.matter))?;
            Ok(allowed(&case.matter, &[]))
        }
    }
}

/// Which policies decide about a request, and what is missing.
pub fn explain(reader: &Reader, rules: &Rules, case: &Case) -> Result<Vec<String>, Error> {
    let mut lines = vec![format!("{}: {}", case.request.id, case.status(rules).name())];
    if case.request.break_glass {
        lines.push("break-glass: the quorum of principals.toml stands in for the policies".to_owned());
    }
    match case.needs(rules) {
        Ok(lacks) => {
            for (need, missing) in lacks.needs {
                let met = if missing == 0 { "met".to_owned() } else { format!("{missing} missing") };
                lines.push(format!("needs   {need}: {met}   (policy {})", need.policy));
            }
        }
        Err(why) => lines.push(format!("needs   cannot be met: {why}")),
    }
    for given in &case.approvals {
        let says = match &given.counts {
            Ok(_) => "counts".to_owned(),
            Err(why) => format!("does not count: it {why}"),
        };
        lines.push(format!("by      {}: {says}", given.approval.principal));
    }
    for Could { who, verb, answer } in could(reader, rules, case)? {
        let verb = if verb == Verb::Trigger { "start" } else { verb.name() };
        let answer = answer.unwrap_or_else(|why| format!("no: {why}"));
        lines.push(format!("{verb:<7} {who}: {answer}"));
    }
    Ok(lines)
}
