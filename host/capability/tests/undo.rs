//! Undo as a property: of every changing operation in the table, on every backend, in any order in
//! which a run may use them.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what went wrong by failing"
)]
#![allow(unreachable_pub, reason = "modules shared with other tests")]

#[path = "../../backend/tests/common/bao.rs"]
mod bao;
#[allow(dead_code, reason = "each test crate uses its part")]
#[path = "../../backend/tests/common/gate.rs"]
mod gate;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bao::{Bao, ROOT};
use gate::{Bench, Change, secret};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseResult, TestRunner};
use remit_backend::secrets::BoxFuture;
use remit_backend::{
    Act, Embedded, Fields, Generator, Metadata, OpenBao, OpenBaoConfig, Right, SecretStore, SecretView,
    Secrets, Target, Turn, VersionState,
};
use remit_capability::BUILT_IN;
use remit_capability::fixture::Offline as _;
use remit_capability::secrets::{Destroy, Disable, Enable, Given, Put, Reveal, Rotate};
use remit_gate::{
    Authority, Effect, Estate, Facts, Failure, Gate, Mode, Operation, Resource, Scope, Setup, State, UndoGate,
};
use remit_journal::{CallResult, Event, Intent, Journal, RunId, UndoResult};
use remit_tlog::NoteSigner;
use remit_trust::Sealer;

// ---------------------------------------------------------------------------------------------------
// What the table has, and how a call of it is made.

/// The kinds whose operations have properties of their own, in `database_undo.rs`, `file_undo.rs` and `network_undo.rs`;
/// and evidence, which undo leaves: see `tests/evidence.rs`.
const ELSEWHERE: [&str; 4] = ["database-role", "evidence", "file", "workload"];

/// The operations in the table that change something, of one effect or of both.
fn changing(effects: &[Effect]) -> Vec<&'static str> {
    let elsewhere = |kind: &str| ELSEWHERE.contains(&kind);
    let here = BUILT_IN.interfaces().filter(|interface| !interface.kind.as_deref().is_some_and(elsewhere));
    let operations = here.flat_map(|interface| &*interface.operations);
    operations.filter(|operation| effects.contains(&operation.effect)).map(|op| &*op.name).collect()
}

const UNDOABLE: &[Effect] = &[Effect::Change];
const ANY_CHANGE: &[Effect] = &[Effect::Change, Effect::Irrevocable];

type Done<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;
/// Calls one operation with arguments out of what was drawn.
type Make = for<'a> fn(&'a Gate, Arguments) -> Done<'a>;

struct Arguments {
    resource: Resource,
    version: u64,
    field: Option<String>,
}

/// One for each changing operation of the table.
fn make(name: &str) -> Option<Make> {
    Some(match name {
        Rotate::NAME => |gate, Arguments { resource, field, .. }| through(gate, Rotate { resource, field }),
        Put::NAME => |gate, Arguments { resource, field, .. }| {
            let field = field.unwrap_or_else(|| FIELDS[0].to_owned());
            let secret = Given::new("token", Some(Generator::default().generate().unwrap()));
            through(gate, Put { resource, field, secret })
        },
        Disable::NAME => {
            |gate, Arguments { resource, version, .. }| through(gate, Disable { resource, version })
        }
        Enable::NAME => {
            |gate, Arguments { resource, version, .. }| through(gate, Enable { resource, version })
        }
        Destroy::NAME => {
            |gate, Arguments { resource, version, .. }| through(gate, Destroy { resource, version })
        }
        _ => return None,
    })
}

fn through<O: remit_gate::Change>(gate: &Gate, operation: O) -> Done<'_> {
    Box::pin(async move { gate.change(operation).await.unwrap().map(drop) })
}

#[test]
fn every_change_in_the_table_is_drawn_here() {
    let missing: Vec<_> = changing(ANY_CHANGE).into_iter().filter(|name| make(name).is_none()).collect();
    assert!(missing.is_empty(), "no undo is tested of {missing:?}: teach `make` to call it");
}

// ---------------------------------------------------------------------------------------------------
// What is drawn.

type Values = BTreeMap<String, String>;

/// The versions of one secret, oldest first, and whether each is disabled.
type Drawn = Vec<(Values, bool)>;

#[derive(Clone, Debug)]
struct Call {
    operation: &'static str,
    secret: Index,
    /// Counted back from the version after the current one, to hit something most of the time.
    back: u64,
    field: Option<&'static str>,
    /// What becomes of its answer, where the property loses some.
    loss: Loss,
    /// And of the answer to its undo.
    undo_loss: Loss,
}

/// What becomes of one change on its way to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    None,
    /// It never arrives.
    Request,
    /// It is made, but nobody learns so.
    Answer,
    /// It arrives, and the store says no.
    Refused,
}

/// What someone else does.
#[derive(Clone, Debug)]
enum Theirs {
    Put(Values),
    Disable,
    Enable,
}

const FIELDS: [&str; 3] = ["key", "user", "pass word"];

fn values() -> impl Strategy<Value = Values> {
    // Few different values, so that versions of a secret may well be equal.
    let value = select(vec!["", "one", "two", "q\"\\ü€\u{1F511}\n"]);
    btree_map(select(&FIELDS[..]).prop_map(str::to_owned), value.prop_map(str::to_owned), 1..4)
}

fn estates() -> impl Strategy<Value = Vec<Drawn>> {
    vec(vec((values(), proptest::bool::weighted(0.25)), 1..5), 1..4)
}

fn loss() -> impl Strategy<Value = Loss> {
    select(vec![Loss::None, Loss::Request, Loss::Answer, Loss::Refused])
}

fn calls(effects: &'static [Effect]) -> impl Strategy<Value = Vec<Call>> {
    // A field is named or not; unnamed is right where there is just one.
    let field = prop_oneof![Just(None), select(&FIELDS[..]).prop_map(Some)];
    let undo_loss = select(vec![Loss::None, Loss::Request, Loss::Answer]);
    let call = (select(changing(effects)), any::<Index>(), 0..5_u64, field, loss(), undo_loss);
    let call = call.prop_map(|(operation, secret, back, field, loss, undo_loss)| Call {
        operation,
        secret,
        back,
        field,
        loss,
        undo_loss,
    });
    vec(call, 1..7)
}

// ---------------------------------------------------------------------------------------------------
// The store, and what stands between it and the operations.

/// Passes everything on, but may lose a change or its answer, or let someone else go first.
struct Between {
    store: Arc<dyn SecretStore>,
    loss: Mutex<Loss>,
    someone: Mutex<Option<Someone>>,
}

/// Someone who is about to touch a secret.
struct Someone {
    secret: Resource,
    moment: Moment,
    acts: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Right before an operation or an undo gets its answer to this.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Its first look at the versions, or the second.
    Look,
    SecondLook,
    Write,
}

impl Between {
    /// Lets someone else go first, if it is their moment.
    async fn meet(&self, secret: &Resource, writes: bool) {
        let met = {
            let mut waiting = self.someone.lock().unwrap();
            match waiting.as_mut().filter(|someone| someone.secret == *secret) {
                None => None,
                Some(someone) => match (someone.moment, writes) {
                    (Moment::Look, false) | (Moment::Write, true) => waiting.take(),
                    (Moment::SecondLook, false) => {
                        someone.moment = Moment::Look;
                        None
                    }
                    _ => None,
                },
            }
        };
        if let Some(someone) = met {
            someone.acts.await;
        }
    }

    fn change<'a, T: Send + 'a>(
        &'a self,
        secret: &'a Resource,
        change: BoxFuture<'a, T>,
    ) -> BoxFuture<'a, T> {
        let loss = std::mem::replace(&mut *self.loss.lock().unwrap(), Loss::None);
        let lost = || Err(Failure::Unavailable("lost".to_owned()));
        Box::pin(async move {
            self.meet(secret, true).await;
            match loss {
                Loss::None => change.await,
                Loss::Request => lost(),
                Loss::Answer => change.await.and_then(|_| lost()),
                Loss::Refused => Err(Failure::Denied("refused".to_owned())),
            }
        })
    }
}

impl SecretView for Between {
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata> {
        Box::pin(async move {
            self.meet(secret, false).await;
            self.store.metadata(secret).await
        })
    }
    fn read<'a>(&'a self, secret: &'a Resource, version: u64) -> BoxFuture<'a, Fields> {
        self.store.read(secret, version)
    }
    fn right<'a>(&'a self, secret: &'a Resource, act: Act) -> BoxFuture<'a, Right> {
        self.store.right(secret, act)
    }
    fn check<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, String> {
        self.store.check(prefix)
    }
}

impl SecretStore for Between {
    fn put<'a>(
        &'a self,
        at: Target<'a>,
        fields: &'a Fields,
        n: u64,
        by: Authority<'a>,
    ) -> BoxFuture<'a, u64> {
        self.change(at.secret, self.store.put(at, fields, n, by))
    }
    fn turn<'a>(&'a self, at: Target<'a>, version: u64, turn: Turn, by: Authority<'a>) -> BoxFuture<'a, ()> {
        self.change(at.secret, self.store.turn(at, version, turn, by))
    }
}

/// A backend to test, and the journal of all runs on it.
struct World {
    between: Arc<Between>,
    journal: Journal,
    sealer: Arc<Sealer>,
    runtime: tokio::runtime::Runtime,
    cases: u32,
    started: AtomicU64,
    folder: tempfile::TempDir,
    server: Option<Bao>,
}

impl World {
    /// The store in a file of Remit's own.
    fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(&folder.path().join("secrets.db")).unwrap();
        Self::new(folder, Arc::new(store), None, 96)
    }

    /// A real server, which is why there are fewer cases. With each version of a secret beyond so many the
    /// engine drops the oldest, which no undo can take back: the properties need room.
    fn openbao(max_versions: u32) -> Self {
        let server = Bao::start();
        server.client(&["write", "secret/config", &format!("max_versions={max_versions}")]);
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, ROOT).unwrap();
        std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let config = OpenBaoConfig {
            address: server.address(),
            mount: "secret".to_owned(),
            namespace: None,
            token_file: Some("token".into()),
            token_env: None,
            ca_file: None,
            timeout: jiff::SignedDuration::from_secs(5),
        };
        let store = OpenBao::open(&config, folder.path()).unwrap();
        Self::new(folder, Arc::new(store), Some(server), 8)
    }

    fn new(folder: tempfile::TempDir, store: Arc<dyn SecretStore>, server: Option<Bao>, cases: u32) -> Self {
        let signer = NoteSigner::from_seed("test", &[1; 32]).unwrap();
        Self {
            between: Arc::new(Between { store, loss: Mutex::new(Loss::None), someone: Mutex::new(None) }),
            journal: Journal::open(&folder.path().join("journal"), signer).unwrap(),
            sealer: Arc::new(Sealer::load_or_create(&folder.path().join("seal.key")).unwrap()),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            cases,
            started: AtomicU64::new(0),
            folder,
            server,
        }
    }

    /// Checks a property of drawn runs.
    fn holds<S: Strategy>(&self, strategy: S, property: impl AsyncFn(&Self, S::Value) -> TestCaseResult) {
        let config = ProptestConfig { cases: self.cases, failure_persistence: None, ..Default::default() };
        let checked =
            TestRunner::new(config).run(&strategy, |drawn| self.runtime.block_on(property(self, drawn)));
        if let Err(error) = checked {
            panic!("in {}: {error}", self.folder.path().display());
        }
    }

    /// A run that has not done anything yet, on secrets of its own that are as drawn.
    async fn run(&self, drawn: &[Drawn]) -> Run<'_> {
        self.run_under(drawn, everything_allowed()).await
    }

    async fn run_under(&self, drawn: &[Drawn], scope: Scope) -> Run<'_> {
        let case = self.started.fetch_add(1, Ordering::Relaxed);
        let own = vec![(String::new(), Arc::clone(&self.between.store), Generator::default())];
        let other = Arc::new(Bench::new(Secrets::new(own).unwrap()));
        let mut secrets = Vec::new();
        for (index, versions) in drawn.iter().enumerate() {
            let path = format!("case{case}/secret{index}");
            for (expected, (fields, _)) in (0..).zip(versions) {
                let put = Change::Put { expected, fields: fields.clone() };
                other.change(&path, put).await.unwrap();
            }
            for (number, (_, disabled)) in (1..).zip(versions) {
                if *disabled {
                    other.change(&path, Change::Disable(number)).await.unwrap();
                }
            }
            secrets.push((secret(&path), versions.len() as u64));
        }
        let between = Arc::clone(&self.between) as Arc<dyn SecretStore>;
        let served = Secrets::new(vec![(String::new(), between, Generator::default())]).unwrap();
        let estate = served.serve(Estate::default());
        let facts = Facts {
            run: RunId::new(),
            started: jiff::Timestamp::UNIX_EPOCH,
            reason: "a test".to_owned(),
            seed: [0; 32],
        };
        let undo = UndoGate {
            run: facts.run,
            estate: estate.clone(),
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.sealer),
        };
        let gate = Gate::new(Setup {
            facts,
            mode: Mode::Live,
            scope,
            plan: None,
            window: None,
            watch: None,
            estate,
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.sealer),
        });
        Run { world: self, other, gate, undo, secrets }
    }
}

/// Everything, also what cannot be taken back.
fn everything_allowed() -> Scope {
    scope("irrevocable = true\n")
}

fn without_acceptance() -> Scope {
    scope("")
}

fn scope(acceptance: &str) -> Scope {
    use std::fmt::Write as _;
    let mut text = "[limits]\nchanges = 100\n".to_owned();
    for interface in BUILT_IN.interfaces() {
        let (name, Some(kind)) = (&*interface.name, interface.kind.as_deref()) else { continue };
        write!(text, "[[allow]]\ncapability = \"{name}\"\nresources = [\"{kind}:**\"]\n").unwrap();
        match interface.effect() {
            Effect::Change | Effect::Irrevocable => text.push_str(acceptance),
            Effect::Disclose => text.push_str("disclose = true\n"),
            Effect::Observe => {}
        }
    }
    Scope::parse(&text, "scope.toml").unwrap()
}

// ---------------------------------------------------------------------------------------------------
// One run.

struct Run<'w> {
    world: &'w World,
    /// Someone else, with a gate of their own to the same store.
    other: Arc<Bench>,
    gate: Gate,
    undo: UndoGate,
    /// Each with the number of versions that it had before the run.
    secrets: Vec<(Resource, u64)>,
}

/// What can be seen of a secret: the state of each version, and its values where they can be read.
type Versions = BTreeMap<u64, (VersionState, Option<Values>)>;

/// What an undo has to bring back: the state and the values of each version that there was before the
/// run, and what whoever asks for the current version gets. Not its number: no store takes back a
/// number, so that the old value returns as a new version on top. And not what became of the versions
/// of the run's own in between.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    current: (VersionState, Option<Values>),
    original: Versions,
}

impl Run<'_> {
    fn store(&self) -> &dyn SecretStore {
        &*self.world.between.store
    }

    async fn versions(&self, secret: &Resource) -> (Metadata, Versions) {
        let found = self.store().metadata(secret).await.unwrap();
        let mut versions = Versions::new();
        for version in &found.versions {
            let values = match version.state {
                VersionState::Enabled => {
                    let fields = self.store().read(secret, version.number).await.unwrap();
                    Some(fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
                }
                _ => None,
            };
            versions.insert(version.number, (version.state, values));
        }
        (found, versions)
    }

    async fn observe(&self) -> BTreeMap<Resource, Observed> {
        let mut all = BTreeMap::new();
        for (secret, originals) in &self.secrets {
            let (metadata, mut versions) = self.versions(secret).await;
            let current = versions[&metadata.current].clone();
            versions.retain(|number, _| number <= originals);
            all.insert(secret.clone(), Observed { current, original: versions });
        }
        all
    }

    /// All there is in the store, numbers and times included.
    async fn everything(&self) -> BTreeMap<Resource, (Metadata, Versions)> {
        let mut all = BTreeMap::new();
        for (secret, _) in &self.secrets {
            all.insert(secret.clone(), self.versions(secret).await);
        }
        all
    }

    /// Calls what was drawn, through the gate. It may well fail: of an estate and calls that know nothing
    /// of each other, some make no sense.
    async fn perform(&self, call: &Call, loss: Loss) {
        let (resource, _) = call.secret.get(&self.secrets).clone();
        let current = self.store().metadata(&resource).await.unwrap().current;
        let version = (current + 1).saturating_sub(call.back);
        let arguments = Arguments { resource, version, field: call.field.map(str::to_owned) };
        let make = make(call.operation).expect("`make` knows the table");
        *self.world.between.loss.lock().unwrap() = loss;
        let _ = make(&self.gate, arguments).await;
        *self.world.between.loss.lock().unwrap() = Loss::None;
    }

    /// The changes that the run made or may have made, the last one first: as a revert reads them.
    async fn changes(&self) -> Vec<Intent> {
        self.world.journal.flush().await.unwrap();
        let mut changes: Vec<Intent> = Vec::new();
        for (_, record) in self.world.journal.reader().unwrap().run(&self.undo.run).unwrap() {
            match record.event {
                // Without a prior state it failed in preparation.
                Event::Intent(intent) if intent.before.is_some() => changes.push(intent),
                Event::Outcome(outcome) => {
                    if let CallResult::Failed { failure } = &outcome.result
                        && serde_json::from_str::<Failure>(failure.get()).unwrap().is_definite()
                    {
                        changes.retain(|change| change.call != outcome.call);
                    }
                }
                _ => {}
            }
        }
        changes.reverse();
        changes
    }

    async fn undo(&self, change: &Intent) -> UndoResult {
        BUILT_IN.operation(&change.operation).unwrap().undo(&self.undo, change).await.unwrap()
    }

    async fn state(&self, change: &Intent) -> State {
        BUILT_IN.operation(&change.operation).unwrap().state(&self.undo, change).await.unwrap()
    }

    /// Undoes once more what is undone: nothing at all may change, not even a version's number.
    async fn again(&self, changes: &[Intent]) -> TestCaseResult {
        let before = self.everything().await;
        for change in changes {
            prop_assert_eq!(self.undo(change).await, UndoResult::AlreadyUndone, "{:?}", change);
        }
        prop_assert_eq!(self.everything().await, before);
        Ok(())
    }
}

// ---------------------------------------------------------------------------------------------------
// The properties.

/// Undo after perform is the identity, and undo after undo is nothing. A revert may be cut short
/// anywhere; whoever starts it over starts at the top.
fn undone_in_reverse_nothing_is_left(world: &World) {
    world.holds((estates(), calls(UNDOABLE), any::<Index>()), async |world, (estate, calls, cut)| {
        let run = world.run(&estate).await;
        let before = run.observe().await;
        for call in &calls {
            run.perform(call, Loss::None).await;
        }
        let changes = run.changes().await;
        let cut = cut.index(changes.len() + 1);
        for change in &changes[..cut] {
            prop_assert_eq!(run.undo(change).await, UndoResult::Undone, "{:?}", change);
        }
        run.again(&changes[..cut]).await?;
        for change in &changes[cut..] {
            prop_assert_eq!(run.undo(change).await, UndoResult::Undone, "{:?}", change);
        }
        prop_assert_eq!(run.observe().await, before);
        run.again(&changes).await
    });
}

/// The same for changes of which nobody knows whether they were made, and for undos of which nobody
/// knows it either.
fn in_doubt_it_comes_back_as_well(world: &World) {
    world.holds((estates(), calls(ANY_CHANGE)), async |world, (estate, calls)| {
        let run = world.run(&estate).await;
        let before = run.observe().await;
        let mut arrived = BTreeMap::new();
        for (call, drawn) in (1_u64..).zip(&calls) {
            // What cannot be taken back must not happen, or there is no identity to speak of.
            let for_good = BUILT_IN.operation(drawn.operation).unwrap().effect == Effect::Irrevocable;
            let loss = if for_good && drawn.loss != Loss::Refused { Loss::Request } else { drawn.loss };
            arrived.insert(call, (loss != Loss::Request, drawn.undo_loss));
            run.perform(drawn, loss).await;
        }
        let changes = run.changes().await;
        for change in &changes {
            let (arrived, loss) = arrived[&change.call];
            let expected = match (arrived, loss) {
                (false, _) => [UndoResult::AlreadyUndone, UndoResult::AlreadyUndone],
                (true, Loss::None) => [UndoResult::Undone, UndoResult::AlreadyUndone],
                (true, Loss::Request) => [failed(), UndoResult::Undone],
                (true, Loss::Answer) => [failed(), UndoResult::AlreadyUndone],
                (true, Loss::Refused) => unreachable!("no undo is refused here"),
            };
            *world.between.loss.lock().unwrap() = loss;
            let first = run.undo(change).await;
            *world.between.loss.lock().unwrap() = Loss::None;
            prop_assert_eq!([first, run.undo(change).await], expected, "{:?}", change);
        }
        prop_assert_eq!(run.observe().await, before);
        run.again(&changes).await
    });
}

fn failed() -> UndoResult {
    UndoResult::Failed { message: "unavailable: lost".to_owned() }
}

/// What is gone for good is said to be, and taking the rest back makes nothing worse.
fn what_cannot_come_back_is_left_alone(world: &World) {
    world.holds((estates(), calls(ANY_CHANGE)), async |world, (estate, calls)| {
        let run = world.run(&estate).await;
        let before = run.observe().await;
        for call in &calls {
            run.perform(call, Loss::None).await;
        }
        let changes = run.changes().await;
        let for_good: BTreeSet<_> = changes
            .iter()
            .filter(|change| change.effect == Effect::Irrevocable)
            .map(|change| change.resource.clone())
            .collect();
        for change in &changes {
            let live = run.everything().await;
            let result = run.undo(change).await;
            match &result {
                UndoResult::NotReversible { .. } => prop_assert_eq!(change.effect, Effect::Irrevocable),
                UndoResult::Undone => prop_assert_eq!(change.effect, Effect::Change),
                // A version that was changed before it was destroyed.
                UndoResult::Conflict { .. } => prop_assert!(for_good.contains(&change.resource)),
                _ => prop_assert!(false, "{:?}: {:?}", result, change),
            }
            if result != UndoResult::Undone {
                prop_assert_eq!(run.everything().await, live);
            }
        }
        let mut after = run.observe().await;
        for (secret, before) in before {
            let mut after = after.remove(&secret).unwrap();
            if for_good.contains(secret.as_str()) {
                after.original.retain(|_, (state, _)| *state != VersionState::Destroyed);
                prop_assert!(after.original.iter().all(|(number, left)| before.original[number] == *left));
            } else {
                prop_assert_eq!(after, before);
            }
        }
        Ok(())
    });
}

/// Whatever someone else does stays done: during the run, after it, or between the looks and the write of
/// a single operation or undo.
fn what_others_did_stays(world: &World) {
    let theirs = prop_oneof![3 => values().prop_map(Theirs::Put), 1 => Just(Theirs::Disable), 1 => Just(Theirs::Enable)];
    let moment =
        prop_oneof![1 => Just(Moment::Look), 2 => Just(Moment::SecondLook), 2 => Just(Moment::Write)];
    let meeting = (theirs, 0..5_u64, moment, any::<bool>(), any::<Index>());
    world.holds((estates(), calls(UNDOABLE), meeting), async |world, (estate, calls, meeting)| {
        let (theirs, back, moment, during_run, when) = meeting;
        let run = world.run(&estate).await;
        let (touched, originals) = when.get(&calls).secret.get(&run.secrets).clone();
        let version = (originals + 1).saturating_sub(back).max(1);
        let happened = Arc::new(Mutex::new(None));
        let acts = {
            let (store, other) = (Arc::clone(&world.between.store), Arc::clone(&run.other));
            let (secret, theirs, happened) = (touched.clone(), theirs.clone(), Arc::clone(&happened));
            Box::pin(async move {
                let expected = store.metadata(&secret).await.unwrap().current;
                let change = match theirs {
                    Theirs::Put(fields) => Change::Put { expected, fields },
                    Theirs::Disable => Change::Disable(version),
                    Theirs::Enable => Change::Enable(version),
                };
                *happened.lock().unwrap() = other.change(secret.path(), change).await.ok();
            })
        };
        let mut someone = Some(Someone { secret: touched.clone(), moment, acts });
        for (index, call) in calls.iter().enumerate() {
            if during_run && index == when.index(calls.len()) {
                *world.between.someone.lock().unwrap() = someone.take();
            }
            run.perform(call, Loss::None).await;
        }
        *world.between.someone.lock().unwrap() = None;

        let changes = run.changes().await;
        for (index, change) in changes.iter().enumerate() {
            if index == changes.len() - 1 - when.index(changes.len()) {
                *world.between.someone.lock().unwrap() = someone.take();
            }
            let (live, met) = (run.everything().await, happened.lock().unwrap().is_some());
            let result = run.undo(change).await;
            let number = *happened.lock().unwrap();
            // What was done in the meantime is a difference, but not the undo's.
            let met_now = number.is_some() != met;
            let waiting = world.between.someone.lock().unwrap().take();
            let state = run.state(change).await;
            *world.between.someone.lock().unwrap() = waiting;
            let after = run.everything().await;
            match &result {
                UndoResult::Undone => prop_assert_eq!(state, State::Before, "{:?}", change),
                UndoResult::AlreadyUndone => prop_assert!(met_now || after == live, "{:?}", change),
                UndoResult::Conflict { .. } => {
                    prop_assert!(number.is_some() && change.resource == touched.as_str(), "{:?}", change);
                    prop_assert!(met_now || after == live, "{:?}", change);
                }
                _ => prop_assert!(false, "{:?}: {:?}", result, change),
            }
            if let (Theirs::Put(_), Some(number), false) = (&theirs, number, during_run) {
                prop_assert_eq!(after[&touched].0.current, number, "{:?}", change);
            }
        }
        *world.between.someone.lock().unwrap() = None;

        if happened.lock().unwrap().is_some() {
            let (metadata, versions) = run.versions(&touched).await;
            match theirs {
                // The run may have rotated it in turn, knowing it: then it is back.
                Theirs::Put(fields) => prop_assert_eq!(versions[&metadata.current].1.as_ref(), Some(&fields)),
                Theirs::Disable => prop_assert_eq!(versions[&version].0, VersionState::Disabled),
                Theirs::Enable => prop_assert_eq!(versions[&version].0, VersionState::Enabled),
            }
        }
        Ok(())
    });
}

/// A version that was disabled when the run began is not read in it, whatever the run does to it and whatever comes of that: its
/// rehearsal cannot read it either.
fn what_a_run_enabled_it_does_not_read(world: &World) {
    let turn = select(vec![Enable::NAME, Enable::NAME, Disable::NAME, Destroy::NAME]);
    let (earlier, turns) = (vec(values(), 0..2), vec((turn, loss()), 1..7));
    world.holds((earlier, values(), turns), async |world, (earlier, fields, turns)| {
        let mut drawn: Drawn = earlier.into_iter().map(|values| (values, false)).collect();
        drawn.push((fields, true));
        let run = world.run(&[drawn]).await;
        let (resource, version) = run.secrets[0].clone();
        for (turn, loss) in turns {
            let arguments = Arguments { resource: resource.clone(), version, field: None };
            *world.between.loss.lock().unwrap() = loss;
            let _ = make(turn).expect("`make` knows the table")(&run.gate, arguments).await;
            *world.between.loss.lock().unwrap() = Loss::None;
            for field in FIELDS.map(str::to_owned) {
                let resource = resource.clone();
                let revealed = run.gate.observe(Reveal { resource, field, version }).await.unwrap();
                let kept = matches!(&revealed, Err(why) if !why.to_string().contains("has no field"));
                prop_assert!(kept, "{:?}", revealed);
            }
            let (resource, field) = (resource.clone(), Some("user".to_owned()));
            let rotated = run.gate.change(Rotate { resource, field }).await.unwrap();
            prop_assert!(matches!(rotated, Err(Failure::Conflict(_))), "{:?}", rotated);
        }
        Ok(())
    });
}

/// A store that ends the test as soon as anything is to be changed in it.
struct Untouchable(Arc<dyn SecretStore>);

impl SecretView for Untouchable {
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata> {
        self.0.metadata(secret)
    }
    fn read<'a>(&'a self, secret: &'a Resource, version: u64) -> BoxFuture<'a, Fields> {
        self.0.read(secret, version)
    }
    fn right<'a>(&'a self, secret: &'a Resource, act: Act) -> BoxFuture<'a, Right> {
        self.0.right(secret, act)
    }
    fn check<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, String> {
        self.0.check(prefix)
    }
}

impl SecretStore for Untouchable {
    fn put<'a>(&'a self, at: Target<'a>, _: &'a Fields, _: u64, _: Authority<'a>) -> BoxFuture<'a, u64> {
        panic!("a rehearsal wrote {}", at.secret)
    }
    fn turn<'a>(&'a self, at: Target<'a>, _: u64, turn: Turn, _: Authority<'a>) -> BoxFuture<'a, ()> {
        panic!("a rehearsal would {turn:?} {}", at.secret)
    }
}

/// Whatever is rehearsed: nothing reaches the store, and each call is answered as the run then answers it.
fn rehearsed_it_touches_nothing_and_answers_alike(world: &World) {
    world.holds((estates(), calls(ANY_CHANGE)), async |world, (estate, calls)| {
        let run = world.run(&estate).await;
        let store: Arc<dyn SecretStore> = Arc::new(Untouchable(Arc::clone(&world.between.store)));
        let served = Secrets::new(vec![(String::new(), store, Generator::default())]).unwrap();
        let rehearsal = Gate::new(Setup {
            facts: Facts {
                run: RunId::new(),
                started: jiff::Timestamp::UNIX_EPOCH,
                reason: "a test".to_owned(),
                seed: [0; 32],
            },
            mode: Mode::Rehearse,
            scope: everything_allowed(),
            plan: None,
            window: None,
            watch: None,
            estate: served.serve(Estate::default()),
            journal: world.journal.clone(),
            sealer: Arc::clone(&world.sealer),
        });
        let before = run.everything().await;
        let mut answers = Vec::new();
        for call in &calls {
            let (resource, originals) = call.secret.get(&run.secrets).clone();
            let version = (originals + 2).saturating_sub(call.back);
            let field = call.field.map(str::to_owned);
            let make = make(call.operation).expect("`make` knows the table");
            let arguments = || Arguments { resource: resource.clone(), version, field: field.clone() };
            answers.push((make, arguments(), make(&rehearsal, arguments()).await));
        }
        prop_assert_eq!(run.everything().await, before);
        for (make, arguments, rehearsed) in answers {
            prop_assert_eq!(make(&run.gate, arguments).await, rehearsed);
        }
        Ok(())
    });
}

/// The properties of every backend.
macro_rules! properties {
    ($($property:ident),*) => {
        mod embedded {
            $(#[test] fn $property() { super::$property(&super::World::embedded()); })*
        }
        mod openbao {
            $(#[test] fn $property() { super::$property(&super::World::openbao(100)); })*
        }
    };
}

properties!(
    undone_in_reverse_nothing_is_left,
    in_doubt_it_comes_back_as_well,
    what_a_run_enabled_it_does_not_read,
    what_cannot_come_back_is_left_alone,
    what_others_did_stays,
    rehearsed_it_touches_nothing_and_answers_alike
);

fn one_secret() -> Drawn {
    vec![(Values::from([("key".to_owned(), "one".to_owned())]), false)]
}

/// Rotates the only secret of a run.
async fn rotate(run: &Run<'_>) {
    let (resource, _) = run.secrets[0].clone();
    run.gate.change(Rotate { resource, field: None }).await.unwrap().unwrap();
}

/// A server's own client can do what no operation does: that is someone else's as well, and known well
/// enough to be no failure.
#[test]
fn what_only_a_servers_own_client_does_is_a_conflict() {
    let world = World::openbao(100);
    let server = world.server.as_ref().unwrap();
    let json = world.folder.path().join("secret.json");
    std::fs::write(&json, r#"{"key":"one","port":5432}"#).unwrap();
    let not_text = format!("@{}", json.display());
    world.runtime.block_on(async {
        for (theirs, disabling_conflicts) in [
            (&["put", "-mount=secret", "PATH", &not_text][..], false),
            (&["delete", "-mount=secret", "PATH"], false),
            (&["metadata", "delete", "-mount=secret", "PATH"], true),
        ] {
            let run = world.run(&[one_secret()]).await;
            rotate(&run).await;
            let (resource, _) = run.secrets[0].clone();
            let path = resource.path().to_owned();
            run.gate.change(Disable { resource, version: 1 }).await.unwrap().unwrap();
            let theirs = theirs.iter().map(|word| if *word == "PATH" { path.as_str() } else { word });
            server.client(&std::iter::once("kv").chain(theirs.clone()).collect::<Vec<_>>());
            let [disabled, rotated] = run.changes().await.try_into().unwrap();
            let result = run.undo(&disabled).await;
            assert_eq!(matches!(result, UndoResult::Conflict { .. }), disabling_conflicts, "{result:?}");
            assert!(disabling_conflicts || result == UndoResult::Undone, "{result:?}");
            let result = run.undo(&rotated).await;
            assert!(
                matches!(result, UndoResult::Conflict { .. }),
                "{:?}: {result:?}",
                theirs.collect::<Vec<_>>()
            );
        }
    });
}

/// The journal holds the old value, so that a rotation comes back even where the engine kept none of the
/// older versions.
#[test]
fn a_dropped_version_is_not_needed() {
    let world = World::openbao(1);
    world.runtime.block_on(async {
        let run = world.run(&[one_secret()]).await;
        let before = run.observe().await;
        rotate(&run).await;
        rotate(&run).await;
        for change in run.changes().await {
            assert_eq!(run.undo(&change).await, UndoResult::Undone);
            assert_eq!(run.undo(&change).await, UndoResult::AlreadyUndone);
        }
        let (secret, before) = before.first_key_value().unwrap();
        let after = &run.observe().await[secret];
        assert_eq!(after.current, before.current);
        assert!(after.original.is_empty(), "version 1 is back");
    });
}

/// An undo that the host's token may not perform is not promised, nor one that would not bring everything back: the
/// change is irrevocable then, and needs a scope that accepts it.
#[test]
fn what_the_host_could_not_take_back_is_irrevocable() {
    let world = World::openbao(100);
    let server = world.server.as_ref().unwrap();
    let policy = |undelete: &str| {
        format!(
            r#"path "secret/metadata/*" {{ capabilities = ["read"] }}
            path "secret/data/*" {{ capabilities = ["read"] }}
            path "secret/delete/*" {{ capabilities = ["update"] }}
            path "secret/undelete/*" {{ capabilities = ["{undelete}"] }}"#
        )
    };
    let token_file = world.folder.path().join("token");
    let narrow = |undelete| std::fs::write(&token_file, server.token(&policy(undelete), "1h")).unwrap();
    world.runtime.block_on(async {
        for (scope, fits) in [(everything_allowed(), true), (without_acceptance(), false)] {
            std::fs::write(&token_file, ROOT).unwrap();
            let run = world.run_under(&[one_secret(), one_secret()], scope).await;
            let [one, other] = [run.secrets[0].0.clone(), run.secrets[1].0.clone()];
            narrow("read");
            let disabled = run.gate.change(Disable { resource: one.clone(), version: 1 }).await;
            if !fits {
                let refused = disabled.unwrap_err().to_string();
                assert!(refused.contains(r#"[update] on "secret/undelete/"#), "{refused}");
                narrow("update");
                run.gate.change(Disable { resource: one, version: 1 }).await.unwrap().unwrap();
                continue;
            }
            disabled.unwrap().unwrap();
            // A rotation that could not even be written is known beforehand.
            let refused = run.gate.change(Rotate { resource: other.clone(), field: None }).await.unwrap();
            assert!(
                matches!(&refused, Err(Failure::Denied(why)) if why.contains(r#"[update] on "secret/data/"#)),
                "{refused:?}"
            );
            let [change] = run.changes().await.try_into().unwrap();
            assert_eq!(change.effect, Effect::Irrevocable);
            let result = run.undo(&change).await;
            assert!(
                matches!(&result, UndoResult::NotReversible { why } if why.contains("undelete")),
                "{result:?}"
            );

            // The server would delete it by itself; enabling it again would make that another time.
            std::fs::write(&token_file, ROOT).unwrap();
            let path = other.path();
            server.client(&["kv", "metadata", "put", "-mount=secret", "-delete-version-after=1h", path]);
            server.client(&["kv", "put", "-mount=secret", path, "key=two"]);
            run.gate.change(Disable { resource: other, version: 2 }).await.unwrap().unwrap();
            let changes = run.changes().await;
            assert_eq!(changes[0].effect, Effect::Irrevocable);
            assert!(changes[0].irrevocable_because.as_ref().unwrap().contains("is to delete version 2"));
        }
    });
}

/// What a server's own client can do: the secret is another one then, and an undo leaves it alone.
#[test]
fn a_secret_that_was_made_anew_is_somebody_elses() {
    let world = World::openbao(100);
    let server = world.server.as_ref().unwrap();
    world.runtime.block_on(async {
        let run = world.run(&[one_secret(), one_secret()]).await;
        rotate(&run).await;
        let (resource, _) = run.secrets[1].clone();
        run.gate.change(Disable { resource: resource.clone(), version: 1 }).await.unwrap().unwrap();
        for (secret, _) in &run.secrets {
            let path = secret.path();
            server.client(&["kv", "metadata", "delete", "-mount=secret", path]);
            server.client(&["kv", "put", "-mount=secret", path, "key=one"]);
            server.client(&["kv", "put", "-mount=secret", path, "key=two"]);
        }
        server.client(&["kv", "delete", "-mount=secret", "-versions=1", resource.path()]);
        let live = run.everything().await;
        for change in run.changes().await {
            let result = run.undo(&change).await;
            assert!(
                matches!(&result, UndoResult::Conflict { live } if live.contains("another secret")),
                "{result:?}"
            );
        }
        assert_eq!(run.everything().await, live);
    });
}
