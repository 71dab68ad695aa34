//! Checks the authority of a proven run, for somebody who has only its records and an approver's public key.

use std::path::Path;

use jiff::Timestamp;
use remit_capability::BUILT_IN;
use remit_gate::{Effect, Failure, Plan, Resource, Scope, Step};
use remit_journal::{CallResult, Event, Intent, Outcome, Phase, Proven, Record, RunId, Started};
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, VerifyingKey};
use serde_json::value::RawValue;

use super::covers::covers;
use super::documents::{Approval, Signed, claimed};
use super::{Request, RequestedAuthority, StandingScope, Trigger};
use crate::Error;

/// Checks that a proven run acted under a request that the holder of the key file `approver` approved, and stayed within it:
/// the same action, input, scope, steps and time. For a standing scope: an action, hours and numbers that it allows. The
/// records of one run do not show how much of the hourly budget other runs used.
pub fn check_authority(proven: &Proven, approver: &Path) -> Result<(), Error> {
    let refuse = |why: &str| {
        Err(Error::Unproven {
            why: why.to_owned(),
            help: "the proof does not show that the holder of this key approved the run: use the key of who did",
        })
    };
    let Proven::Run { run, records, .. } = proven else {
        return refuse("this is not the proof of a run");
    };
    let Some((_, Record { event: Event::Started(started), at, .. })) = records.first() else {
        return refuse("its first record is missing");
    };
    let Some(grant) = &started.grant else {
        return refuse("the run has no authority on record");
    };
    let (Some(signed), Some(authority)) = (&grant.signed, &grant.authority) else {
        return refuse("the run has no approvals on record");
    };
    let key = VerifyingKey::load(approver)?;
    let approved = authority
        .approvals
        .iter()
        .filter_map(|envelope| Signed::<Approval>::open(envelope, std::slice::from_ref(&key)).ok())
        .any(|approval| approval.document.approve && approval.document.request == grant.digest);
    if !approved {
        return refuse("no approval on record is by this key");
    }
    // The approval names the request by its digest, so this request was approved, whoever signed it.
    let request: Request = serde_json::from_slice(&payload(&signed.envelope, grant.digest)?)?;
    if (request.not_before, request.not_after) != (signed.not_before, signed.not_after)
        || !(request.not_before..request.not_after).contains(at)
    {
        return refuse("the run is not what was approved: it started at another time");
    }
    let ran = Ran { run: *run, at: *at, started, records };
    let found = ran.within(&request, grant.digest, &authority.trigger);
    found.or_else(|why| refuse(&format!("the run is not what was approved: {why}")))
}

/// The payload of an envelope, if it has this digest.
fn payload(envelope: &RawValue, digest: Digest) -> Result<Vec<u8>, Error> {
    let envelope: Envelope = serde_json::from_str(envelope.get())?;
    envelope.payload_named(digest).map_err(|error| Error::Unproven {
        why: format!("a document in the records does not have its recorded digest: {error}"),
        help: "do not trust these records",
    })
}

/// A run, as its records show it.
struct Ran<'a> {
    run: RunId,
    at: Timestamp,
    started: &'a Started,
    records: &'a [(u64, Record)],
}

impl Ran<'_> {
    /// Checks that the whole run is inside what a request asks for; if not, returns why.
    fn within(&self, request: &Request, digest: Digest, trigger: &RawValue) -> Result<(), String> {
        self.is_started_by(trigger, digest)?;
        let scope: Scope = self
            .started
            .scope
            .as_ref()
            .and_then(|scope| serde_json::from_str(scope.get()).ok())
            .ok_or("its scope is not on record")?;
        if scope.digest().ok() != Some(self.started.scope_digest) {
            return Err("its scope is not the one that it names".to_owned());
        }
        self.is_within_scope(&scope)?;
        match &request.asks {
            RequestedAuthority::Run { action, input, plan } => {
                let input = crate::Input::of(input).map_err(|error| error.to_string())?;
                if action.digest != self.started.action.digest || input.digest() != self.started.input_digest
                {
                    return Err("it is another action, or another input".to_owned());
                }
                if scope != request.scope {
                    return Err("it had another scope".to_owned());
                }
                plan.as_ref().map_or(Ok(()), |plan| self.follows_plan(plan))
            }
            RequestedAuthority::Standing(standing) => {
                self.is_within_standing(standing, &request.scope, &scope)
            }
        }
    }

    /// The trigger is for this run of this action with this input, under this request.
    fn is_started_by(&self, trigger: &RawValue, request: Digest) -> Result<(), String> {
        let wrong = || "its trigger is for something else".to_owned();
        let (trigger, _) = claimed::<Trigger>(trigger).ok_or_else(wrong)?;
        let same = (trigger.request, trigger.run) == (request, self.run)
            && (trigger.action, trigger.input) == (self.started.action.digest, self.started.input_digest)
            && self.started.started_by.as_ref().is_none_or(|name| *name == trigger.principal);
        if same { Ok(()) } else { Err(wrong()) }
    }

    /// Each call that is more than a read, with its phase.
    fn bound(&self) -> impl Iterator<Item = (Phase, &Intent)> {
        let mut phase = Phase::Run;
        self.records.iter().filter_map(move |(_, record)| match &record.event {
            Event::Phase(entered) => {
                phase = entered.phase;
                None
            }
            Event::Intent(intent) if intent.effect == Effect::Disclose => Some((phase, intent)),
            Event::Intent(intent) if intent.effect != Effect::Observe && !self.came_to_nothing(intent) => {
                Some((phase, intent))
            }
            _ => None,
        })
    }

    /// Whether a call is known to have neither touched nor handed out anything: a change that failed in preparation, or that the
    /// system definitely did not make, was no step and may be tried again; a disclosure that failed need not have been one.
    fn came_to_nothing(&self, intent: &Intent) -> bool {
        let failure = || {
            self.records.iter().find_map(|(_, record)| match &record.event {
                Event::Outcome(Outcome { call, result: CallResult::Failed { failure }, .. })
                    if *call == intent.call =>
                {
                    Some(failure)
                }
                _ => None,
            })
        };
        let is_definite = |failure: &RawValue| {
            serde_json::from_str::<Failure>(failure.get()).is_ok_and(|failure| failure.is_definite())
        };
        match intent.effect {
            Effect::Change | Effect::Irrevocable => {
                intent.before.is_none() || failure().is_some_and(|failure| is_definite(failure))
            }
            Effect::Disclose => failure().is_some(),
            Effect::Observe => false,
        }
    }

    fn changes(&self) -> u64 {
        self.bound().filter(|(_, intent)| intent.effect != Effect::Disclose).count() as u64
    }

    /// Every call is inside the scope, and there are not more changes than it allows.
    fn is_within_scope(&self, scope: &Scope) -> Result<(), String> {
        for (_, record) in self.records {
            let Event::Intent(intent) = &record.event else { continue };
            // A read that reaches no system, such as of a clock, needs no rule in the scope.
            let ambient = BUILT_IN.operation(&intent.operation).is_some_and(|known| known.ambient);
            if ambient && intent.effect == Effect::Observe {
                continue;
            }
            let resource = Resource::try_from(intent.resource.clone()).map_err(|error| error.to_string())?;
            let mut step = Step::on_record(intent, resource);
            // What came to nothing was allowed to be tried, and did not have to be accepted.
            if self.came_to_nothing(intent) {
                step.effect = Effect::Observe;
            }
            scope.covers(&step).map_err(|why| format!("call {}: {why}", intent.call))?;
        }
        if self.changes() > scope.limits.changes {
            return Err(format!(
                "it made {} changes, its scope allows {}",
                self.changes(),
                scope.limits.changes
            ));
        }
        Ok(())
    }

    /// Every call that is more than a read is the next step of the plan. The run may have ended before the last step.
    fn follows_plan(&self, plan: &Plan) -> Result<(), String> {
        let mut steps = plan.bound();
        for (phase, intent) in self.bound() {
            let run_time = BUILT_IN.operation(&intent.operation).map_or(&[][..], |o| o.run_time);
            let mut rest = steps.clone();
            if rest.next().is_some_and(|step| step.is_of(phase, intent, run_time)) {
                steps = rest;
            } else if intent.effect != Effect::Disclose || !self.came_to_nothing(intent) {
                return Err(format!("call {} is not the next step of its plan", intent.call));
            }
        }
        Ok(())
    }

    /// Checks what one run can show of a standing scope: the action, the hour, the scope, and that this run alone is not over
    /// budget.
    fn is_within_standing(
        &self,
        standing: &StandingScope,
        approved: &Scope,
        scope: &Scope,
    ) -> Result<(), String> {
        covers(&standing.action, &self.started.action, self.started.publisher.as_deref())?;
        if !standing.hours.is_empty() && !standing.hours.iter().any(|hours| hours.contain(self.at)) {
            return Err("it started outside the hours of its standing scope".to_owned());
        }
        // A run has the scope as approved, with as many changes as its own plan had.
        let mut same = approved.clone();
        same.limits.changes = scope.limits.changes;
        if same != *scope || scope.limits.changes > approved.limits.changes {
            return Err("it had another scope, or more changes than was approved for one run".to_owned());
        }
        if self.changes() > standing.changes_per_hour || standing.runs_per_hour == 0 {
            return Err("it alone is over the hourly budget".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
