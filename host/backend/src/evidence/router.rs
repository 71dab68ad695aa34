//! Every place that keeps evidence behind one handle, which is all that operations see.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_gate::{Authority, Facts, Failure, Mode, Resource};
use remit_journal::RunId;
use remit_text::{Mistake, Table};
use remit_trust::Digest;

use super::bucket::Bucket;
use super::collect;
use super::config::EvidenceConfig;
use super::folder::Folder;
use super::place::{Custody, EvidencePlace, Gathered, Held, KIND, Kept};
use crate::network::Target;
use crate::routes::Routes;
use crate::secrets::BoxFuture;
use crate::{BackendError, Checked, Systems, Trouble};

/// Every place, by its name. Cheap to clone; a clone is part of the same run.
#[derive(Clone, Debug)]
pub struct Evidence {
    routes: Routes<dyn EvidencePlace>,
    /// The run that this is a part of, and its reason.
    run: Option<(RunId, String)>,
    /// Whether it only plays what it keeps.
    rehearses: bool,
    /// The archives of this run, by their names.
    archives: Arc<Mutex<BTreeMap<String, Aside>>>,
}

/// What this run has of an archive.
#[derive(Debug)]
enum Aside {
    /// It was gathered, and is not kept yet. It is too large for the journal, which has its digest.
    Gathered(Gathered),
    /// It was kept, or nobody knows; or a rehearsal plays that it was.
    Kept(Digest),
}

impl Evidence {
    /// Places by their names.
    pub fn new(places: Vec<(String, Arc<dyn EvidencePlace>)>) -> Result<Self, BackendError> {
        Ok(Self { routes: Routes::new(KIND, places)?, run: None, rehearses: false, archives: Arc::default() })
    }

    /// The same places for one run. A rehearsal gathers as a run does, and keeps nothing.
    #[must_use]
    pub fn for_run(&self, facts: &Facts, mode: Mode) -> Self {
        let run = Some((facts.run, facts.reason.clone()));
        let rehearses = mode == Mode::Rehearse;
        Self { routes: self.routes.clone(), run, rehearses, archives: Arc::default() }
    }

    /// The place that is for a workload.
    pub fn at(&self, resource: &Resource) -> Result<&dyn EvidencePlace, Failure> {
        self.routes.at(resource)
    }

    /// For whom evidence of a workload is gathered.
    pub fn custody(&self, resource: &Resource) -> Result<Custody, Failure> {
        let Some((run, reason)) = &self.run else {
            return Err(Failure::Invalid("evidence is kept by a run only".to_owned()));
        };
        Ok(Custody { workload: resource.path().to_owned(), run: *run, reason: reason.clone() })
    }

    /// Whether this run has kept this archive, or played that it did.
    #[must_use]
    pub fn has_kept(&self, archive: &str) -> bool {
        matches!(self.archives().get(archive), Some(Aside::Kept(_)))
    }

    /// The digest of an archive that a rehearsal played to keep; none in a run.
    #[must_use]
    pub fn played(&self, archive: &str) -> Option<Digest> {
        match self.archives().get(archive) {
            Some(Aside::Kept(digest)) if self.rehearses => Some(*digest),
            _ => None,
        }
    }

    /// Puts aside what is to be kept next.
    pub fn put_aside(&self, archive: &str, gathered: Gathered) {
        self.archives().insert(archive.to_owned(), Aside::Gathered(gathered));
    }

    /// Takes what was put aside; the archive counts as kept from now on.
    pub fn take(&self, kept: &Kept) -> Result<Gathered, Failure> {
        match self.archives().insert(kept.archive.clone(), Aside::Kept(kept.sha256)) {
            Some(Aside::Gathered(gathered)) => Ok(gathered),
            _ => {
                Err(Failure::Invalid(format!("what was gathered for {} is not there any more", kept.archive)))
            }
        }
    }

    /// Forgets an archive that was not kept, so that it can be gathered again.
    pub fn forget(&self, archive: &str) {
        self.archives().remove(archive);
    }

    fn archives(&self) -> MutexGuard<'_, BTreeMap<String, Aside>> {
        // A map that is whole after a panic elsewhere.
        self.archives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A configured place: what it gathers, and where that is kept.
struct Configured {
    entry: EvidenceConfig,
    store: Arc<Store>,
}

enum Store {
    Folder(Folder),
    Bucket(Box<Bucket>),
}

impl Configured {
    fn open(entry: &EvidenceConfig, home: &Path) -> Result<Self, BackendError> {
        entry.check()?;
        let store = match (&entry.directory, &entry.bucket) {
            (_, Some(bucket)) => Store::Bucket(Box::new(Bucket::open(bucket, home)?)),
            (directory, None) => Store::Folder(Folder::new(directory.clone().unwrap_or_default())),
        };
        Ok(Self { entry: entry.clone(), store: Arc::new(store) })
    }

    /// Runs what waits for the disk or the network on a thread. It runs to its end even if its caller stops waiting.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .unwrap_or_else(|_| Err(Failure::Unavailable("the store of evidence did not finish".to_owned())))
    }
}

impl EvidencePlace for Configured {
    fn gather<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Gathered> {
        Box::pin(collect::gather(&self.entry, target))
    }

    fn kept(&self, name: &str, bytes: &[u8]) -> Kept {
        let (store, until) = match &*self.store {
            Store::Folder(folder) => (folder.shown(), None),
            Store::Bucket(bucket) => (bucket.shown(), Some(bucket.until())),
        };
        let sha256 = Digest::of(bytes);
        Kept { archive: name.to_owned(), sha256, size: bytes.len() as u64, store, until }
    }

    fn held<'a>(&'a self, kept: &'a Kept) -> BoxFuture<'a, Held> {
        let kept = kept.clone();
        Box::pin(self.blocking(move |store| match store {
            Store::Folder(folder) => folder.held(&kept),
            Store::Bucket(bucket) => bucket.held(&kept),
        }))
    }

    fn keep<'a>(
        &'a self,
        kept: &'a Kept,
        bytes: Vec<u8>,
        manifest: Vec<u8>,
        _: Authority<'a>,
    ) -> BoxFuture<'a, ()> {
        let kept = kept.clone();
        Box::pin(self.blocking(move |store| match store {
            Store::Folder(folder) => folder.keep(&kept, &bytes, &manifest),
            Store::Bucket(bucket) => bucket.keep(&kept, &bytes, &manifest),
        }))
    }

    fn check(&self) -> BoxFuture<'_, String> {
        Box::pin(self.blocking(|store| match store {
            Store::Folder(folder) => folder.check(),
            Store::Bucket(bucket) => bucket.check(),
        }))
    }
}

impl Systems for Evidence {
    const SECTION: &'static str = "evidence";
    type Entry = EvidenceConfig;

    fn read(entry: Table<'_>) -> Result<EvidenceConfig, Mistake> {
        EvidenceConfig::read(entry)
    }

    fn open(entries: &[EvidenceConfig], home: &Path) -> Result<Self, BackendError> {
        let places = entries.iter().map(|entry| {
            let place = Configured::open(entry, home);
            let place = place.map_err(|problem| problem.of(Self::SECTION, entry.name.clone()))?;
            Ok((entry.name.clone(), Arc::new(place) as Arc<dyn EvidencePlace>))
        });
        Self::new(places.collect::<Result<_, BackendError>>()?)
    }

    async fn check(&self) -> Vec<Checked> {
        let mut checked = Vec::new();
        for (name, place) in self.routes.iter() {
            let found = place.check().await.map_err(|failure| Trouble {
                fix: match failure {
                    Failure::Denied(_) => "let Remit write there, or give its key the policy that docs/configuration.md has",
                    Failure::Unavailable(_) => "start or repair that store, and check its entry in remit.toml",
                    _ => "make the directory, for the host's user alone (mode 0700), or correct the entry in remit.toml",
                },
                why: failure.to_string(),
            });
            checked.push(Checked { what: format!("{} {name}", Self::SECTION), found });
        }
        checked
    }
}
