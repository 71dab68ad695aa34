//! What a person wants to know before deciding.

use jiff::Timestamp;
use remit_gate::Plan;
use remit_journal::{About, Deed, Event, Mode, Reader, Started};
use remit_policy::Verb;
use remit_trust::dsse::Envelope;

use super::rules::who;
use super::{Asks, Case, Request, Rules, matter};
use crate::Error;

/// What differs from the last live run of this action, a line each; that there was none is one too.
pub fn differences(reader: &Reader, case: &Case) -> Result<Vec<String>, Error> {
    let Asks::Run { action, input, plan } = &case.request.asks else { return Ok(Vec::new()) };
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
    let planned = |started: &Started| -> Option<Plan> {
        let grant = started.grant.as_ref()?;
        let envelope: Envelope = serde_json::from_str(grant.signed.as_ref()?.envelope.get()).ok()?;
        let request: Request = serde_json::from_slice(&envelope.payload_named(grant.digest).ok()?).ok()?;
        request.plan().cloned()
    };
    if let (Some(then), Some(now)) = (planned(&started), plan) {
        let words = |plan: &Plan| -> Vec<String> {
            plan.changes().map(|step| format!("{} on {}", step.operation, step.resource)).collect()
        };
        let (then, now) = (words(&then), words(now));
        lines.extend(now.iter().filter(|line| !then.contains(line)).map(|line| format!("new: {line}")));
        lines.extend(then.iter().filter(|line| !now.contains(line)).map(|line| format!("not now: {line}")));
    }
    let when = at.round(jiff::Unit::Second).unwrap_or(at);
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
        let at = act.at.round(jiff::Unit::Second).unwrap_or(act.at);
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

/// Which policies decide about a request, and what is missing.
pub fn explain(reader: &Reader, rules: &Rules, case: &Case) -> Result<Vec<String>, Error> {
    let matter = matter(reader, rules, &case.request)?;
    let now = Timestamp::now();
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
    let approvers = case.approvers();
    for name in &case.request.triggers {
        let Some(principal) = rules.principals.get(name) else {
            lines.push(format!("start   {name}: is no principal any more"));
            continue;
        };
        let verdict = rules.policies.may(&who(principal), Verb::Trigger, Some(&matter), now, &approvers);
        lines.push(format!("start   {name}: {}", verdict.words()));
    }
    for principal in rules.principals.iter().filter(|principal| principal.name != case.request.requester) {
        let verdict = rules.policies.may(&who(principal), Verb::Approve, Some(&matter), now, &approvers);
        lines.push(format!("approve {}: {}", principal.name, verdict.words()));
    }
    Ok(lines)
}
