//! A home for unit tests, with keys of everybody in it: what anybody could sign can be signed, and put on record unchecked.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use remit_gate::{Effect, Phase, Plan, Resource, Scope, Step};
use remit_journal::{
    About, Act, ActionRef, Authority, GrantRef, Intent, LedgerEvent, Mode, Reader, Record, RequestId, RunId,
    SignedStatement, Started,
};
use remit_trust::dsse::Envelope;
use remit_trust::principals::PrincipalKind;
use remit_trust::{Digest, Sealed, Sign as _, Signer, SigningKey, canonical};
use serde_json::json;
use serde_json::value::to_raw_value;
use tempfile::TempDir;

use crate::authority::{ActionSelector, Document};
use crate::{
    Approval, Error, Home, Host, InitOptions, InitPrincipal, Request, RequestState, RequestedAuthority,
    Rules, StandingScope,
};

/// One human approves anything, and anybody may do the rest.
pub(crate) const POLICY: &str = r#"
@id("one-human")
@needs("1 human")
permit (principal, action == Remit::Action::"require", resource);
@id("anything")
permit (
    principal,
    action in [
        Remit::Action::"rehearse", Remit::Action::"propose", Remit::Action::"trigger", Remit::Action::"revoke",
        Remit::Action::"revert", Remit::Action::"freeze", Remit::Action::"review", Remit::Action::"resolve"
    ],
    resource
);
@id("humans-approve")
permit (principal, action == Remit::Action::"approve", resource) when { principal.kind == "human" };
"#;

/// A home with the administrator `admin`, the humans `alice`, `bob` and `carol`, who is on call, and the agent `bot`.
pub(crate) struct Place {
    pub(crate) host: Host,
    signers: HashMap<String, Signer>,
    /// How many minutes ago the journal is written. A journal does not take a start that is older than its newest record.
    pub(crate) minutes_ago: Cell<i64>,
    _dir: TempDir,
}

/// Waits for what has to wait for the disk only.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

impl Place {
    pub(crate) fn new(policy: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let mut signers = HashMap::new();
        for name in ["publisher", "admin", "alice", "bob", "carol", "bot", "spare"] {
            let key = SigningKey::generate().unwrap();
            key.write_pair(&dir.path().join(name)).unwrap();
            signers.insert(name.to_owned(), Signer::from(key));
        }
        let public = |name: &str| dir.path().join(format!("{name}.pub"));
        let principal = |name: &str, kind, groups: &[&str]| InitPrincipal {
            name: name.to_owned(),
            kind,
            groups: groups.iter().map(ToString::to_string).collect(),
            key: public(name),
        };
        let home = Home::at(&dir.path().join("home"));
        home.init(&InitOptions {
            log: "test.example/journal".to_owned(),
            publishers: vec![public("publisher")],
            admin: Some(public("admin")),
            principals: vec![
                principal("alice", PrincipalKind::Human, &[]),
                principal("bob", PrincipalKind::Human, &[]),
                principal("carol", PrincipalKind::Human, &["on-call"]),
                principal("bot", PrincipalKind::Agent, &[]),
            ],
        })
        .unwrap();
        fs::write(home.policies().join("default.cedar"), policy).unwrap();
        home.sign_rules(&signers["admin"], |_| true).unwrap();
        Self { host: home.open().unwrap(), signers, minutes_ago: Cell::new(0), _dir: dir }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.host.home
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.host.rules().unwrap()
    }

    pub(crate) fn reader(&self) -> Arc<Reader> {
        self.host.journal.reader().unwrap()
    }

    pub(crate) fn signer(&self, name: &str) -> &Signer {
        &self.signers[name]
    }

    pub(crate) fn key(&self, name: &str) -> remit_trust::KeyId {
        self.signer(name).verifying_key().id()
    }

    /// Changes `principals.toml`; it is signed again.
    pub(crate) fn principals(&self, change: impl FnOnce(String) -> String) {
        let file = self.home().principals();
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
        self.home().sign_rules(self.signer("admin"), |_| true).unwrap();
    }

    /// Gives `bot` the key `spare` as a second one, with these lines.
    pub(crate) fn spare_key(&self, lines: &str) {
        let public = self.signer("spare").verifying_key().to_text();
        let entry = format!("\n[[principal.key]]\npublic = '''{public}'''\n{lines}\n");
        // The bot is the last principal.
        self.principals(|text| text + &entry);
    }

    /// The key of this principal is not in force from now on.
    pub(crate) fn end_key(&self, name: &str) {
        let until = Timestamp::now() - SignedDuration::from_secs(1);
        self.principals(|text| {
            let (before, after) = text.split_at(text.find(&format!("keys/principals/{name}")).unwrap());
            let (line, rest) = after.split_once('\n').unwrap();
            format!("{before}{line}\nuntil = {until}\n{rest}")
        });
    }

    pub(crate) fn sign<D: Document>(&self, name: &str, document: &D) -> Envelope {
        Envelope::sign(D::TYPE, &canonical(document).unwrap(), self.signer(name)).unwrap()
    }

    /// What the journal keeps of a document that `by` signed with the key `key`.
    pub(crate) fn statement<D: Document>(&self, key: &str, document: &D) -> SignedStatement {
        SignedStatement {
            principal: document.principal().to_owned(),
            key: self.key(key).to_string(),
            reason: "as it was put on record".to_owned(),
            document: to_raw_value(&self.sign(key, document)).unwrap(),
        }
    }

    pub(crate) fn put(&self, about: About, event: LedgerEvent) {
        self.put_at(about, event, self.now());
    }

    fn now(&self) -> Timestamp {
        Timestamp::now() - SignedDuration::from_mins(self.minutes_ago.get())
    }

    pub(crate) fn put_at(&self, about: About, event: LedgerEvent, at: Timestamp) {
        wait(self.host.journal.act(&Act { about, at, event })).unwrap();
    }

    /// A request of `bot` to rotate `secret:prod/db`, made now and valid for an hour.
    pub(crate) fn request(&self) -> Request {
        let rotate = Step {
            phase: Phase::Run,
            operation: "remit:secrets/rotate.rotate".to_owned(),
            effect: Effect::Change,
            content: false,
            resource: Resource::try_from("secret:prod/db".to_owned()).unwrap(),
            arguments: json!({}),
            before: None,
            undo: None,
            irrevocable_because: None,
            caution: None,
        };
        let plan = Plan { steps: vec![rotate] };
        let now = Timestamp::now();
        Request {
            connectors: Vec::new(),
            id: RequestId::new(),
            log: self.rules().log.clone(),
            requester: "bot".to_owned(),
            scope: plan.least_scope(),
            asks: RequestedAuthority::Run {
                action: action(),
                input: json!({"path": "prod/db"}),
                plan: Some(plan),
            },
            reason: "leaked".to_owned(),
            incident: None,
            triggers: vec!["bot".to_owned()],
            not_before: now,
            not_after: now + SignedDuration::from_hours(1),
            uses: Some(1),
            rules: self.rules().digest,
            break_glass: false,
        }
    }

    /// A request of `bot` for a standing scope: two runs and three changes an hour.
    pub(crate) fn standing(&self) -> Request {
        let standing = StandingScope {
            action: ActionSelector::Digest(action()),
            hours: Vec::new(),
            runs_per_hour: 2,
            changes_per_hour: 3,
        };
        Request { asks: RequestedAuthority::Standing(standing), uses: None, ..self.request() }
    }

    /// Puts a request on record as it is, signed with this key.
    pub(crate) fn file(&self, key: &str, request: &Request) -> RequestId {
        self.put(About::Request(request.id), LedgerEvent::Requested(self.statement(key, request)));
        request.id
    }

    /// Puts an approval by `name` on record, as it is after `change`.
    pub(crate) fn approve(&self, request: RequestId, name: &str, change: impl FnOnce(&mut Approval)) {
        let mut approval = self.approval(request, name);
        change(&mut approval);
        self.put(About::Request(request), LedgerEvent::Approved(self.statement(name, &approval)));
    }

    pub(crate) fn approval(&self, request: RequestId, name: &str) -> Approval {
        Approval {
            request: self.load(request).digest,
            id: request,
            log: self.rules().log.clone(),
            principal: name.to_owned(),
            approve: true,
            at: Timestamp::now(),
            reason: "looked at it".to_owned(),
        }
    }

    pub(crate) fn try_load(&self, request: RequestId) -> Result<RequestState, Error> {
        RequestState::load(&self.reader(), &self.rules(), request)
    }

    pub(crate) fn load(&self, request: RequestId) -> RequestState {
        self.try_load(request).unwrap()
    }

    /// Puts a live run under a request on record, with one change to each of these secrets, after `change`.
    pub(crate) fn run(
        &self,
        request: RequestId,
        secrets: &[&str],
        change: impl FnOnce(&mut Started, &mut Timestamp),
    ) -> RunId {
        let state = self.load(request);
        let mut scope: Scope = state.request.scope.clone();
        scope.limits.changes = secrets.len() as u64;
        let run = RunId::new();
        let mut at = self.now();
        let mut started = Started {
            mode: Mode::Live,
            action: action(),
            publisher: None,
            connectors: Vec::new(),
            input: to_raw_value(&json!({"path": "prod/db"})).unwrap(),
            input_digest: Digest::of(b"input"),
            scope_digest: scope.digest().unwrap(),
            scope: Some(to_raw_value(&scope).unwrap()),
            grant: Some(GrantRef {
                digest: state.digest,
                uses: u32::MAX,
                signed: None,
                authority: Some(Authority {
                    request,
                    approvals: Vec::new(),
                    trigger: to_raw_value(&json!({})).unwrap(),
                    break_glass: state.request.break_glass,
                    rests_on: Vec::new(),
                }),
            }),
            principal: state.request.requester.clone(),
            started_by: None,
            reason: "leaked".to_owned(),
            seed: [0; 32],
            host_version: String::new(),
        };
        change(&mut started, &mut at);
        let first = Record { run, at, event: started.into() };
        wait(self.host.journal.start(first, Sealed::from_bytes(vec![7; 60]))).unwrap();
        for (call, secret) in (1..).zip(secrets) {
            let intent = Intent {
                call,
                operation: "remit:secrets/rotate.rotate".to_owned(),
                effect: Effect::Change,
                resource: format!("secret:{secret}"),
                arguments: to_raw_value(&json!({})).unwrap(),
                before: Some(to_raw_value(&json!({"previous": 1})).unwrap()),
                sealed: None,
                irrevocable_because: None,
            };
            wait(self.host.journal.commit(Record { run, at, event: intent.into() })).unwrap();
        }
        run
    }
}

/// The action of every request here.
pub(crate) fn action() -> ActionRef {
    ActionRef { digest: Digest::of(b"component"), name: "rotate".to_owned(), version: "0.1.0".to_owned() }
}
