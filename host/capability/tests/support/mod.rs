//! A gate over an embedded store, and what the journal holds afterwards.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::path::Path;
use std::sync::Arc;

use remit_backend::{
    Embedded, EmbeddedConfig, Generator, SecretView as _, Secrets, SecretsConfig, Serving, Systems as _,
    VersionState,
};
use remit_capability::fixture::Offline as _;
use remit_capability::{BUILT_IN, Ctx};
use remit_gate::{Estate, Facts, Gate, Mode, Plan, Resource, Scope, Setup, State, UndoGate};
use remit_journal::{Event, Intent, Journal, Record, RunId, UndoResult};
use remit_tlog::NoteSigner;
use remit_trust::Sealer;

pub const PATH: &str = "prod/stripe";

/// The embedded store, seen from outside the gate.
pub struct Store(Embedded);

pub fn secret(path: &str) -> Resource {
    Resource::new("secret", path).unwrap()
}

impl Store {
    /// Someone else writes a version.
    pub async fn write(&self, path: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.0.seed(&secret(path), fields.collect()).await.unwrap();
    }

    /// Someone else disables a version.
    pub async fn disable(&self, path: &str, version: u64) {
        self.0.seed_state(&secret(path), version, VersionState::Disabled).await.unwrap();
    }

    pub async fn current(&self, path: &str) -> u64 {
        self.0.metadata(&secret(path)).await.unwrap().current
    }

    pub async fn value(&self, path: &str, version: u64, field: &str) -> String {
        let fields = self.0.read(&secret(path), version).await.unwrap();
        fields.get(field).unwrap().to_owned()
    }

    pub async fn state(&self, path: &str, version: u64) -> VersionState {
        let found = self.0.metadata(&secret(path)).await.unwrap();
        found.versions.iter().find(|known| known.number == version).unwrap().state
    }
}

fn secrets(home: &Path) -> Secrets {
    let serving = Serving::Embedded(EmbeddedConfig { file: "secrets.db".into() });
    let entry = SecretsConfig { prefix: String::new(), generator: Generator::default(), serving };
    Secrets::open(&[entry], home).unwrap()
}

fn estate(home: &Path) -> Estate {
    secrets(home).serve(Estate::default())
}

/// One run under test.
pub struct Bench {
    pub store: Store,
    pub ctx: Ctx,
    pub run: RunId,
    journal: Journal,
    sealer: Arc<Sealer>,
    folder: tempfile::TempDir,
}

/// All secrets powers on `prod/**`, everything accepted.
pub const WIDE: &str = r#"
[limits]
changes = 9
[[allow]]
capability = "remit:secrets/inspect"
resources = ["secret:prod/**"]
[[allow]]
capability = "remit:secrets/rotate"
resources = ["secret:prod/**"]
[[allow]]
capability = "remit:secrets/disable"
resources = ["secret:prod/**"]
[[allow]]
capability = "remit:secrets/enable"
resources = ["secret:prod/**"]
[[allow]]
capability = "remit:secrets/destroy"
resources = ["secret:prod/**"]
irrevocable = true
[[allow]]
capability = "remit:secrets/put"
resources = ["secret:prod/**"]

[[allow]]
capability = "remit:secrets/compare"
resources = ["secret:prod/**"]

[[allow]]
capability = "remit:secrets/reveal"
resources = ["secret:prod/**"]
disclose = true
"#;

impl Bench {
    pub async fn new(mode: Mode, scope: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store(Embedded::open(&folder.path().join("secrets.db")).unwrap());
        store.write(PATH, &[("api_key", "sk-old-value"), ("account", "acct-77")]).await;
        let journal =
            Journal::open(&folder.path().join("journal"), NoteSigner::from_seed("test", &[1; 32]).unwrap())
                .unwrap();
        let sealer = Arc::new(Sealer::load_or_create(&folder.path().join("seal.key")).unwrap());
        let run = RunId::new();
        let facts = Facts {
            run,
            started: jiff::Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
            reason: "a test".to_owned(),
            seed: [9; 32],
        };
        let gate = Gate::new(Setup {
            facts,
            mode,
            scope: Scope::parse(scope, "scope.toml").unwrap(),
            plan: None,
            window: None,
            watch: None,
            estate: estate(folder.path()),
            journal: journal.clone(),
            sealer: Arc::clone(&sealer),
        });
        Self { store, ctx: Ctx::new(gate, [9; 32], BUILT_IN.clone()), run, journal, sealer, folder }
    }

    pub async fn live() -> Self {
        Self::new(Mode::Live, WIDE).await
    }

    /// Everything the run wrote so far.
    pub fn records(&self) -> Vec<Record> {
        // From within a test's runtime: the flush waits on one of its own.
        let journal = &self.journal;
        std::thread::scope(|scope| {
            let flush =
                || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(journal.flush());
            scope.spawn(flush).join().unwrap().unwrap();
        });
        self.journal.reader().unwrap().run(&self.run).unwrap().into_iter().map(|(_, record)| record).collect()
    }

    pub fn intents(&self) -> Vec<Intent> {
        let records = self.records().into_iter();
        records
            .filter_map(|record| if let Event::Intent(intent) = record.event { Some(intent) } else { None })
            .collect()
    }

    /// The arguments of every logged line.
    pub fn lines(&self) -> Vec<String> {
        let intents = self.intents().into_iter().filter(|intent| intent.operation == "remit:host/log.write");
        intents.map(|intent| intent.arguments.get().to_owned()).collect()
    }

    /// A run of the same secrets that may do what `plan` has.
    pub fn planned(&self, plan: Plan) -> Ctx {
        let facts = Facts {
            run: RunId::new(),
            started: jiff::Timestamp::UNIX_EPOCH,
            reason: "a test".to_owned(),
            seed: [9; 32],
        };
        let gate = Gate::new(Setup {
            facts,
            mode: Mode::Live,
            scope: Scope::parse(WIDE, "scope.toml").unwrap(),
            plan: Some(plan),
            window: None,
            watch: None,
            estate: estate(self.folder.path()),
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.sealer),
        });
        Ctx::new(gate, [9; 32], BUILT_IN.clone())
    }

    /// The same secrets, past the gate.
    pub fn secrets(&self) -> Secrets {
        secrets(self.folder.path())
    }

    /// Someone removes a secret with all its versions, which no operation does.
    pub fn remove(&self, path: &str) {
        let db = rusqlite::Connection::open(self.folder.path().join("secrets.db")).unwrap();
        assert!(db.execute("DELETE FROM version WHERE path = ?1", [path]).unwrap() > 0);
    }

    fn undo_gate(&self) -> UndoGate {
        UndoGate {
            run: self.run,
            estate: estate(self.folder.path()),
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.sealer),
        }
    }

    pub async fn undo(&self, intent: &Intent) -> UndoResult {
        BUILT_IN.operation(&intent.operation).unwrap().undo(&self.undo_gate(), intent).await.unwrap()
    }

    pub async fn state(&self, intent: &Intent) -> State {
        BUILT_IN.operation(&intent.operation).unwrap().state(&self.undo_gate(), intent).await.unwrap()
    }
}
