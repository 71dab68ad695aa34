//! A request with its decisions and runs, as the journal has them.

use std::sync::Arc;

use jiff::Timestamp;
use remit_journal::{About, Act, Basis, LedgerEvent, Reader, RequestId, RestsOn};
use remit_policy::{Need, PolicyRequest, Subject};
use remit_trust::issuers::Proof;
use remit_trust::{Digest, KeyId};
use serde_json::value::RawValue;

use super::documents::Approval;
use super::rules::break_glass;
use super::{Holder, Request, RequestedAuthority, Rules, policy_request};
use crate::{Error, Needed};

/// A request with a valid signature, and its approvals that have one.
#[derive(Debug)]
pub struct RequestState {
    /// The request as its requester signed it.
    pub request: Arc<Request>,
    /// The digest of the signed request. Every approval names it.
    pub digest: Digest,
    /// The id of the key that signed the request.
    pub key: KeyId,
    /// How the requester proved to be the one.
    pub proof: Proof,
    /// The sequence number of the request's record.
    pub seq: u64,
    /// The DSSE envelope of the request.
    pub(crate) envelope: Box<RawValue>,
    /// Every approval with a valid signature, whether it counts or not.
    pub approvals: Vec<Given>,
    /// Why the request gives no authority any more, if it was denied, voided or revoked; otherwise none.
    pub closed: Option<String>,
    /// How many of the runs that it allows have started. None if it allows any number: to count them would take longer with each run.
    pub started: Option<u32>,
    /// The facts that policies decide on. The counts of used budgets in it are from when it was read; a start reads them
    /// again while no other run can start.
    pub(crate) policy_request: PolicyRequest,
}

/// An approval, and whether it counts.
#[derive(Clone, Debug)]
pub struct Given {
    /// The approval as it was signed.
    pub approval: Arc<Approval>,
    /// The id of the key that signed the approval.
    pub key: KeyId,
    /// The sequence number of the approval's record.
    pub seq: u64,
    /// The DSSE envelope of the approval.
    pub(crate) envelope: Box<RawValue>,
    /// Whose key it is.
    holder: Holder,
    /// The approver as policies see it; if the approval does not count, the reason.
    pub counts: Result<Subject, String>,
}

/// The approvals that a request still needs.
#[derive(Clone, Debug)]
pub struct MissingApprovals {
    /// Each requirement of a policy, and how many approvals are missing for it.
    pub needs: Vec<(Need, usize)>,
}

impl MissingApprovals {
    /// Each missing approval in words: `1 more of 2 humans (policy two)`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let missing = self.needs.iter().filter(|(_, missing)| *missing > 0);
        missing.map(|needed| Needed::from(needed.clone()).words()).collect()
    }

    /// Whether approvals would still be missing even if all of these principals approved.
    #[must_use]
    pub(crate) fn is_beyond(&self, all: &[Subject]) -> bool {
        self.needs.iter().any(|(need, missing)| need.count - need.missing(all) < *missing)
    }
}

/// The status of a request.
#[derive(Clone, Debug)]
pub enum Status {
    /// Approvals are missing: these.
    Waiting(MissingApprovals),
    /// It has every approval that it needs, and runs can start under it.
    Approved,
    /// As many runs as it allows have started.
    Used,
    /// It was denied, voided or revoked, for this reason.
    Closed(String),
    /// Its validity has ended.
    Expired,
    /// The policies allow it for no approvals at all, for this reason.
    Forbidden(String),
}

impl Status {
    /// The name of the status in one word, as `remit requests` prints it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Approved => "approved",
            Self::Used => "used",
            Self::Closed(_) => "closed",
            Self::Expired => "expired",
            Self::Forbidden(_) => "forbidden",
        }
    }
}

impl RequestState {
    /// Reads a request and everything about it.
    pub fn load(reader: &Reader, rules: &Rules, id: RequestId) -> Result<Self, Error> {
        let acts = reader.acts(About::Request(id))?;
        let broken = |why: String| Error::Unusable { id: id.to_string(), why };
        let Some((seq, Act { event: LedgerEvent::Requested(statement), at, .. })) = acts.first() else {
            return Err(broken("its first record is missing".to_owned()));
        };
        let signed = rules
            .open::<Request>(reader, &statement.document)
            .map_err(|error| broken(format!("the requester's signature does not hold: {error}")))?;
        let (request, digest) = (Arc::clone(&signed.document), signed.digest);
        // The principal's own key of those that signed, if it was the principal's then.
        let own = |keys: &[KeyId], name: &str, seq: u64, at: Timestamp| -> Result<_, Error> {
            for key in keys {
                let holder = rules.holder(reader, key)?;
                if let Some(holder) =
                    holder.filter(|holder| holder.principal == name && holder.signed(seq, at))
                {
                    return Ok(Some((key.clone(), holder)));
                }
            }
            Ok(None)
        };
        let Some((key, holder)) = own(&signed.keys, &request.requester, *seq, *at)? else {
            return Err(broken("it is not signed by the requester that it names".to_owned()));
        };
        if request.id != id || request.log != rules.log {
            return Err(broken("it was made for another identifier, or for another journal".to_owned()));
        }
        let mut approvals: Vec<Given> = Vec::new();
        let mut closed = None;
        for (seq, act) in &acts {
            match &act.event {
                LedgerEvent::Approved(statement) => {
                    // A document that does not verify was not signed by a known key. It is ignored.
                    let Ok(signed) = rules.open::<Approval>(reader, &statement.document) else { continue };
                    let approval = Arc::clone(&signed.document);
                    let Some((key, holder)) = own(&signed.keys, &approval.principal, *seq, act.at)? else {
                        continue;
                    };
                    let given = Given {
                        key,
                        holder,
                        seq: *seq,
                        envelope: statement.document.clone(),
                        counts: Err("was not checked".to_owned()),
                        approval,
                    };
                    approvals.push(given);
                }
                LedgerEvent::RequestDenied(statement) => {
                    closed = Some(format!("{} denied it: {}", statement.principal, statement.reason));
                }
                LedgerEvent::Voided { why } => closed = Some(format!("it was voided: {why}")),
                _ => {}
            }
        }
        let mut state = Self {
            policy_request: policy_request(reader, rules, &request, holder.proof)?,
            started: request
                .uses
                // This number means no limit, as in a grant: see `GrantRef::uses`.
                .filter(|uses| *uses < u32::MAX)
                .map(|_| reader.grant_uses(&digest))
                .transpose()?,
            key,
            proof: holder.proof,
            envelope: statement.document.clone(),
            seq: *seq,
            approvals,
            closed,
            request,
            digest,
        };
        if state.closed.is_none() {
            state.closed = reader.struck(&state.own_bases())?.map(|revoked| revoked.to_string());
        }
        state.count(reader, rules)?;
        Ok(state)
    }

    /// Decides for each approval whether it counts.
    fn count(&mut self, reader: &Reader, rules: &Rules) -> Result<(), Error> {
        let now = Timestamp::now();
        let mut before: Vec<Subject> = Vec::new();
        for at in 0..self.approvals.len() {
            let given = &self.approvals[at];
            let counts = self.counts(given, rules, &before, reader, now)?;
            if let Ok(who) = &counts {
                before.push(who.clone());
            }
            self.approvals[at].counts = counts;
        }
        Ok(())
    }

    /// Whether an approval counts beside those `before` it: the approver, or why it does not count.
    fn counts(
        &self,
        given: &Given,
        rules: &Rules,
        before: &[Subject],
        reader: &Reader,
        now: Timestamp,
    ) -> Result<Result<Subject, String>, Error> {
        let Given { approval, key, seq, holder, .. } = given;
        let Some(principal) = rules.principals.get(&approval.principal) else {
            return Ok(Err("is no principal any more".to_owned()));
        };
        let why_not = if !approval.approve {
            Some("denies the request".to_owned())
        } else if approval.request != self.digest || approval.log != rules.log {
            Some("is about another request".to_owned())
        } else if approval.principal == self.request.requester || *key == self.key {
            Some("is by the requester".to_owned())
        } else if let Some(role) = self.operates(rules, &approval.principal) {
            Some(format!("is by {role}"))
        } else if holder.certified.is_none() && !rules.principals.in_force(key, now) {
            Some("is by a key that is not in force now".to_owned())
        } else if before.iter().any(|who| who.name == approval.principal) {
            Some("repeats an earlier one".to_owned())
        } else {
            let bases = [Basis::Principal(approval.principal.clone()), Basis::Key(key.to_string())];
            let rests_on: Vec<_> = bases.into_iter().map(|basis| RestsOn { basis, since: *seq }).collect();
            reader.struck(&rests_on)?.map(|revoked| revoked.to_string())
        };
        if let Some(why) = why_not {
            return Ok(Err(why));
        }
        let who = holder.subject(&rules.principals, principal);
        let verdict = rules.policies.may(
            &who,
            remit_policy::PolicyAction::Approve,
            Some(&self.policy_request),
            now,
            before,
        );
        Ok(if verdict.allowed { Ok(who) } else { Err(format!("is not allowed: {}", verdict.words())) })
    }

    /// Why an approval by this principal would be one by whoever asks, in another role: software and the person who operates
    /// it count as one. None if it would not.
    pub(crate) fn operates(&self, rules: &Rules, approver: &str) -> Option<String> {
        let requester = self.request.requester.as_str();
        let asked = std::iter::once((requester, "asked for it"));
        let starters = self.request.triggers.iter().filter(|name| **name != requester);
        for (name, does) in asked.chain(starters.map(|name| (name.as_str(), "may start it"))) {
            let (operator, own) = (rules.operator(name), rules.operator(approver));
            if operator == Some(approver) {
                return Some(format!("the operator of {name}, which {does}"));
            }
            if own.is_some() && own == operator && name != approver {
                return Some(format!("software of {}, who also operates {name}, which {does}", own?));
            }
            if own == Some(requester) {
                return Some(format!("software of {requester}, who asked for it"));
            }
        }
        None
    }

    /// The principals whose approvals count, as policies see them.
    #[must_use]
    pub fn approvers(&self) -> Vec<Subject> {
        self.approvals.iter().filter_map(|given| given.counts.clone().ok()).collect()
    }

    /// What the request itself depends on, without its approvals and the trigger.
    pub(crate) fn own_bases(&self) -> Vec<RestsOn> {
        let mut bases = vec![
            Basis::All,
            Basis::Request(self.request.id),
            Basis::Principal(self.request.requester.clone()),
            Basis::Key(self.key.to_string()),
        ];
        if let RequestedAuthority::Run { action, .. } = &self.request.asks {
            bases.push(Basis::Action(action.digest.to_string()));
        }
        for connector in &self.request.connectors {
            bases.push(Basis::Connector(connector.component.digest.to_string()));
            bases.push(Basis::Key(connector.publisher.clone()));
        }
        bases.into_iter().map(|basis| RestsOn { basis, since: self.seq }).collect()
    }

    /// The signed documents, and each signature that an SSH key made, as files for `ssh-keygen -Y verify -n remit`: the
    /// name and the content of each.
    pub fn for_ssh_keygen(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut files = Vec::new();
        let approvals =
            self.approvals.iter().map(|given| (given.approval.principal.as_str(), &given.envelope));
        let all = std::iter::once((self.request.requester.as_str(), &self.envelope)).chain(approvals);
        for (at, (name, envelope)) in all.enumerate() {
            let what = if at == 0 { "request" } else { "approval" };
            let envelope: remit_trust::dsse::Envelope = serde_json::from_str(envelope.get())?;
            let (signed, signatures) = envelope.for_ssh_keygen()?;
            for (ending, contents) in std::iter::once(("signed", signed))
                .chain(signatures.into_iter().map(|text| ("sig", text.into_bytes())))
            {
                // A principal that decided twice has two files of each kind.
                let first = format!("{what}-{name}.{ending}");
                let next = (2_usize..).map(|n| format!("{what}-{name}.{n}.{ending}"));
                let free = std::iter::once(first)
                    .chain(next)
                    .find(|name| files.iter().all(|(taken, _): &(String, Vec<u8>)| taken != name));
                files.extend(free.map(|name| (name, contents)));
            }
        }
        Ok(files)
    }

    /// The status of the request at this moment.
    #[must_use]
    pub fn status(&self, rules: &Rules) -> Status {
        if let Some(why) = &self.closed {
            return Status::Closed(why.clone());
        }
        if self.is_used_up() {
            return Status::Used;
        }
        if Timestamp::now() >= self.request.not_after {
            return Status::Expired;
        }
        if self.request.rules != rules.digest {
            return Status::Closed("the rules were changed since it was made".to_owned());
        }
        match self.needs(rules) {
            Ok(lacks) if lacks.needs.iter().all(|(_, missing)| *missing == 0) => Status::Approved,
            Ok(lacks) => Status::Waiting(lacks),
            Err(why) => Status::Forbidden(why),
        }
    }

    /// Whether all the runs that it allows have started.
    pub(crate) fn is_used_up(&self) -> bool {
        self.request.uses.is_some_and(|uses| self.started.is_some_and(|started| started >= uses))
    }

    /// Which approvals it needs, and how many of each are missing.
    pub fn needs(&self, rules: &Rules) -> Result<MissingApprovals, String> {
        let approvers = self.approvers();
        let needs = if self.request.break_glass {
            let need = break_glass(&rules.principals);
            vec![need.ok_or("principals.toml has no [break-glass]")?]
        } else {
            rules
                .policies
                .requirements(&self.policy_request, Timestamp::now())
                .map_err(|error| error.to_string())?
        };
        Ok(MissingApprovals {
            needs: needs
                .into_iter()
                .map(|need| {
                    let missing = need.missing(&approvers);
                    (need, missing)
                })
                .collect(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
