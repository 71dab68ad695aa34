//! What a person needs to know before a decision: what a request changes compared with the last run, who can do what
//! about it, and the orders about the host.

use std::borrow::Cow;

use jiff::Timestamp;
use remit_journal::{About, Event, LedgerEvent, Reader, RequestId, Started};
use remit_policy::{Need, PolicyAction, PolicyRequest, Subject};
use serde::{Deserialize, Serialize};

use super::decide::{Decision, check};
use super::start::{check_start, check_usable};
use crate::authority::{
    Identity, Power, Powers, check_allowed, claimed, policy_request_of_standing_run, policy_request_of_start,
};
use crate::time::second;
use crate::{Error, Given, Request, RequestState, RequestedAuthority, Rules, connectors};

/// How a request differs from the last live run of its action, one line for each difference; one line if there was none.
pub fn differences(reader: &Reader, state: &RequestState) -> Result<Vec<String>, Error> {
    let RequestedAuthority::Run { action, input, .. } = &state.request.asks else { return Ok(Vec::new()) };
    let last = match reader.newest_live(&action.name)? {
        Some(run) => reader.run_since(&run, 0, 1)?.pop(),
        None => None,
    };
    let last = last.and_then(|(_, record)| match record.event {
        Event::Started(started) => Some((record.at, started)),
        _ => None,
    });
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
    let last_input: serde_json::Value = serde_json::from_str(started.input.get())?;
    if last_input != *input {
        lines.push(format!("its input was {last_input}"));
    }
    if let Some(last) = request_of(&started) {
        let words = |powers: &Powers| -> Vec<String> {
            let words = |power: &Power| format!("{} {} by {}", power.does, power.resource, power.capability);
            powers.all.iter().map(words).collect()
        };
        let all = |request: &Request| {
            let fate = request.scope.terms().into_iter().map(|(when, what)| format!("{when}, {what}"));
            let through = request.connectors.iter().map(|of| format!("through {}", connectors::words(of)));
            [words(&request.powers()), through.collect(), fate.collect()].concat()
        };
        let (last, now) = (all(&last), all(&state.request));
        lines.extend(now.iter().filter(|line| !last.contains(line)).map(|line| format!("new: {line}")));
        lines.extend(last.iter().filter(|line| !now.contains(line)).map(|line| format!("not now: {line}")));
    }
    let when = second(at);
    if lines.is_empty() {
        lines.push(format!("the same as at {when}"));
    } else {
        lines.insert(0, format!("at {when}, by {}", started.principal));
    }
    Ok(lines)
}

/// The request of a recorded run; none if it cannot be read.
fn request_of(started: &Started) -> Option<Request> {
    let grant = started.grant.as_ref()?;
    let (request, digest) = claimed(&grant.signed.as_ref()?.envelope)?;
    (digest == grant.digest).then_some(request)
}

/// The orders about this host, one line each.
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
            LedgerEvent::Unfrozen { statement, .. } => {
                format!("unfrozen by {}: {}", statement.principal, statement.reason)
            }
            LedgerEvent::Reviewed { statement, run } => {
                format!("{run} reviewed by {}: {}", statement.principal, statement.reason)
            }
            LedgerEvent::Notified { notifier, upto, statement: Some(statement) } => format!(
                "given up: {notifier} does not get the event of record {upto}, by {}: {}",
                statement.principal, statement.reason
            ),
            _ => continue,
        };
        lines.push(format!("{seq}  {at}  {line}"));
    }
    Ok(lines)
}

/// What a principal could do about a request now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Permission {
    /// The principal's name.
    pub who: String,
    /// The kind of use: `approve`, `start` or `revoke`.
    pub verb: Cow<'static, str>,
    /// Whether the principal could do it now.
    pub allowed: bool,
    /// The policies that allow it; if it is not allowed, the error message that the principal would get.
    pub why: String,
}

/// What each principal could do about a request now: approve it, start a run under it, revoke it. The same functions
/// decide when a principal does so.
pub fn could(reader: &Reader, rules: &Rules, state: &RequestState) -> Result<Vec<Permission>, Error> {
    let mut answers = Vec::new();
    for principal in rules.principals.iter() {
        let mut identity = None;
        let mut why = "it has no key that is in force now".to_owned();
        for by in rules.possible(reader, principal) {
            match by.stands(reader) {
                Ok(()) => identity = Some(by),
                Err(error) => why = error.to_string(),
            }
        }
        for action in [PolicyAction::Approve, PolicyAction::Trigger, PolicyAction::Revoke] {
            let answer = match &identity {
                None => Err(why.clone()),
                Some(by) => may(reader, rules, state, by, action).map_err(|error| error.to_string()),
            };
            let allowed = answer.is_ok();
            let (Ok(why) | Err(why)) = answer;
            let verb = if action == PolicyAction::Trigger { "start" } else { action.name() };
            answers.push(Permission { who: principal.name.clone(), verb: verb.into(), allowed, why });
        }
    }
    Ok(answers)
}

/// Why a principal may do this about a request; an error if it may not.
fn may(
    reader: &Reader,
    rules: &Rules,
    state: &RequestState,
    by: &Identity,
    action: PolicyAction,
) -> Result<String, Error> {
    let who = by.who();
    let now = Timestamp::now();
    let allowed = |request: &PolicyRequest, approvers: &[Subject]| {
        rules.policies.may(&who, action, Some(request), now, approvers).words()
    };
    match action {
        PolicyAction::Approve => {
            let decision = Decision { approve: true, reason: String::new(), expect: None };
            check(reader, rules, by, state, &decision)?;
            Ok(allowed(&state.policy_request, &state.approvers()))
        }
        PolicyAction::Trigger => {
            check_usable(reader, rules, &who.name, state)?;
            // What a run under a standing scope would do is not known yet, so policies are asked about a run that changes
            // nothing.
            let standing = matches!(state.request.asks, RequestedAuthority::Standing(_));
            let request = &state.policy_request;
            let start = if standing {
                policy_request_of_standing_run(
                    reader,
                    (request, &state.request.scope, &state.request.connectors),
                    &who.name,
                    &[],
                )?
            } else {
                policy_request_of_start(reader, request, &who.name)?
            };
            check_start(reader, rules, &who, &start, &state.request.powers(), state)?;
            Ok(if state.request.break_glass {
                "allowed by the quorum of [break-glass]".to_owned()
            } else if standing {
                format!(
                    "{}, if it changes nothing; a run with changes is judged when it starts",
                    allowed(&start, &state.approvers())
                )
            } else {
                allowed(&start, &state.approvers())
            })
        }
        _ => {
            check_allowed(rules, &who, action, Some(&state.policy_request))?;
            Ok(allowed(&state.policy_request, &[]))
        }
    }
}

/// Which policies decide about a request, what is missing, and what each principal could do about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explained {
    /// The request's identifier.
    pub request: RequestId,
    /// The request's status in one word.
    pub status: Cow<'static, str>,
    /// Whether the quorum of `[break-glass]` in `principals.toml` decides instead of the policies.
    pub break_glass: bool,
    /// The approvals that the policies require.
    pub needs: Vec<Needed>,
    /// Why no approval would be enough, if the policies forbid the request; otherwise none.
    pub cannot_be_met: Option<String>,
    /// Every decision about the request, whether it counts or not.
    pub approvals: Vec<ApprovalState>,
    /// What each principal could do now.
    pub could: Vec<Permission>,
}

/// A requirement for approvals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Needed {
    /// How many approvals, and whose: `2 humans of security`.
    pub needs: String,
    /// The name of the policy that requires them.
    pub policy: String,
    /// How many of them are missing.
    pub missing: usize,
}

impl Needed {
    /// What is missing in words: `1 more of 2 humans (policy two)`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} more of {} ({})", self.missing, self.needs, self.policy)
    }
}

impl From<(Need, usize)> for Needed {
    fn from((need, missing): (Need, usize)) -> Self {
        Self { needs: need.to_string(), policy: need.policy, missing }
    }
}

/// The decision of one principal about a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApprovalState {
    /// The principal's name.
    pub principal: String,
    /// Whether it counts as an approval.
    pub counts: bool,
    /// Why it does not count; none if it counts.
    pub why_not: Option<String>,
}

/// Explains which policies decide about a request, what is missing, and what each principal could do about it.
pub fn explain(reader: &Reader, rules: &Rules, state: &RequestState) -> Result<Explained, Error> {
    let (needs, cannot_be_met) = match state.needs(rules) {
        Ok(lacks) => (lacks.needs.into_iter().map(Needed::from).collect(), None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let said = |given: &Given| ApprovalState {
        principal: given.approval.principal.clone(),
        counts: given.counts.is_ok(),
        why_not: given.counts.as_ref().err().cloned(),
    };
    Ok(Explained {
        request: state.request.id,
        status: state.status(rules).name().into(),
        break_glass: state.request.break_glass,
        needs,
        cannot_be_met,
        approvals: state.approvals.iter().map(said).collect(),
        could: could(reader, rules, state)?,
    })
}

impl Explained {
    /// The explanation as text, one line for each requirement, approval and principal.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", self.request, self.status)];
        if self.break_glass {
            lines.push("break-glass: the quorum of principals.toml decides, not the policies".to_owned());
        }
        for Needed { needs, policy, missing } in &self.needs {
            let met = if *missing == 0 { "met".to_owned() } else { format!("{missing} missing") };
            lines.push(format!("needs   {needs}: {met}   (policy {policy})"));
        }
        lines.extend(self.cannot_be_met.iter().map(|why| format!("needs   cannot be met: {why}")));
        for ApprovalState { principal, why_not, .. } in &self.approvals {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
