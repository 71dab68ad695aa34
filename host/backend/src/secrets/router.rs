//! Every store of secrets behind one handle, which is all that operations see.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_gate::{Failure, Resource};
use remit_text::Mistake;
use remit_text::Table;

use super::config::{SecretsConfig, Serving};
use super::embedded::Embedded;
use super::generator::Generator;
use super::openbao::OpenBao;
use super::played::Played;
use super::store::{KIND, SecretStore, SecretView, Turn};
use crate::error::BackendError;
use crate::routes::Routes;
use crate::systems::{Checked, Systems};

/// Every store, by the prefix of the paths it serves. Cheap to clone; a clone is part of the same run.
#[derive(Clone, Debug)]
pub struct Secrets {
    routes: Routes<Served>,
    /// The versions that this run disabled or enabled, by path and number, and which of the two.
    turned: Arc<Mutex<BTreeMap<(String, u64), Turn>>>,
}

/// A store, and what makes its fresh values.
struct Served {
    reach: Reach,
    generator: Generator,
}

/// A store that can be changed, or what a rehearsal has in its place.
enum Reach {
    Store(Arc<dyn SecretStore>),
    Played(Played),
}

impl Served {
    fn view(&self) -> &dyn SecretView {
        match &self.reach {
            Reach::Store(store) => &**store,
            Reach::Played(played) => played,
        }
    }

    fn for_rehearsal(&self) -> Self {
        let played = match &self.reach {
            Reach::Store(store) => Played::new(Arc::clone(store) as Arc<dyn SecretView>),
            Reach::Played(played) => played.again(),
        };
        Self { reach: Reach::Played(played), generator: self.generator.clone() }
    }
}

impl Secrets {
    /// Routes paths to stores; each prefix is a canonical path, or empty for all paths.
    pub fn new(routes: Vec<(String, Arc<dyn SecretStore>, Generator)>) -> Result<Self, BackendError> {
        let served = routes.into_iter().map(|(prefix, store, generator)| {
            (prefix, Arc::new(Served { reach: Reach::Store(store), generator }))
        });
        Ok(Self { routes: Routes::new(KIND, served.collect())?, turned: Arc::default() })
    }

    /// The same secrets for one run.
    #[must_use]
    pub fn for_run(&self) -> Self {
        Self { routes: self.routes.clone(), turned: Arc::default() }
    }

    /// The same secrets for one rehearsal: it looks at the stores, and plays its changes here.
    #[must_use]
    pub fn for_rehearsal(&self) -> Self {
        let routes = self.routes.map(|served| Arc::new(served.for_rehearsal()));
        Self { routes, turned: Arc::default() }
    }

    /// Whether this run disabled or enabled a version, or played it; none if neither.
    #[must_use]
    pub fn turned(&self, resource: &Resource, version: u64) -> Option<Turn> {
        self.turns().get(&(resource.path().to_owned(), version)).copied()
    }

    /// Notes that this run disables or enables a version. The first note stays: what comes after it is to destroy the version, which
    /// may fail, or to take the first back.
    pub fn note_turn(&self, resource: &Resource, version: u64, turn: Turn) {
        if turn != Turn::Destroy {
            self.turns().entry((resource.path().to_owned(), version)).or_insert(turn);
        }
    }

    /// Takes back the note of a turn that did not come about, and no other.
    pub fn forget_turn(&self, resource: &Resource, version: u64, turn: Turn) {
        let (mut turns, of) = (self.turns(), (resource.path().to_owned(), version));
        if turns.get(&of) == Some(&turn) {
            turns.remove(&of);
        }
    }

    /// Refuses to read a version that this run enabled. A rehearsal cannot, because it is disabled then; and a run is not given what its
    /// rehearsal is not.
    pub fn may_read(&self, resource: &Resource, version: u64) -> Result<(), Failure> {
        match self.turned(resource, version) {
            Some(Turn::Enable) => Err(Failure::Conflict(format!(
                "this run has enabled version {version} of {resource}: what is in it is for another run"
            ))),
            _ => Ok(()),
        }
    }

    fn turns(&self) -> MutexGuard<'_, BTreeMap<(String, u64), Turn>> {
        // A map that is whole after a panic elsewhere.
        self.turned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be seen of the store that serves a secret, and what makes its fresh values.
    pub fn at(&self, resource: &Resource) -> Result<(&dyn SecretView, &Generator), Failure> {
        let served = self.routes.at(resource)?;
        Ok((served.view(), &served.generator))
    }

    /// The store that serves a secret, to change it. A rehearsal has none.
    pub fn store(&self, resource: &Resource) -> Result<&dyn SecretStore, Failure> {
        match &self.routes.at(resource)?.reach {
            Reach::Store(store) => Ok(&**store),
            Reach::Played(_) => Err(Failure::Denied(format!("a rehearsal does not change {resource}"))),
        }
    }

    /// Where a rehearsal plays its changes of a secret; none in a run.
    #[must_use]
    pub fn played(&self, resource: &Resource) -> Option<&Played> {
        match &self.routes.at(resource).ok()?.reach {
            Reach::Store(_) => None,
            Reach::Played(played) => Some(played),
        }
    }
}

impl Systems for Secrets {
    const SECTION: &'static str = "secrets";
    type Entry = SecretsConfig;

    fn read(entry: Table<'_>) -> Result<SecretsConfig, Mistake> {
        SecretsConfig::read(entry)
    }

    fn open(entries: &[SecretsConfig], home: &Path) -> Result<Self, BackendError> {
        let routes = entries.iter().map(|entry| {
            let store: Result<Arc<dyn SecretStore>, BackendError> = match &entry.serving {
                Serving::Embedded(config) => {
                    Embedded::open(&home.join(&config.file)).map(|store| Arc::new(store) as _)
                }
                Serving::Openbao(config) => OpenBao::open(config, home).map(|store| Arc::new(store) as _),
            };
            let store = store.map_err(|problem| problem.of(Self::SECTION, entry.to_string()))?;
            Ok((entry.prefix.clone(), store, entry.generator.clone()))
        });
        Self::new(routes.collect::<Result<_, BackendError>>()?)
    }

    async fn check(&self) -> Vec<Checked> {
        let mut checked = Vec::new();
        for (prefix, served) in self.routes.iter() {
            let what = format!("{} {}", Self::SECTION, if prefix.is_empty() { "**" } else { prefix });
            let found = served.view().check(prefix).await.map_err(Into::into);
            checked.push(Checked { what, found });
        }
        checked
    }
}
