//! A home to measure in: keys, rules, a signed action, a store of secrets in memory, an approved request.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use remit_backend::{
    Act, BoxFuture, Fields, Generator, Metadata, Right, SecretStore, SecretView, Secrets, Target, Turn,
    Version, VersionState,
};
use remit_capability::fixture::Offline as _;
use remit_gate::{Authority, Estate, Facts, Failure, Gate, Mode, Resource, Scope, Setup, Window};
use remit_journal::{ActionRef, Ended, Phase, Record, RequestId, RunId, RunState, Started};
use remit_lifecycle::{Decision, Home, Host, InitOptions, InitPrincipal, Input, KeyHolder, RequestOptions};
use remit_sandbox::{Admitted, Call, Candidate, Meter};
use remit_trust::principals::PrincipalKind;
use remit_trust::{Digest, Sealed, Sealer, Signer, SigningKey, blob};
use serde_json::value::{RawValue, to_raw_value};
use tempfile::TempDir;
use tokio::sync::Notify;

/// As many as anyone can want.
const MANY: u64 = 1 << 40;

/// A scope that lets the measured action do all it can, with room in every limit.
pub fn scope() -> Scope {
    allowing(&["inspect", "rotate"])
}

fn allowing(capabilities: &[&str]) -> Scope {
    let allow = |name: &&str| {
        format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:app/**\"]\n")
    };
    let text: String = capabilities.iter().map(allow).collect();
    let mut scope = Scope::parse(&text, "the scope").expect("a scope");
    scope.limits.host_calls = MANY;
    scope.limits.fuel = MANY;
    scope.limits.changes = MANY;
    scope.limits.wall_time = SignedDuration::from_mins(30);
    scope
}

const POLICY: &str = r#"
@id("one-human")
@needs("1 human")
permit (principal, action == Remit::Action::"require", resource);
@id("all")
permit (
    principal,
    action in [Remit::Action::"rehearse", Remit::Action::"propose", Remit::Action::"approve", Remit::Action::"trigger",
        Remit::Action::"freeze"],
    resource
);
"#;

/// Everything a host runs with.
pub struct House {
    pub host: Arc<Host>,
    pub bot: KeyHolder,
    pub alice: KeyHolder,
    pub candidate: Candidate,
    /// Gone when this goes; none if it is somebody else's.
    pub dir: Option<TempDir>,
}

impl House {
    /// A home in a new folder of `place`, where `action` is signed by a trusted publisher.
    pub fn new(place: &Path, action: &[u8]) -> Self {
        let dir = Self::found(place, action);
        let house = Self::open(dir.path(), Memory::default());
        Self { dir: Some(dir), ..house }
    }

    /// Makes such a home, with the keys and the action beside it.
    pub fn found(place: &Path, action: &[u8]) -> TempDir {
        let dir = TempDir::with_prefix_in("remit-bench-", place).expect("a folder");
        let path = |name: &str| dir.path().join(name);
        let key = |name: &str| {
            let key = SigningKey::generate().expect("a key");
            key.write_pair(&path(name)).expect("written");
            key
        };
        let (publisher, alice) = (key("publisher"), key("alice"));
        key("bot");
        fs::write(path("action.wasm"), action).expect("written");
        fs::write(path("action.wasm.sig"), blob::sign_blob(&publisher, action).expect("signed"))
            .expect("written");
        let founder = |name: &str, kind| InitPrincipal {
            name: name.to_owned(),
            kind,
            groups: Vec::new(),
            key: path(&format!("{name}.pub")),
        };
        let home = Home::at(&path("home"));
        home.init(&InitOptions {
            log: "bench.invalid/journal".to_owned(),
            publishers: vec![path("publisher.pub")],
            admin: Some(path("alice.pub")),
            principals: vec![founder("alice", PrincipalKind::Human), founder("bot", PrincipalKind::Service)],
        })
        .expect("a home");
        // One approval is enough here also for a request without a plan.
        fs::write(home.policies().join("default.cedar"), POLICY).expect("written");
        home.sign_rules(&Signer::from(alice), |_| true).expect("signed");
        dir
    }

    /// Opens it, with these secrets.
    pub fn open(dir: &Path, secrets: impl SecretStore + 'static) -> Self {
        let home = Home::at(&dir.join("home"));
        let known = |name: &str| {
            let key = Signer::load(&dir.join(name).with_extension("key")).expect("a key");
            KeyHolder::from(key)
        };
        let (alice, bot) = (known("alice"), known("bot"));
        let mut host = home.open().expect("a host");
        let secrets: Arc<dyn SecretStore> = Arc::new(secrets);
        let secrets = Secrets::new(vec![(String::new(), secrets, Generator::default())]).expect("one store");
        host.serve(secrets.serve(Estate::default()));
        let candidate = Candidate::read(&dir.join("action.wasm")).expect("a component");
        Self { host: Arc::new(host), bot, alice, candidate, dir: None }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.dir.as_ref().expect("its own").path()
    }

    pub fn admitted(&self) -> Admitted {
        self.host
            .sandbox
            .admit(
                &self.candidate,
                &self.host.setup().expect("configured").publishers,
                Some(&scope()),
                &remit_sandbox::BUILT_IN,
            )
            .expect("admitted")
    }

    /// An approved request for `uses` runs with this input, within [`scope`].
    pub async fn approved(&self, input: &str, uses: u32) -> RequestId {
        let input = Input::parse(input, "the input").expect("JSON");
        let options = RequestOptions {
            reason: "a benchmark".to_owned(),
            incident: None,
            ttl: SignedDuration::from_hours(1),
            uses: Some(uses),
            triggers: Vec::new(),
            break_glass: false,
        };
        // Whatever the action imports.
        let how = (Some(allowing(&["inspect", "rotate", "disable", "destroy", "reveal"])), true);
        let case =
            self.bot.request_run(&self.host, &self.candidate, &input, how, options).await.expect("asked");
        let decision = Decision { approve: true, reason: "as asked".to_owned(), expect: None };
        self.alice.decide(&self.host, case.request.id, &decision).await.expect("approved");
        case.request.id
    }

    /// A whole run from its admission on: begun, `run`, `verify`, ended, each on record as a live run has it.
    pub async fn whole(&self, action: &Admitted, scope: &Scope, input: &str) {
        let (gate, seed, run) = self.gate_of(scope.clone());
        let started = Started {
            mode: Mode::Live,
            action: ActionRef {
                digest: action.digest,
                name: action.inspection().name.clone(),
                version: action.inspection().version.clone(),
            },
            publisher: None,
            connectors: Vec::new(),
            input: RawValue::from_string(input.to_owned()).expect("JSON"),
            input_digest: Digest::of(input.as_bytes()),
            scope_digest: Digest::of(b"scope"),
            scope: None,
            grant: None,
            principal: "bot".to_owned(),
            started_by: None,
            reason: "a benchmark".to_owned(),
            seed,
            host_version: String::new(),
        };
        let key = Sealed::from_bytes(vec![7; 60]);
        self.host.journal.start(Record::now(run, started), key).await.expect("started");
        let mut meter = Meter::start(scope.limits.clone());
        let mut call = async |call| {
            let answer = self.host.sandbox.call(action, &gate, seed, &mut meter, call).await;
            gate.settle().await;
            answer.expect("it returns")
        };
        let output = call(Call::Run { input }).await;
        gate.enter(Phase::Verify).expect("noted");
        call(Call::Verify { input, output: &output }).await;
        let ended = Ended {
            state: RunState::Succeeded,
            detail: "every check agreed".to_owned(),
            consumed: to_raw_value(&meter.consumed(gate.used())).expect("JSON"),
            output: None,
            own_words: None,
            code: None,
            due: remit_journal::Due::default(),
        };
        self.host.journal.commit(Record::now(run, ended)).await.expect("ended");
    }

    /// A gate as a live run has it: window, watch, estate, journal.
    pub fn gate(&self, scope: Scope) -> (Gate, [u8; 32]) {
        let (gate, seed, _) = self.gate_of(scope);
        (gate, seed)
    }

    fn gate_of(&self, scope: Scope) -> (Gate, [u8; 32], RunId) {
        let facts =
            Facts { run: RunId::new(), started: Timestamp::now(), reason: String::new(), seed: [7; 32] };
        let (run, now) = (facts.run, facts.started);
        let gate = Gate::new(Setup {
            mode: Mode::Live,
            scope,
            plan: None,
            window: Some(Window::new(now, now + SignedDuration::from_hours(1))),
            watch: Some(self.host.journal.watch(facts.run)),
            estate: self.host.estate().expect("served"),
            journal: self.host.journal.clone(),
            sealer: Arc::new(Sealer::generate().expect("a key")),
            facts,
        });
        (gate, [7; 32], run)
    }

    /// One call of `run` as a live run makes it, from its gate to the end of its store.
    pub async fn session(&self, action: &Admitted, scope: &Scope, input: &str) -> String {
        let mut meter = Meter::start(scope.limits.clone());
        let (gate, seed) = self.gate(scope.clone());
        self.host
            .sandbox
            .call(action, &gate, seed, &mut meter, Call::Run { input })
            .await
            .expect("it returns")
    }
}

/// A store that costs next to nothing: what is measured is Remit. Every secret is there from the beginning, at
/// version 2.
#[derive(Default)]
pub struct Memory {
    /// Of each that was changed its newest version; the ones before are all the same.
    secrets: Mutex<HashMap<String, (u64, Fields)>>,
    changed: AtomicBool,
    parked: Option<Arc<AtomicUsize>>,
    /// Lets those who wait go on, one at a time.
    pub go_on: Arc<Notify>,
}

impl Memory {
    /// One where whoever looks is counted, and waits to be let go on.
    pub fn parking(parked: Arc<AtomicUsize>) -> Self {
        Self { parked: Some(parked), ..Self::default() }
    }

    fn with<T>(&self, secret: &Resource, work: impl FnOnce(&mut (u64, Fields)) -> T) -> T {
        let mut secrets = self.secrets.lock().expect("no panic");
        if !secrets.contains_key(secret.path()) {
            secrets.insert(secret.path().to_owned(), (2, first()));
        }
        work(secrets.get_mut(secret.path()).expect("just made"))
    }
}

fn first() -> Fields {
    [("password".to_owned(), "hunter2".to_owned())].into_iter().collect()
}

impl SecretView for Memory {
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata> {
        let version = |number| Version {
            number,
            created: 1_700_000_000_000,
            state: VersionState::Enabled,
            expires: None,
        };
        // As the floor does, until something is changed.
        let changed = self.changed.load(Ordering::Relaxed);
        let current = if changed { self.with(secret, |(current, _)| *current) } else { 2 };
        Box::pin(async move {
            if let Some(parked) = &self.parked {
                parked.fetch_add(1, Ordering::Relaxed);
                self.go_on.notified().await;
            }
            Ok(Metadata { identity: None, current, versions: vec![version(current - 1), version(current)] })
        })
    }

    fn read<'a>(&'a self, secret: &'a Resource, version: u64) -> BoxFuture<'a, Fields> {
        let fields = self.with(secret, |(current, fields)| match version {
            0 => None,
            version if version < *current => Some(first()),
            version => (version == *current).then(|| fields.clone()),
        });
        Box::pin(async { fields.ok_or_else(|| Failure::NotFound("no such version".to_owned())) })
    }

    fn right<'a>(&'a self, _: &'a Resource, _: Act) -> BoxFuture<'a, Right> {
        Box::pin(std::future::ready(Ok(Right::Held)))
    }

    fn check<'a>(&'a self, _: &'a str) -> BoxFuture<'a, String> {
        Box::pin(async { Ok("in memory".to_owned()) })
    }
}

impl SecretStore for Memory {
    fn put<'a>(
        &'a self,
        Target { secret, .. }: Target<'a>,
        fields: &'a Fields,
        expected: u64,
        _: Authority<'a>,
    ) -> BoxFuture<'a, u64> {
        self.changed.store(true, Ordering::Relaxed);
        let put = self.with(secret, |(current, newest)| {
            if *current != expected {
                return Err(Failure::Conflict("somebody was faster".to_owned()));
            }
            fields.clone_into(newest);
            *current += 1;
            Ok(*current)
        });
        Box::pin(async { put })
    }

    fn turn<'a>(&'a self, _: Target<'a>, _: u64, _: Turn, _: Authority<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async { Err(Failure::Unavailable("not measured".to_owned())) })
    }
}
