//! What a person wants to know before deciding.

use jiff::Timestamp;
use remit_journal::{About, Event, LedgerEvent, Mode, Reader, RequestId, Started};
use remit_policy::{Need, PolicyAction, PolicyRequest, Subject};
use remit_trust::dsse::Envelope;
use serde::Serialize;

use super::decide::check;
use super::identity::may_order;
use super::start::{may_start, may_use};
use super::start_matter::{run_of, started_by};
use super::{Asks, Decision, Given, Identity, Power, Powers, Request, RequestState, Rules};
use crate::Error;
use crate::timeline::second;

/// What differs from the last live run of this action, a line each; that there was none is one too.
pub fn differences(reader: &Reader, case: &RequestState) -> Result<Vec<String>, Error> {
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
        let line = match &act.event {
            LedgerEvent::Revoked { statement, revocations } => {
                let bases: Vec<String> =
                    revocations.iter().map(|revocation| revocation.basis.to_string()).collect();
                format!("revoked {} by {}: {}", bases.join(", "), statement.principal, statement.reason)
            }
            LedgerEvent::Frozen(statement) => {
                format!("frozen by {}: {}", statement.principal, statement.reason)
            }
            LedgerEvent::Unfrozen(statement) => {
                format!("unfrozen by {}: {}", statement.principal, statement.reason)
            }
            LedgerEvent::Reviewed { statement, run } => {
                format!("{run} reviewed by {}: {}", statement.principal, statement.reason)
            }
            LedgerEvent::Notified { notifier, upto, statement: Some(statement) } => format!(
                "given up: {notifier} is not told of record {upto}, by {}: {}",
                statement.principal, statement.reason
            ),
            _ => continue,
        };
        lines.push(format!("{seq}  {at}  {line}"));
    }
    Ok(lines)
}

/// What a principal could do about a request now.
#[derive(Clone, Debug, Serialize)]
pub struct Could {
    /// The principal's name.
    pub who: String,
    /// The kind of use: `approve`, `start` or `revoke`.
    pub verb: &'static str,
    /// Whether the principal could do it now.
    pub allowed: bool,
    /// The policies that allow it; if it is not allowed, the error message that the principal would get.
    pub why: String,
}

/// What each principal could do about a request now: approve it, start it, revoke it. It calls the same functions that
/// decide when a principal does so.
pub fn could(reader: &Reader, rules: &Rules, case: &RequestState) -> Result<Vec<Could>, Error> {
    let mut all = Vec::new();
    for principal in rules.principals.iter() {
        let mut known = None;
        let mut why = "it has no key that counts now".to_owned();
        for held in &principal.keys {
            let Ok(by) = rules.identify(&held.key.id()) else { continue };
            match by.stands(reader) {
                Ok(()) => known = Some(by),
                Err(error) => why = error.to_string(),
            }
        }
        for verb in [PolicyAction::Approve, PolicyAction::Trigger, PolicyAction::Revoke] {
            let answer = match &known {
                None => Err(why.clone()),
                Some(by) => may(reader, rules, case, by, verb).map_err(|error| error.to_string()),
            };
            let allowed = answer.is_ok();
            let (Ok(why) | Err(why)) = answer;
            let verb = if verb == PolicyAction::Trigger { "start" } else { verb.name() };
            all.push(Could { who: principal.name.clone(), verb, allowed, why });
        }
    }
    Ok(all)
}

fn may(
    reader: &Reader,
    rules: &Rules,
    case: &RequestState,
    by: &Identity,
    verb: PolicyAction,
) -> Result<String, Error> {
    let who = by.who();
    let now = Timestamp::now();
    let allowed = |matter: &PolicyRequest, approvers: &[Subject]| {
        rules.policies.may(&who, verb, Some(matter), now, approvers).words()
    };
    match verb {
        PolicyAction::Approve => {
            let decision = Decision { approve: true, reason: String::new(), expect: None };
            check(reader, rules, by, case, &decision)?;
            Ok(allowed(&case.matter, &case.approvers()))
        }
        PolicyAction::Trigger => {
            may_use(reader, rules, &who.name, case)?;
            // What a run under a standing scope would do is not known yet, so a run that changes nothing is judged.
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

/// Which policies decide about a request, what is missing, and what each principal could do about it.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The request's identifier.
    pub request: RequestId,
    /// The request's status in one word.
    pub status: &'static str,
    /// Whether the quorum of `principals.toml` stands in for the policies.
    pub break_glass: bool,
    /// The approvals that the policies require.
    pub needs: Vec<Needed>,
    /// Why no approval would be enough, if the policies forbid the request; otherwise none.
    pub cannot_be_met: Option<String>,
    /// Every decision about the request, whether it counts or not.
    pub approvals: Vec<Said>,
    /// What each principal could do now.
    pub could: Vec<Could>,
}

/// A requirement for approvals.
#[derive(Clone, Debug, Serialize)]
pub struct Needed {
    /// How many approvals, and whose: `2 humans of security`.
    pub needs: String,
    /// The name of the policy that requires them.
    pub policy: String,
    /// How many of them are missing.
    pub missing: usize,
}

/// The decision of one principal about a request.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    /// The principal's name.
    pub principal: String,
    /// Whether it counts as an approval.
    pub counts: bool,
    /// Why it does not count; none if it counts.
    pub why_not: Option<String>,
}

/// Tells which policies decide about a request, and what is missing.
pub fn explain(reader: &Reader, rules: &Rules, case: &RequestState) -> Result<Explained, Error> {
    let (needs, cannot_be_met) = match case.needs(rules) {
        Ok(lacks) => {
            let needed = |(need, missing): (Need, usize)| Needed {
                needs: need.to_string(),
                policy: need.policy,
                missing,
            };
            (lacks.needs.into_iter().map(needed).collect(), None)
        }
        Err(why) => (Vec::new(), Some(why)),
    };
    let said = |given: &Given| Said {
        principal: given.approval.principal.clone(),
        counts: given.counts.is_ok(),
        why_not: given.counts.as_ref().err().cloned(),
    };
    Ok(Explained {
        request: case.request.id,
        status: case.status(rules).name(),
        break_glass: case.request.break_glass,
        needs,
        cannot_be_met,
        approvals: case.approvals.iter().map(said).collect(),
        could: could(reader, rules, case)?,
    })
}

impl Explained {
    /// The explanation as text, one line for each requirement, approval and principal.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", self.request, self.status)];
        if self.break_glass {
            lines.push("break-glass: the quorum of principals.toml stands in for the policies".to_owned());
        }
        for Needed { needs, policy, missing } in &self.needs {
            let met = if *missing == 0 { "met".to_owned() } else { format!("{missing} missing") };
            lines.push(format!("needs   {needs}: {met}   (policy {policy})"));
        }
        lines.extend(self.cannot_be_met.iter().map(|why| format!("needs   cannot be met: {why}")));
        for Said { principal, why_not, .. } in &self.approvals {
            let says = why_not
                .as_ref()
                .map_or_else(|| "counts".to_owned(), |why| format!("does not count: it {why}"));
            lines.push(format!("by      {principal}: {says}"));
        }
        for could in &self.could {
            let no = if could.allowed { "" } else { "no: " };
            lines.push(format!("{:<7} {}: {no}{}", could.verb, could.who, could.why));
        }
        lines
    }
}
