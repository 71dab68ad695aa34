//! What people say of a request, and what anyone entitled orders.

use std::path::Path;

use jiff::Timestamp;
use remit_file::{Kind, Wrote};
use remit_journal::{
    About, Act, Basis, Event, LedgerEvent, Reader, RequestId, RestsOn, Revocation, RunId, SignedStatement,
};
use remit_policy::{PolicyAction, PolicyRequest, Subject};
use remit_trust::dsse::{Envelope, pae};
use remit_trust::principals::Principal;
use remit_trust::{Digest, KeyId};

use super::documents::{Approval, Document as _, Order, What, sign};
use super::rules::who;
use super::{Case, Identity, Rules, Status, matter};
use crate::{Error, Host};

/// What a principal says of a request.
#[derive(Clone, Debug)]
pub struct Opinion {
    /// Yes or no.
    pub approve: bool,
    /// Why.
    pub reason: String,
    /// The digest of the request that was looked at; refused if it is another.
    pub expect: Option<Digest>,
}

impl Opinion {
    fn verb(&self) -> &'static str {
        if self.approve { "approve" } else { "deny" }
    }
}

/// Whether neither a name nor its key was revoked.
pub(super) fn stands(reader: &Reader, name: &str, key: &KeyId) -> Result<(), Error> {
    let since = reader.size()?;
    // A name can come back under a new key; a key never.
    let bases = [Basis::Key(key.to_string()), Basis::Principal(name.to_owned())];
    let rests_on: Vec<_> = bases.into_iter().map(|basis| RestsOn { basis, since }).collect();
    match reader.struck(&rests_on)? {
        None => Ok(()),
        Some(withdrawn) => Err(Error::Identity {
            why: withdrawn.to_string(),
            help: "an administrator gives the principal a new key, if it may go on",
        }),
    }
}

/// Whether the policies let a principal order that.
pub(super) fn may_order(
    rules: &Rules,
    who: &Subject,
    verb: PolicyAction,
    matter: Option<&PolicyRequest>,
) -> Result<(), Error> {
    let verdict = rules.policies.may(who, verb, matter, Timestamp::now(), &[]);
    if verdict.allowed {
        return Ok(());
    }
    let what = match verb {
        PolicyAction::Revoke => "revoke this",
        PolicyAction::Freeze => "freeze or unfreeze",
        PolicyAction::Revert => "revert this",
        PolicyAction::Resolve => "resolve this",
        PolicyAction::Review => "review this",
        PolicyAction::Rehearse | PolicyAction::Propose | PolicyAction::Approve | PolicyAction::Trigger => {
            "do this"
        }
    };
    Err(Error::Forbidden { who: who.name.clone(), what, why: verdict.words() })
}

impl Identity {
    /// Whether it still is one.
    pub(crate) fn stands(&self, reader: &Reader) -> Result<(), Error> {
        stands(reader, self.name(), &self.key)
    }

    fn statement(&self, reason: &str, document: Box<serde_json::value::RawValue>) -> SignedStatement {
        SignedStatement {
            principal: self.name().to_owned(),
            key: self.key.to_string(),
            reason: reason.to_owned(),
            document,
        }
    }

    /// Whether the policies allow it.
    pub(crate) fn may(
        &self,
        rules: &Rules,
        reader: &Reader,
        verb: PolicyAction,
        matter: Option<&PolicyRequest>,
    ) -> Result<(), Error> {
        self.stands(reader)?;
        may_order(rules, &self.who(), verb, matter)
    }

    /// Signs an order that the policies allow.
    pub(crate) fn order(
        &self,
        rules: &Rules,
        reader: &Reader,
        (verb, what): (PolicyAction, What),
        matter: Option<&PolicyRequest>,
        reason: &str,
    ) -> Result<SignedStatement, Error> {
        if reason.trim().is_empty() {
            return Err(Error::RequestOption { why: "it has no reason".to_owned() });
        }
        self.may(rules, reader, verb, matter)?;
        let order = Order {
            log: rules.log.clone(),
            principal: self.name().to_owned(),
            at: Timestamp::now(),
            reason: reason.to_owned(),
            order: what,
        };
        Ok(self.statement(reason, sign(&order, self)?.0))
    }
}

/// Approves or denies a request.
pub async fn decide(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    id: RequestId,
    opinion: Opinion,
) -> Result<Case, Error> {
    let reader = host.journal.reader()?;
    let case = Case::load(&reader, rules, id)?;
    let approval = approval(&reader, rules, by, &case, &opinion)?;
    let (document, _) = sign(&approval, by)?;
    let statement = by.statement(&opinion.reason, document);
    let event = if opinion.approve {
        LedgerEvent::Approved(statement)
    } else {
        LedgerEvent::RequestDenied(statement)
    };
    host.journal.act(&Act::now(About::Request(id), event)).await?;
    Case::load(&*host.journal.reader()?, rules, id)
}

/// Writes what `ssh-keygen -Y sign -n remit` is to sign, where the key can be reached in no other way.
pub fn prepare_approval(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    id: RequestId,
    opinion: &Opinion,
    to: &Path,
) -> Result<Wrote, Error> {
    let reader = host.journal.reader()?;
    let case = Case::load(&reader, rules, id)?;
    let approval = approval(&reader, rules, by, &case, opinion)?;
    let text = pae(Approval::TYPE, &remit_trust::canonical(&approval)?);
    Ok(remit_file::write(to, text.as_ref())?)
}

/// Takes what [`prepare_approval`] wrote, and the signature over it that lies beside it (`.sig`).
pub async fn import_approval(host: &Host, rules: &Rules, id: RequestId, from: &Path) -> Result<Case, Error> {
    let reader = host.journal.reader()?;
    let case = Case::load(&reader, rules, id)?;
    let malformed = || Error::Document {
        file: from.display().to_string(),
        wanted: "what `remit approve --prepare` wrote",
        why: "it does not begin like it".to_owned(),
        help: "pass that file, unchanged, with the signature beside it in FILE.sig".to_owned(),
    };
    let signed = remit_file::given(from, Kind::Approval)?.into_bytes();
    // Whatever the file says: what is checked is the signature over exactly these bytes.
    let start = signed.iter().position(|byte| *byte == b'{').ok_or_else(malformed)?;
    let payload = &signed[start..];
    if pae(Approval::TYPE, payload) != signed {
        return Err(malformed());
    }
    let text = std::str::from_utf8(payload).map_err(|_| malformed())?;
    let claimed: Approval = remit_text::json::read(text).map_err(|_| malformed())?;
    let principal = rules.principals.get(&claimed.principal).ok_or_else(|| Error::Identity {
        why: format!("there is no principal `{}`", claimed.principal.escape_debug()),
        help: "`remit principals` lists them",
    })?;
    let mut beside = from.as_os_str().to_owned();
    beside.push(".sig");
    let signature = remit_file::plain(Path::new(&beside), Kind::Signature)?.into_bytes();
    let mut last = None;
    for held in &principal.keys {
        let envelope = Envelope::signed_elsewhere(Approval::TYPE, payload, &held.key.id(), &signature)?;
        if let Err(error) = envelope.verify(Approval::TYPE, std::slice::from_ref(&held.key)) {
            last = Some(error);
            continue;
        }
        let opinion = Opinion {
            approve: claimed.approve,
            reason: claimed.reason.clone(),
            expect: Some(claimed.request),
        };
        let by = Voice { principal, key: held.key.id() };
        with_others(&reader, rules, &case, check(&reader, rules, &by, &case, &opinion))?;
        if !rules.principals.in_force(&held.key.id(), Timestamp::now()) || claimed.log != rules.log {
            return Err(Error::NoSay {
                who: claimed.principal.clone(),
                what: opinion.verb(),
                id: id.to_string(),
                why: "the key does not count now, or it is about another journal".to_owned(),
            });
        }
        let statement = SignedStatement {
            principal: claimed.principal.clone(),
            key: held.key.id().to_string(),
            reason: claimed.reason.clone(),
            document: serde_json::value::to_raw_value(&envelope)?,
        };
        let event = if claimed.approve {
            LedgerEvent::Approved(statement)
        } else {
            LedgerEvent::RequestDenied(statement)
        };
        host.journal.act(&Act::now(About::Request(id), event)).await?;
        return Case::load(&*host.journal.reader()?, rules, id);
    }
    Err(last.unwrap_or(remit_trust::SignatureError::Untrusted).into())
}

/// Someone who speaks, with or without the private key at hand.
pub(super) struct Voice<'a> {
    pub(super) principal: &'a Principal,
    pub(super) key: KeyId,
}

/// What would be signed, after every check that can be made before.
fn approval(
    reader: &Reader,
    rules: &Rules,
    by: &Identity,
    case: &Case,
    opinion: &Opinion,
) -> Result<Approval, Error> {
    let voice = Voice { principal: &by.principal, key: by.key.clone() };
    with_others(reader, rules, case, check(reader, rules, &voice, case, opinion))?;
    Ok(Approval {
        request: case.digest,
        id: case.request.id,
        log: rules.log.clone(),
        principal: by.name().to_owned(),
        approve: opinion.approve,
        at: Timestamp::now(),
        reason: opinion.reason.clone(),
    })
}

/// To one who may not approve, who may: so that they know whom to wake.
fn with_others(reader: &Reader, rules: &Rules, case: &Case, checked: Result<(), Error>) -> Result<(), Error> {
    let Err(mut error) = checked else { return Ok(()) };
    if let Error::NoSay { what: "approve", why, .. } | Error::Forbidden { what: "approve this", why, .. } =
        &mut error
        && matches!(case.status(rules), Status::Waiting(_))
    {
        let names = who_may_approve(reader, rules, case)?;
        let others = match names.as_slice() {
            [] => "nobody may, by the policies and keys that are in force".to_owned(),
            names => format!("{} may", names.join(", ")),
        };
        *why = format!("{why}; {others}");
    }
    Err(error)
}

/// Whose approval would count now, by the same checks that are made when they give it.
pub fn who_may_approve(reader: &Reader, rules: &Rules, case: &Case) -> Result<Vec<String>, Error> {
    let opinion = Opinion { approve: true, reason: String::new(), expect: None };
    let mut names = Vec::new();
    for principal in rules.principals.iter() {
        let now = Timestamp::now();
        let keys = principal.keys.iter().map(|held| held.key.id());
        let mut voices =
            keys.filter(|key| rules.principals.in_force(key, now)).map(|key| Voice { principal, key });
        if voices.any(|voice| check(reader, rules, &voice, case, &opinion).is_ok()) {
            names.push(principal.name.clone());
        }
    }
    Ok(names)
}

/// Every check that can be made before something is said.
pub(super) fn check(
    reader: &Reader,
    rules: &Rules,
    by: &Voice<'_>,
    case: &Case,
    opinion: &Opinion,
) -> Result<(), Error> {
    let name = by.principal.name.as_str();
    let refuse = |why: String| {
        let (who, id) = (name.to_owned(), case.request.id.to_string());
        Err(Error::NoSay { who, what: opinion.verb(), id, why })
    };
    stands(reader, name, &by.key)?;
    if opinion.expect.is_some_and(|expected| expected != case.digest) {
        return refuse(format!(
            "it is not the request you looked at: its digest is {}. Look again (`remit request show`)",
            case.digest
        ));
    }
    match case.status(rules) {
        Status::Waiting(_) | Status::Approved => {}
        Status::Forbidden(why) | Status::Closed(why) => return refuse(why),
        Status::Used => return refuse("it is used up".to_owned()),
        Status::Expired => return refuse(format!("its time was over at {}", case.request.not_after)),
    }
    if name == case.request.requester || by.key == case.key {
        return refuse(if opinion.approve {
            format!("{name} asked for it: nobody approves their own request")
        } else {
            format!("{name} asked for it: who asked takes it back with `remit revoke request`")
        });
    }
    if opinion.reason.trim().is_empty() && !opinion.approve {
        return refuse("say why (`--reason`)".to_owned());
    }
    let before = case.approvals.iter().find(|given| given.approval.principal == name);
    if opinion.approve && before.is_some_and(|given| given.counts.is_ok()) {
        return refuse(format!("{name} has approved it already; another must"));
    }
    let matter = matter(reader, rules, &case.request)?;
    let now = Timestamp::now();
    let verdict =
        rules.policies.may(&who(by.principal), PolicyAction::Approve, Some(&matter), now, &case.approvers());
    if verdict.allowed {
        return Ok(());
    }
    Err(Error::Forbidden {
        who: name.to_owned(),
        what: if opinion.approve { "approve this" } else { "deny this" },
        why: verdict.words(),
    })
}

/// What can be revoked.
#[derive(Clone, Debug)]
pub enum Target {
    /// A request, and with it whatever was granted by its approval.
    Request(RequestId),
    /// A principal: all it asked for or approved so far, and every key it has.
    Principal(String),
    /// A key.
    Key(String),
    /// An action, by its digest.
    Action(Digest),
    /// All there is so far.
    All,
}

/// Takes authority away. Runs that go on under it stop at their next call.
pub async fn revoke(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    target: Target,
    reason: &str,
) -> Result<Vec<RunId>, Error> {
    let reader = host.journal.reader()?;
    let for_good = |basis| Revocation { basis, earlier_only: false };
    let (about, revocations, matter) = match target {
        Target::Request(id) => {
            // One that cannot be read any more, because its requester is gone, can still be taken away.
            let matter = match Case::load(&reader, rules, id) {
                Ok(case) => Some(case.matter),
                Err(_) => None,
            };
            (About::Request(id), vec![for_good(Basis::Request(id))], matter)
        }
        Target::Principal(name) => {
            let Some(principal) = rules.principals.get(&name) else {
                let why = format!("there is no principal `{}`", name.escape_debug());
                return Err(Error::RequestOption { why });
            };
            let mut revocations = vec![Revocation { basis: Basis::Principal(name), earlier_only: true }];
            let keys = principal.keys.iter().map(|held| held.key.id().to_string());
            revocations.extend(keys.map(|id| for_good(Basis::Key(id))));
            (About::Host, revocations, None)
        }
        Target::Key(id) => (About::Host, vec![for_good(Basis::Key(id))], None),
        Target::Action(digest) => (About::Host, vec![for_good(Basis::Action(digest.to_string()))], None),
        Target::All => (About::Host, vec![Revocation { basis: Basis::All, earlier_only: true }], None),
    };
    let what = What::Revoke(revocations.clone());
    let statement = by.order(rules, &reader, (PolicyAction::Revoke, what), matter.as_ref(), reason)?;
    host.journal.act(&Act::now(about, LedgerEvent::Revoked { statement, revocations })).await?;
    Ok(host.journal.reader()?.stopped()?)
}

/// Stops everything, or lets it go on.
pub async fn freeze(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    frozen: bool,
    reason: &str,
) -> Result<Vec<RunId>, Error> {
    let reader = host.journal.reader()?;
    let what = if frozen { What::Freeze } else { What::Unfreeze };
    let statement = by.order(rules, &reader, (PolicyAction::Freeze, what), None, reason)?;
    let event = if frozen { LedgerEvent::Frozen(statement) } else { LedgerEvent::Unfrozen(statement) };
    host.journal.act(&Act::now(About::Host, event)).await?;
    Ok(host.journal.reader()?.stopped()?)
}

/// Closes the book on a run that went without the usual policy: until then its requester cannot do it again.
pub async fn review(host: &Host, rules: &Rules, by: &Identity, run: RunId, words: &str) -> Result<(), Error> {
    let reader = host.journal.reader()?;
    let records = crate::changes::genuine(&host.home, &reader, run)?;
    let refuse = |why: String| {
        Err(Error::NoSay { who: by.name().to_owned(), what: "review", id: run.to_string(), why })
    };
    let Some((_, remit_journal::Record { event: Event::Started(started), .. })) = records.first() else {
        return refuse("its first record is missing".to_owned());
    };
    let authority = started.grant.as_ref().and_then(|grant| grant.authority.as_ref());
    let Some(authority) = authority.filter(|authority| authority.break_glass) else {
        return refuse("it did not go without the usual policy".to_owned());
    };
    let case = Case::load(&reader, rules, authority.request)?;
    if by.name() == started.principal || by.name() == case.request.requester {
        return refuse(format!("{} asked for it: somebody else reviews it", by.name()));
    }
    let statement =
        by.order(rules, &reader, (PolicyAction::Review, What::Review(run)), Some(&case.matter), words)?;
    host.journal.act(&Act::now(About::Host, LedgerEvent::Reviewed { statement, run })).await?;
    Ok(())
}
