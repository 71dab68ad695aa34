//! Grants: the authority of one run.

use jiff::Timestamp;
use remit_gate::{Facts, Plan, Scope};
use remit_journal::{Authority, Basis, ConnectorRef, GrantRef, Reader, RestsOn, SignedRef};
use serde_json::value::RawValue;

use super::documents::Trigger;
use super::signed::Accepted;
use super::{Given, RequestState};
use crate::Error;

/// The authority of one run, from a request, its approvals and the trigger. [`grant`] is the only way to make one.
pub(crate) struct Grant {
    pub(crate) scope: Scope,
    pub(crate) plan: Option<Plan>,
    pub(crate) facts: Facts,
    /// The connectors that were approved with it.
    pub(crate) connectors: Vec<ConnectorRef>,
    /// The name of the requester.
    pub(crate) principal: String,
    /// The name of the principal that starts the run.
    pub(crate) started_by: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// The grant as the journal keeps it.
    pub(crate) on_record: GrantRef,
}

/// Makes the grant of a run, after every check was made.
pub(crate) fn grant(
    reader: &Reader,
    state: &RequestState,
    trigger: &Accepted<Trigger>,
    scope: Scope,
    plan: Option<Plan>,
) -> Result<Grant, Error> {
    let request = &state.request;
    let facts = Facts {
        run: trigger.document.run,
        started: Timestamp::now(),
        reason: trigger.document.reason.as_ref().unwrap_or(&request.reason).clone(),
        seed: remit_trust::random()?,
    };
    let authority = Authority {
        request: request.id,
        approvals: counting(state).map(envelope).collect(),
        trigger: trigger.envelope.clone(),
        break_glass: request.break_glass,
        rests_on: rests_on(reader, state, trigger)?,
    };
    Ok(Grant {
        scope,
        plan,
        facts,
        connectors: request.connectors.clone(),
        principal: request.requester.clone(),
        started_by: trigger.by.name().to_owned(),
        not_before: request.not_before,
        not_after: request.not_after,
        on_record: GrantRef {
            digest: state.digest,
            uses: request.uses.unwrap_or(u32::MAX),
            signed: Some(SignedRef {
                envelope: state.envelope.clone(),
                not_before: request.not_before,
                not_after: request.not_after,
            }),
            authority: Some(authority),
        },
    })
}

fn counting(state: &RequestState) -> impl Iterator<Item = &Given> {
    state.approvals.iter().filter(|given| given.counts.is_ok())
}

fn envelope(given: &Given) -> Box<RawValue> {
    given.envelope.clone()
}

/// Everything that the run's authority depends on: revoking any of it stops the run.
fn rests_on(
    reader: &Reader,
    state: &RequestState,
    trigger: &Accepted<Trigger>,
) -> Result<Vec<RestsOn>, Error> {
    let mut rests_on = state.own_bases();
    let mut add = |basis, since| rests_on.push(RestsOn { basis, since });
    for given in counting(state) {
        add(Basis::Principal(given.approval.principal.clone()), given.seq);
        add(Basis::Key(given.key.to_string()), given.seq);
    }
    let now = reader.size()?;
    add(Basis::Principal(trigger.by.name().to_owned()), now);
    add(Basis::Key(trigger.by.key.to_string()), now);
    add(Basis::Action(trigger.document.action.to_string()), state.seq);
    rests_on.sort_by_key(|on| (on.basis.clone(), on.since));
    rests_on.dedup();
    Ok(rests_on)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use remit_journal::RunId;

    use super::*;
    use crate::testing::{POLICY, Place};
    use crate::{Approval, Request};

    #[test]
    fn a_grant_rests_on_everybody_whose_word_it_has() {
        let place = Place::new(POLICY);
        let request = place.request();
        let id = place.file("bot", &request);
        place.approve(id, "bot", |_| {});
        place.approve(id, "alice", |_| {});
        let state = place.load(id);
        let trigger = Trigger {
            request: state.digest,
            id,
            log: request.log.clone(),
            run: RunId::new(),
            action: crate::testing::action().digest,
            input: crate::Input::of(&serde_json::json!({})).unwrap().digest(),
            principal: "bob".to_owned(),
            at: Timestamp::now(),
            reason: None,
        };
        let (reader, rules) = (place.reader(), place.rules());
        let accept =
            |trigger: &Trigger| Accepted::check(&rules, &reader, &place.sign("bob", trigger)).unwrap();
        let plan = state.request.plan().cloned();
        let made = grant(&reader, &state, &accept(&trigger), request.scope.clone(), plan).unwrap();
        assert_eq!((made.facts.run, &*made.principal, &*made.started_by), (trigger.run, "bot", "bob"));
        assert_eq!((made.not_before, made.not_after), (request.not_before, request.not_after));
        assert_eq!((&*made.facts.reason, made.on_record.uses), ("leaked", 1));
        let authority = made.on_record.authority.unwrap();
        // Only the approval that counts.
        let approvals: Vec<Approval> = authority
            .approvals
            .iter()
            .map(|envelope| super::super::documents::claimed(envelope).unwrap().0)
            .collect();
        assert_eq!(approvals.iter().map(|approval| &*approval.principal).collect::<Vec<_>>(), ["alice"]);
        let told = |rests_on: &[RestsOn]| {
            let mut told: Vec<_> = rests_on.iter().map(|on| (on.basis.to_string(), on.since)).collect();
            told.sort();
            told
        };
        let size = reader.size().unwrap();
        let (asked, approved) = (state.seq, state.approvals[1].seq);
        let mut expected = vec![
            ("all".to_owned(), asked),
            (format!("action:{}", trigger.action), asked),
            (format!("request:{id}"), asked),
            ("principal:bot".to_owned(), asked),
            (format!("key:{}", place.key("bot")), asked),
            ("principal:alice".to_owned(), approved),
            (format!("key:{}", place.key("alice")), approved),
            ("principal:bob".to_owned(), size),
            (format!("key:{}", place.key("bob")), size),
        ];
        expected.sort();
        assert_eq!(told(&authority.rests_on), expected);

        // Of a standing scope: the reason of the run, and as many runs as its budget has.
        let standing = place.load(place.file("bot", &Request { uses: None, ..place.standing() }));
        let trigger = Trigger { reason: Some("stale".to_owned()), request: standing.digest, ..trigger };
        let made = grant(&reader, &standing, &accept(&trigger), request.scope, None).unwrap();
        assert_eq!((&*made.facts.reason, made.on_record.uses), ("stale", u32::MAX));
    }
}
