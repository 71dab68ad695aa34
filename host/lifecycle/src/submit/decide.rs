//! Decisions about requests: approvals and denials.

use jiff::Timestamp;
use remit_engine::blocking;
use remit_journal::{About, Act, LedgerEvent, Reader, RequestId};
use remit_policy::PolicyAction;
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, KeyId};

use crate::authority::{Accepted, Approval, Identity, Prepared, digests_on_record, policy_request};
use crate::{Error, Host, RequestState, Rules, Status};

/// The decision of a principal about a request, before it is signed.
#[derive(Clone, Debug)]
pub struct Decision {
    /// True to approve the request, false to deny it.
    pub approve: bool,
    /// Why the principal decides so, in their own words.
    pub reason: String,
    /// The digest of the request that the principal was shown; if the request has another digest, the decision is
    /// refused.
    pub expect: Option<Digest>,
}

impl Decision {
    fn verb(&self) -> &'static str {
        if self.approve { "approve" } else { "deny" }
    }
}

/// Makes an approval or denial of a request for its signature, after every check but that of the signature.
pub fn prepare_decision(
    host: &Host,
    by: &KeyId,
    id: RequestId,
    decision: &Decision,
) -> Result<Prepared<Approval>, Error> {
    blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let by = rules.identify(&reader, by)?;
        let state = RequestState::load(&reader, &rules, id)?;
        with_others(&reader, &rules, &state, check(&reader, &rules, &by, &state, decision))?;
        let approval = Approval {
            request: state.digest,
            id: state.request.id,
            log: rules.log.clone(),
            principal: by.name().to_owned(),
            approve: decision.approve,
            at: Timestamp::now(),
            reason: decision.reason.clone(),
        };
        Prepared::new(approval, &by)
    })
}

/// Accepts a signed decision after the same checks, and puts it on record.
pub async fn submit_decision(host: &Host, signed: &Envelope) -> Result<RequestState, Error> {
    let rules = host.rules()?;
    let (id, event) = blocking(|| {
        let reader = host.journal.reader()?;
        let accepted = Accepted::<Approval>::check(&rules, &reader, signed)?;
        let approval = &accepted.document;
        let state = RequestState::load(&reader, &rules, approval.id)?;
        accepted.check_new(digests_on_record(&reader, About::Request(approval.id))?)?;
        let decision = Decision {
            approve: approval.approve,
            reason: approval.reason.clone(),
            expect: Some(approval.request),
        };
        with_others(&reader, &rules, &state, check(&reader, &rules, &accepted.by, &state, &decision))?;
        let statement = accepted.statement(&approval.reason);
        let event = if approval.approve {
            LedgerEvent::Approved(statement)
        } else {
            LedgerEvent::RequestDenied(statement)
        };
        Ok::<_, Error>((approval.id, event))
    })?;
    host.journal.act(&Act::now(About::Request(id), event)).await?;
    blocking(|| RequestState::load(&*host.journal.reader()?, &rules, id))
}

/// Adds to the error of a principal that may not approve the names of those that may.
fn with_others(
    reader: &Reader,
    rules: &Rules,
    state: &RequestState,
    checked: Result<(), Error>,
) -> Result<(), Error> {
    let Err(mut error) = checked else { return Ok(()) };
    if let Error::NoSay { what: "approve", why, .. } | Error::Forbidden { what: "approve this", why, .. } =
        &mut error
        && matches!(state.status(rules), Status::Waiting(_))
    {
        let names = who_may_approve(reader, rules, state)?;
        let others = match names.as_slice() {
            [] => "nobody may, with the policies and keys that are in force".to_owned(),
            names => format!("{} may", names.join(", ")),
        };
        *why = format!("{why}; {others}");
    }
    Err(error)
}

/// The names of the principals whose approval would count now, by the same checks as when they approve.
pub fn who_may_approve(reader: &Reader, rules: &Rules, state: &RequestState) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for principal in rules.principals.iter() {
        if may_approve(reader, rules, state, &principal.name) {
            names.push(principal.name.clone());
        }
    }
    Ok(names)
}

/// Whether the approval of this principal would count now, by one of its keys or identities.
#[must_use]
pub fn may_approve(reader: &Reader, rules: &Rules, state: &RequestState, name: &str) -> bool {
    let decision = Decision { approve: true, reason: String::new(), expect: None };
    let may = |by: Identity| check(reader, rules, &by, state, &decision).is_ok();
    rules.principals.get(name).is_some_and(|principal| rules.possible(reader, principal).any(may))
}

/// Checks whether a principal can decide so about a request.
pub(super) fn check(
    reader: &Reader,
    rules: &Rules,
    by: &Identity,
    state: &RequestState,
    decision: &Decision,
) -> Result<(), Error> {
    let name = by.name();
    let refuse = |why: String| {
        let (who, id) = (name.to_owned(), state.request.id.to_string());
        Err(Error::NoSay { who, what: decision.verb(), id, why })
    };
    by.stands(reader)?;
    if decision.expect.is_some_and(|expected| expected != state.digest) {
        return refuse(format!(
            "it is not the request you looked at: its digest is {}. Look at it again (`remit request show`)",
            state.digest
        ));
    }
    match state.status(rules) {
        Status::Waiting(_) | Status::Approved => {}
        Status::Forbidden(why) | Status::Closed(why) => return refuse(why),
        Status::Used => return refuse("it is used up".to_owned()),
        Status::Expired => return refuse(format!("it expired at {}", state.request.not_after)),
    }
    if name == state.request.requester || by.key == state.key {
        return refuse(if decision.approve {
            format!("{name} asked for it: nobody approves their own request")
        } else {
            format!("{name} asked for it: a requester takes a request back with `remit revoke request`")
        });
    }
    if decision.approve
        && let Some(role) = state.operates(rules, name)
    {
        return refuse(format!("{name} is {role}: somebody else must approve it"));
    }
    if decision.reason.trim().is_empty() && !decision.approve {
        return refuse("a denial needs a reason (`--reason`)".to_owned());
    }
    let before = state.approvals.iter().find(|given| given.approval.principal == name);
    if decision.approve && before.is_some_and(|given| given.counts.is_ok()) {
        return refuse(format!("{name} has approved it already; somebody else must"));
    }
    let request = policy_request(reader, rules, &state.request, state.proof)?;
    let now = Timestamp::now();
    let verdict =
        rules.policies.may(&by.who(), PolicyAction::Approve, Some(&request), now, &state.approvers());
    if verdict.allowed {
        return Ok(());
    }
    Err(Error::Forbidden {
        who: name.to_owned(),
        what: if decision.approve { "approve this" } else { "deny this" },
        why: verdict.words(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::{POLICY, Place};

    fn decision(approve: bool, reason: &str) -> Decision {
        Decision { approve, reason: reason.to_owned(), expect: None }
    }

    #[test]
    fn each_decision_is_refused_for_its_reason() {
        let place = Place::new(&POLICY.replace("1 human", "3 human"));
        place.spare_key("");
        let id = place.file("bot", &place.request());
        let decide =
            |by: &str, decision: &Decision| prepare_decision(&place.host, &place.key(by), id, decision);
        let refused = |by: &str, decision: &Decision| decide(by, decision).unwrap_err().to_string();
        let (yes, no) = (decision(true, ""), decision(false, "wrong secret"));

        // By either of its keys.
        for key in ["bot", "spare"] {
            let told = refused(key, &yes);
            assert!(
                told.contains("bot cannot approve ") && told.contains("nobody approves their own"),
                "{told}"
            );
            assert!(told.ends_with("; alice, bob, carol may"), "{told}");
            let told = refused(key, &no);
            assert!(told.contains("bot cannot deny ") && told.ends_with("`remit revoke request`"), "{told}");
        }
        let other = Decision { expect: Some(Digest::of(b"another")), ..yes.clone() };
        assert!(refused("alice", &other).contains("not the request you looked at"));
        let same = Decision { expect: Some(place.load(id).digest), ..yes.clone() };
        let prepared = decide("alice", &same).unwrap().document;
        assert_eq!((prepared.id, &*prepared.principal, prepared.approve), (id, "alice", true));
        // A yes needs no reason.
        for reason in ["", " "] {
            assert!(refused("alice", &decision(false, reason)).contains("a denial needs a reason"));
            decide("alice", &decision(true, reason)).unwrap();
        }
        // Whoever approved may still deny, and need not approve again, unless that approval does not count.
        place.approve(id, "alice", |_| {});
        place.approve(id, "bob", |approval| approval.request = Digest::of(b"another"));
        let told = refused("alice", &yes);
        assert!(
            told.contains("alice has approved it already") && told.ends_with("; bob, carol may"),
            "{told}"
        );
        assert!(!decide("alice", &no).unwrap().document.approve);
        decide("bob", &yes).unwrap();
        let state = place.load(id);
        assert_eq!(who_may_approve(&place.reader(), &place.rules(), &state).unwrap(), ["bob", "carol"]);
    }

    #[test]
    fn what_is_over_is_not_decided_about() {
        let place = Place::new(POLICY);
        let (yes, no) = (decision(true, ""), decision(false, "wrong secret"));
        let refused = |id, decision: &Decision| {
            prepare_decision(&place.host, &place.key("alice"), id, decision).unwrap_err().to_string()
        };
        let used = place.file("bot", &place.request());
        place.run(used, &["prod/db"], |_, _| {});
        let past = Timestamp::now() - jiff::SignedDuration::from_secs(1);
        let expired = place.file("bot", &crate::Request { not_after: past, ..place.request() });
        let voided = place.file("bot", &place.request());
        place.put(About::Request(voided), LedgerEvent::Voided { why: "so".to_owned() });
        for decision in [&yes, &no] {
            assert!(refused(used, decision).ends_with("it is used up"));
            assert!(refused(expired, decision).contains("it expired at"));
            assert!(refused(voided, decision).ends_with("it was voided: so"));
        }
    }

    #[test]
    fn who_may_not_is_told_who_may() {
        let place = Place::new(&POLICY.replace(
            "when { principal.kind == \"human\" }",
            "when { principal == Remit::Principal::\"carol\" }",
        ));
        let id = place.file("bot", &place.request());
        let refused = |approve| {
            let decision = decision(approve, "r");
            prepare_decision(&place.host, &place.key("alice"), id, &decision).unwrap_err().to_string()
        };
        let told = refused(true);
        assert!(told.contains("alice may not approve this") && told.ends_with("; carol may"), "{told}");
        let told = refused(false);
        assert!(told.contains("alice may not deny this") && !told.contains("carol"), "{told}");
        place.end_key("carol");
        let id = place.file("bot", &place.request());
        let told = prepare_decision(&place.host, &place.key("alice"), id, &decision(true, "r"));
        assert!(
            told.unwrap_err()
                .to_string()
                .ends_with("; nobody may, with the policies and keys that are in force")
        );
    }
}
