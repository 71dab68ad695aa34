//! A store of secrets in memory, four operations on it, and a bench to put a gate on.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use remit_gate::{
    Authority, Change, Changes, Countermeasure, Estate, Facts, Failure, Gate, Generated, MakeUp, Mode,
    Observe, Operation, Permit, Plan, Prepared, Reads, Resource, Scope, Setup, State, UndoGate, Window,
};
use remit_journal::{
    About, Act, ActionRef, Basis, CallResult, Event, GrantRef, Intent, Journal, LedgerEvent, Reader, Record,
    RequestId, RestsOn, Revocation, RunId, SignedStatement, Started,
};
use remit_tlog::NoteSigner;
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, Sealer, SecretBytes, SecretText, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::sync::Notify;

/// The real system. Every way to change it asks for an [`Authority`].
#[derive(Default)]
pub(crate) struct Vault {
    pub(crate) values: Mutex<BTreeMap<String, (u32, String)>>,
    /// How often anything looked at or changed it.
    pub(crate) touched: AtomicU64,
    pub(crate) changed: AtomicU64,
    /// Looks around at the moment of a change.
    pub(crate) witness: Mutex<Option<Box<dyn Fn() + Send>>>,
    /// When set: a change says that it is under way, and waits.
    pub(crate) slow: Mutex<Option<(Arc<Notify>, Arc<Notify>)>>,
    /// When set: a change fails like this, after it happened.
    pub(crate) failure: Mutex<Option<Failure>>,
    pub(crate) panics: Mutex<bool>,
}

impl Vault {
    pub(crate) fn get(&self, path: &str) -> Result<(u32, String), Failure> {
        self.touched.fetch_add(1, Ordering::SeqCst);
        let values = self.values.lock().unwrap();
        values.get(path).cloned().ok_or_else(|| Failure::NotFound(path.to_owned()))
    }

    /// Replaces a value, or removes it.
    async fn put(
        &self,
        authority: Authority<'_>,
        path: &str,
        value: Option<(u32, String)>,
    ) -> Result<(), Failure> {
        assert!(authority.operation().starts_with("test:vault/"));
        let slow = self.slow.lock().unwrap().clone();
        if let Some((entered, go_on)) = slow {
            entered.notify_one();
            go_on.notified().await;
        }
        if let Some(witness) = &*self.witness.lock().unwrap() {
            witness();
        }
        assert!(!*self.panics.lock().unwrap(), "the backend has a defect");
        self.changed.fetch_add(1, Ordering::SeqCst);
        let mut values = self.values.lock().unwrap();
        match value {
            Some(value) => values.insert(path.to_owned(), value),
            None => values.remove(path),
        };
        match self.failure.lock().unwrap().clone() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

fn secret(path: &str) -> Resource {
    Resource::new("secret", path).unwrap()
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Describe(pub(crate) String);

impl Operation for Describe {
    const NAME: &'static str = "test:vault/read.describe";
    type Kind = Reads;
    type Backend = Arc<Vault>;
    type Outcome = u32;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(secret(&self.0))
    }
}

impl Observe for Describe {
    async fn observe(&self, on: &Arc<Vault>) -> Result<u32, Failure> {
        Ok(on.get(&self.0)?.0)
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Reveal(pub(crate) String);

impl Operation for Reveal {
    const NAME: &'static str = "test:vault/reveal.value";
    type Kind = Reads;
    type Backend = Arc<Vault>;
    type Outcome = String;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(secret(&self.0))
    }
}

impl Observe for Reveal {
    const DISCLOSES: Option<MakeUp<String>> = Some(|real, noise| noise.like("", &real));

    async fn observe(&self, on: &Arc<Vault>) -> Result<String, Failure> {
        Ok(on.get(&self.0)?.1)
    }
}

/// Hands out content: not secret, but nothing that a journal shows.
#[derive(Serialize, Deserialize)]
pub(crate) struct Content(pub(crate) String);

impl Operation for Content {
    const NAME: &'static str = "test:vault/read.content";
    type Kind = Reads;
    type Backend = Arc<Vault>;
    type Outcome = String;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(secret(&self.0))
    }
}

impl Observe for Content {
    const SEALED: bool = true;

    async fn observe(&self, on: &Arc<Vault>) -> Result<String, Failure> {
        Ok(on.get(&self.0)?.1)
    }
}

/// What an action may know of its own run: ambient.
#[derive(Serialize, Deserialize)]
pub(crate) struct Reason;

impl Operation for Reason {
    const NAME: &'static str = "remit:host/run.reason";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Facts;
    type Outcome = String;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(Resource::new("run", "facts").unwrap())
    }
}

impl Observe for Reason {
    async fn observe(&self, on: &Facts) -> Result<String, Failure> {
        Ok(on.reason.clone())
    }
}

/// Has the host make a value up, of which the action gets the handle: ambient, as it reaches nothing.
#[derive(Serialize, Deserialize)]
pub(crate) struct Generate(pub(crate) String);

impl Operation for Generate {
    const NAME: &'static str = "test:vault/generate.value";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Generated;
    type Outcome = String;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(Resource::new("run", "generated").unwrap())
    }
}

impl Observe for Generate {
    async fn observe(&self, on: &Generated) -> Result<String, Failure> {
        Ok(on.keep(SecretText::new(self.0.clone())).to_string())
    }
}

/// Appends `suffix` to a value; the old value is sealed for the undo.
#[derive(Serialize, Deserialize)]
pub(crate) struct Rotate {
    pub(crate) path: String,
    pub(crate) suffix: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Old {
    pub(crate) version: u32,
}

impl Operation for Rotate {
    const NAME: &'static str = "test:vault/rotate.rotate";
    type Kind = Changes;
    type Backend = Arc<Vault>;
    type Outcome = u32;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(secret(&self.path))
    }
}

impl Change for Rotate {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;
    type Undo = Old;

    async fn prepare(&self, on: &Arc<Vault>) -> Result<Prepared<Old>, Failure> {
        let (version, value) = on.get(&self.path)?;
        let irrevocable = (value == "pinned").then(|| "the value is pinned".to_owned());
        Ok(Prepared {
            undo: Old { version },
            secret: Some(SecretBytes::new(value.into_bytes())),
            irrevocable,
        })
    }
    fn rehearse(&self, before: &Prepared<Old>, _: &Arc<Vault>) -> u32 {
        before.undo.version + 1
    }
    async fn perform(on: &Arc<Vault>, by: Permit<'_, Self>) -> Result<u32, Failure> {
        let (operation, before) = (by.operation(), by.before());
        assert_eq!(format!("{by:?}"), "Permit(test:vault/rotate.rotate)");
        let old = std::str::from_utf8(before.secret.as_ref().unwrap().expose()).unwrap();
        let next = before.undo.version + 1;
        let value = Some((next, format!("{old}{}", operation.suffix)));
        on.put(by.authority(), &operation.path, value).await?;
        Ok(next)
    }
    async fn state(&self, before: &Prepared<Old>, on: &Arc<Vault>) -> Result<State, Failure> {
        let (version, _) = on.get(&self.path)?;
        Ok(match version.checked_sub(before.undo.version) {
            Some(0) => State::Before,
            Some(1) => State::After,
            _ => State::Other(format!("version {version}")),
        })
    }
    async fn undo(on: &Arc<Vault>, by: Permit<'_, Self>) -> Result<(), Failure> {
        let before = by.before();
        let old = String::from_utf8(before.secret.as_ref().unwrap().expose().to_vec()).unwrap();
        on.put(by.authority(), &by.operation().path, Some((before.undo.version, old))).await
    }
    fn describe_undo(&self, before: &Old) -> String {
        format!("put version {} back", before.version)
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Destroy(pub(crate) String);

impl Operation for Destroy {
    const NAME: &'static str = "test:vault/destroy.destroy";
    type Kind = Changes;
    type Backend = Arc<Vault>;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(secret(&self.0))
    }
}

impl Change for Destroy {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Evict;
    const IRREVOCABLE: Option<&'static str> = Some("this operation has no undo");
    type Undo = Old;

    async fn prepare(&self, on: &Arc<Vault>) -> Result<Prepared<Old>, Failure> {
        Ok(Prepared { undo: Old { version: on.get(&self.0)?.0 }, secret: None, irrevocable: None })
    }
    fn rehearse(&self, _: &Prepared<Old>, _: &Arc<Vault>) {}
    async fn perform(on: &Arc<Vault>, by: Permit<'_, Self>) -> Result<(), Failure> {
        on.put(by.authority(), &by.operation().0, None).await
    }
    async fn state(&self, _: &Prepared<Old>, on: &Arc<Vault>) -> Result<State, Failure> {
        Ok(if on.get(&self.0).is_ok() { State::Before } else { State::After })
    }
    async fn undo(_: &Arc<Vault>, _: Permit<'_, Self>) -> Result<(), Failure> {
        Err(Failure::Invalid("gone is gone".to_owned()))
    }
    fn describe_undo(&self, _: &Old) -> String {
        String::new()
    }
    fn caution(&self, _: &Old) -> Option<Cow<'static, str>> {
        Some("there is no copy".into())
    }
}

pub(crate) fn rotate(path: &str) -> Rotate {
    Rotate { path: path.to_owned(), suffix: "+".to_owned() }
}

pub(crate) fn reveal(path: &str) -> Reveal {
    Reveal(path.to_owned())
}

/// Everything on `prod/**` but what needs acceptance.
pub(crate) const SCOPE: &str = r#"
[[allow]]
capability = "test:vault/read"
resources = ["secret:prod/**"]
[[allow]]
capability = "test:vault/rotate"
resources = ["secret:prod/**"]
[[allow]]
capability = "test:vault/destroy"
resources = ["secret:prod/**"]
[[allow]]
capability = "test:vault/reveal"
resources = ["secret:prod/**"]
[limits]
changes = 3
"#;

/// A run in a home of its own.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) journal: Journal,
    pub(crate) vault: Arc<Vault>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) run: RunId,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signer = NoteSigner::from_seed("remit.test/journal", &[9; 32]).unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), signer).unwrap();
        let sealer = Arc::new(Sealer::load_or_create(&folder.path().join("seal.key")).unwrap());
        let vault = Arc::new(Vault::default());
        for (path, value) in
            [("prod/a", "hunter2"), ("prod/b", "swordfish"), ("prod/pin", "pinned"), ("dev/a", "x")]
        {
            vault.values.lock().unwrap().insert(path.to_owned(), (3, value.to_owned()));
        }
        let run = RunId::new();
        let bench = Self { folder, journal, vault, sealer, run };
        let grant = GrantRef { digest: Digest::of(b"component"), uses: 1, signed: None, authority: None };
        bench.start(run, grant, Timestamp::now()).await;
        bench
    }

    async fn start(&self, run: RunId, grant: GrantRef, at: Timestamp) {
        let digest = Digest::of(b"component");
        let started = Started {
            mode: Mode::Live,
            action: ActionRef { digest, name: "test".to_owned(), version: "1.0.0".to_owned() },
            publisher: None,
            connectors: Vec::new(),
            input: RawValue::NULL.to_owned(),
            input_digest: Digest::of(b"null"),
            scope_digest: digest,
            scope: None,
            grant: Some(grant),
            principal: "ana".to_owned(),
            started_by: None,
            reason: "a test".to_owned(),
            seed: [0; 32],
            host_version: "0".to_owned(),
        };
        let key = remit_trust::Sealed::from_bytes(Vec::new());
        self.journal.start(Record { at, ..Record::now(run, started) }, key).await.unwrap();
    }

    /// Another run, which may go on as long as `basis` is not revoked.
    pub(crate) async fn start_resting_on(&self, basis: Basis, at: Timestamp) -> RunId {
        let run = RunId::new();
        let authority = remit_journal::Authority {
            request: RequestId::new(),
            approvals: Vec::new(),
            trigger: RawValue::NULL.to_owned(),
            break_glass: false,
            rests_on: vec![RestsOn { basis, since: 1 }],
        };
        let digest = Digest::of(run.to_string().as_bytes());
        let grant = GrantRef { digest, uses: 1, signed: None, authority: Some(authority) };
        self.start(run, grant, at).await;
        run
    }

    pub(crate) async fn revoke(&self, basis: Basis) {
        let envelope = Envelope::sign("test", b"{}", &SigningKey::generate().unwrap()).unwrap();
        let statement = SignedStatement {
            principal: "ana".to_owned(),
            key: "k".repeat(64),
            reason: "a test".to_owned(),
            document: serde_json::value::to_raw_value(&envelope).unwrap(),
        };
        let revocations = vec![Revocation { basis, earlier_only: false }];
        let act = Act::now(About::Host, LedgerEvent::Revoked { statement, revocations });
        self.journal.act(&act).await.unwrap();
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    pub(crate) fn estate(&self) -> Estate {
        Estate::default().with(Arc::clone(&self.vault))
    }

    pub(crate) fn setup(&self, scope: &str) -> Setup {
        let facts =
            Facts { run: self.run, started: Timestamp::now(), reason: "a test".to_owned(), seed: [0; 32] };
        Setup {
            facts,
            mode: Mode::Live,
            scope: Scope::parse(scope, "scope.toml").unwrap(),
            plan: None,
            window: Some(Window::new(Timestamp::MIN, Timestamp::now() + SignedDuration::from_mins(5))),
            watch: None,
            estate: self.estate(),
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.sealer),
        }
    }

    /// A live gate without a plan.
    pub(crate) fn gate(&self, scope: &str) -> Gate {
        Gate::new(self.setup(scope))
    }

    pub(crate) fn with_plan(&self, plan: Plan) -> Gate {
        Gate::new(Setup { plan: Some(plan), ..self.setup(SCOPE) })
    }

    pub(crate) fn rehearsal(&self, scope: &str) -> Gate {
        Gate::new(Setup { mode: Mode::Rehearse, window: None, ..self.setup(scope) })
    }

    pub(crate) fn undo_gate(&self) -> UndoGate {
        UndoGate {
            run: self.run,
            estate: self.estate(),
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.sealer),
        }
    }

    pub(crate) fn changed(&self) -> u64 {
        self.vault.changed.load(Ordering::SeqCst)
    }

    pub(crate) fn touched(&self) -> u64 {
        self.vault.touched.load(Ordering::SeqCst)
    }

    /// Every record of the run but its start, one line each.
    pub(crate) async fn told(&self) -> Vec<String> {
        self.journal.flush().await.unwrap();
        told(&Journal::open_read_only(&self.path()).unwrap(), &self.run)
    }

    pub(crate) async fn intent(&self, call: u64) -> Intent {
        self.journal.flush().await.unwrap();
        let records = self.journal.reader().unwrap().run(&self.run).unwrap();
        let found = records.into_iter().find_map(|(_, record)| match record.event {
            Event::Intent(intent) if intent.call == call => Some(intent),
            _ => None,
        });
        found.unwrap()
    }

    /// Whether the text is anywhere in the journal's files.
    pub(crate) async fn leaked(&self, text: &str) -> bool {
        self.journal.flush().await.unwrap();
        let needle = text.as_bytes();
        ["journal.db", "journal.db-wal"].iter().any(|name| {
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
    }
}

pub(crate) fn told(reader: &Reader, run: &RunId) -> Vec<String> {
    let line = |(_, record): (u64, Record)| {
        Some(match record.event {
            Event::Started(_) => return None,
            Event::Intent(i) => format!("intent {} {} {}", i.call, i.effect, i.resource),
            Event::Outcome(o) => match o.result {
                CallResult::Ok { value } => format!("outcome {} ok {value}", o.call),
                CallResult::Sealed { .. } => format!("outcome {} sealed", o.call),
                CallResult::Failed { failure } => format!("outcome {} failed {failure}", o.call),
            },
            Event::Denied(d) => format!("denied {} {} {}", d.call, d.operation, d.resource),
            Event::Simulated(s) => format!("simulated {} {} {}", s.call, s.effect, s.resource),
            Event::UndoIntent(u) => format!("undo-intent {}", u.call),
            Event::UndoOutcome(u) => format!("undo-outcome {} {:?}", u.call, u.result),
            Event::Resolved(r) => format!("resolved {} {}", r.call, r.happened),
            Event::UndoExpired(_) => "undo-expired".to_owned(),
            Event::Extended(e) => format!("extended {}", e.until),
            Event::Paged(p) => format!("paged {}", p.why),
            Event::Phase(p) => format!("phase {}", p.phase),
            Event::Ended(e) => format!("ended {}", e.state),
        })
    };
    reader.run(run).unwrap().into_iter().filter_map(line).collect()
}
