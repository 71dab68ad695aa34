//! The smallest operation that reaches a store's changes, and a gate to call it through: there is no
//! other way to an [`Authority`](remit_gate::Authority).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use remit_backend::{Fields, Secrets, Target, Turn};
use remit_gate::{
    Changes, Countermeasure, Estate, Facts, Failure, Gate, Mode, Operation, Permit, Prepared, Resource,
    Scope, Setup, State,
};
use remit_journal::{Journal, RunId};
use remit_tlog::NoteSigner;
use remit_trust::Sealer;
use serde::{Deserialize, Serialize};

/// What is done to a secret. Values are arguments here, as they would never be in a real operation.
#[derive(Serialize, Deserialize)]
pub enum Change {
    Put { expected: u64, fields: BTreeMap<String, String> },
    Disable(u64),
    Enable(u64),
    Destroy(u64),
}

#[derive(Serialize, Deserialize)]
struct Raw {
    secret: Resource,
    change: Change,
}

impl Operation for Raw {
    const NAME: &'static str = "remit:test/raw.change";
    type Kind = Changes;
    type Backend = Secrets;
    type Outcome = u64;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.secret)
    }
}

impl remit_gate::Change for Raw {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;
    type Undo = ();

    async fn prepare(&self, _: &Secrets) -> Result<Prepared<()>, Failure> {
        Ok(Prepared { undo: (), secret: None, irrevocable: None })
    }

    fn rehearse(&self, _: &Prepared<()>, _: &Secrets) -> u64 {
        0
    }

    async fn perform(on: &Secrets, by: Permit<'_, Self>) -> Result<u64, Failure> {
        let Self { secret, change } = by.operation();
        let (store, target) = (on.store(secret)?, Target { secret, identity: None });
        let (version, turn) = match change {
            Change::Put { expected, fields } => {
                let fields: Fields = fields.clone().into_iter().collect();
                return store.put(target, &fields, *expected, by.authority()).await;
            }
            Change::Disable(version) => (version, Turn::Disable),
            Change::Enable(version) => (version, Turn::Enable),
            Change::Destroy(version) => (version, Turn::Destroy),
        };
        store.turn(target, *version, turn, by.authority()).await.map(|()| 0)
    }

    async fn state(&self, _: &Prepared<()>, _: &Secrets) -> Result<State, Failure> {
        Ok(State::After)
    }

    async fn undo(_: &Secrets, _: Permit<'_, Self>) -> Result<(), Failure> {
        Err(Failure::Invalid("not undone here".to_owned()))
    }

    fn describe_undo(&self, (): &()) -> String {
        String::new()
    }
}

const SCOPE: &str = r#"
[[allow]]
capability = "remit:test/raw"
resources = ["secret:**"]
[limits]
changes = 1000
"#;

/// A gate over `secrets`.
pub struct Bench {
    gate: Gate,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub fn new(secrets: Secrets) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signer = NoteSigner::from_seed("test", &[1; 32]).unwrap();
        let facts = Facts {
            run: RunId::new(),
            started: jiff::Timestamp::UNIX_EPOCH,
            reason: "a test".to_owned(),
            seed: [0; 32],
        };
        let gate = Gate::new(Setup {
            facts,
            mode: Mode::Live,
            scope: Scope::parse(SCOPE, "scope.toml").unwrap(),
            plan: None,
            window: None,
            watch: None,
            estate: Estate::default().with(secrets),
            journal: Journal::open(&folder.path().join("journal.db"), signer).unwrap(),
            sealer: Arc::new(Sealer::load_or_create(&folder.path().join("seal.key")).unwrap()),
        });
        Self { gate, _folder: folder }
    }

    pub async fn change(&self, path: &str, change: Change) -> Result<u64, Failure> {
        self.gate.change(Raw { secret: secret(path), change }).await.unwrap()
    }

    pub async fn put(&self, path: &str, expected: u64, fields: &[(&str, &str)]) -> Result<u64, Failure> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.change(path, Change::Put { expected, fields }).await
    }
}

pub fn secret(path: &str) -> Resource {
    Resource::new("secret", path).unwrap()
}
