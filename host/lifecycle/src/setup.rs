//! Configuration and rules as they were read last. They are read again when one of their files changes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use remit_capability::Registry;
use remit_capability::accounts::Accounts;
use remit_capability::connected::Connector;
use remit_connector::component::Connected;
use remit_engine::{Engine, Publishers};
use remit_gate::Estate;

use crate::{Config, Error, Home, Rules, connectors};

/// The configuration, with everything that it names opened.
#[derive(Debug)]
pub struct Setup {
    /// The parsed `remit.toml`.
    pub config: Config,
    /// The publishers whose actions may run.
    pub publishers: Publishers,
    /// The real systems that runs can reach.
    pub estate: Estate,
    /// The connectors of the configuration.
    pub connectors: Vec<Arc<Connected>>,
    /// What serves accounts by the host itself.
    pub accounts: Vec<Arc<Accounts>>,
    /// Those of both that cannot be used, and why.
    pub unusable: Vec<(String, Error)>,
    /// Every interface that actions can import here.
    pub registry: Registry,
}

impl Home {
    /// Every interface that actions can import here, for who only looks. What cannot be read is not offered.
    #[must_use]
    pub fn registry(&self) -> Registry {
        let Ok(config) = self.load() else { return Registry::default() };
        if config.connectors.is_empty() && config.accounts.is_empty() {
            return Registry::default();
        }
        let setup = Engine::new(self.look_into_cache())
            .map_err(Error::from)
            .and_then(|engine| self.setup(config, &Arc::new(engine), &[]));
        setup.map(|setup| setup.registry).unwrap_or_default()
    }

    /// `more` serve beside the connectors of the configuration.
    pub(crate) fn setup(
        &self,
        config: Config,
        engine: &Arc<Engine>,
        more: &[Arc<dyn Connector>],
    ) -> Result<Setup, Error> {
        let publishers = Publishers(Config::publishers(self.path(), &config.trust.publishers)?);
        let (mut connectors, mut unusable) = (Vec::new(), Vec::new());
        for entry in &config.connectors {
            // It is not offered. What does not need it goes on, and what was changed through it can be taken back.
            match connectors::open(self, entry, &publishers, engine) {
                Ok(connector) => connectors.push(Arc::new(connector)),
                Err(error) => {
                    tracing::warn!(connector = entry.name, %error, "a connector cannot be used");
                    unusable.push((entry.name.clone(), error));
                }
            }
        }
        let mut accounts = Vec::new();
        for entry in &config.accounts {
            match connectors::accounts(self, entry, &config) {
                Ok(opened) => accounts.push(Arc::new(opened)),
                Err(error) => {
                    tracing::warn!(accounts = entry.name, %error, "a system with accounts cannot be used");
                    unusable.push((entry.name.clone(), error));
                }
            }
        }
        let serving = connectors.iter().map(|connector| Arc::clone(connector) as Arc<dyn Connector>);
        let own = accounts.iter().map(|accounts| Arc::clone(accounts) as Arc<dyn Connector>);
        let serving: Vec<_> = serving.chain(own).chain(more.iter().cloned()).collect();
        let registry = Registry::new(&serving).map_err(|why| Error::Connectors { why })?;
        let estate = config.estate(self.path())?;
        Ok(Setup { config, publishers, estate, connectors, accounts, unusable, registry })
    }
}

/// The identity and state of a file: device, inode, size, and time of the last status change. It differs after every
/// change, because no program can set the last.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

/// How old a file's last change must be so that the next one gives it another stamp: file systems round times to two seconds
/// at worst.
const SETTLED: i64 = 3;

/// Files, each with its [`Stamp`] when it was read.
#[derive(Debug, Default)]
struct Stamps {
    files: Vec<(PathBuf, Stamp)>,
    /// Whether any change since gives a file another stamp. One that was changed just now can be changed again within the
    /// same tick of the clock, and look the same.
    settled: bool,
}

impl Stamps {
    fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let now = Timestamp::now().as_second();
        let files: Vec<_> = files.into_iter().map(|file| (file.clone(), stamp(&file))).collect();
        let settled = |stamp: &Stamp| stamp.is_none_or(|(.., changed, _)| now - changed > SETTLED);
        Self { settled: files.iter().all(|(_, stamp)| settled(stamp)), files }
    }

    fn and(mut self, more: Self) -> Self {
        self.files.extend(more.files);
        self.settled &= more.settled;
        self
    }

    fn are_current(&self) -> bool {
        self.settled && !self.files.is_empty() && self.files.iter().all(|(file, was)| stamp(file) == *was)
    }
}

/// A value that was read from files, and the stamps of these files from before they were read.
#[derive(Debug)]
struct Snapshot<T> {
    from: Stamps,
    value: Arc<T>,
}

/// The configuration and the rules that were read last.
#[derive(Debug)]
pub(crate) struct Watched {
    home: Home,
    engine: Arc<Engine>,
    setup: Mutex<Option<Snapshot<Setup>>>,
    rules: Mutex<Option<Snapshot<Rules>>>,
    stand_ins: Mutex<Vec<Arc<dyn Connector>>>,
}

impl Watched {
    pub(crate) fn new(home: &Home, engine: &Arc<Engine>) -> Self {
        Self {
            home: home.clone(),
            engine: Arc::clone(engine),
            setup: Mutex::default(),
            rules: Mutex::default(),
            stand_ins: Mutex::default(),
        }
    }

    /// Connectors that serve beside those of the configuration.
    pub(crate) fn stand_ins(&self) -> Vec<Arc<dyn Connector>> {
        self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_stand_ins(&self, connectors: Vec<Arc<dyn Connector>>) {
        *self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner) = connectors;
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn setup(&self) -> Result<Arc<Setup>, Error> {
        current(&self.setup, || {
            // The stamp is taken before the file is read, so that a change in between is found the next time.
            let stamps = Stamps::of([self.home.config()]);
            let config = self.home.load()?;
            let publishers = config.trust.publishers.iter().map(|file| self.home.path().join(file));
            let stamps = stamps.and(Stamps::of(publishers));
            let components = config.connectors.iter().map(|entry| connectors::file(&self.home, entry));
            let stamps = stamps.and(Stamps::of(components));
            Ok((stamps, self.home.setup(config, &self.engine, &self.stand_ins())?))
        })
    }

    pub(crate) fn rules(&self) -> Result<Arc<Rules>, Error> {
        current(&self.rules, || {
            // Policies know the kinds of resources that connectors serve.
            let stamps = Stamps::of(self.home.files_of_rules()?).and(Stamps::of([self.home.config()]));
            let entries = self.home.load().map(|config| config.connectors).unwrap_or_default();
            let components = entries.iter().map(|entry| connectors::file(&self.home, entry));
            let stamps = stamps.and(Stamps::of(components));
            Ok((stamps, self.home.rules()?))
        })
    }
}

/// Returns the snapshot if its files did not change, and reads them again otherwise. If that fails, the old value is not in
/// force any more.
fn current<T>(
    snapshot: &Mutex<Option<Snapshot<T>>>,
    read: impl FnOnce() -> Result<(Stamps, T), Error>,
) -> Result<Arc<T>, Error> {
    let mut snapshot = snapshot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(snapshot) = &*snapshot
        && snapshot.from.are_current()
    {
        return Ok(Arc::clone(&snapshot.value));
    }
    let before = snapshot.take();
    let (from, value) = read()?;
    if before.is_some_and(|before| before.from.files != from.files) {
        tracing::info!(files = from.files.len(), "configuration or rules were read again");
    }
    let value = Arc::new(value);
    *snapshot = Some(Snapshot { from, value: Arc::clone(&value) });
    Ok(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]
mod tests {
    use super::*;

    /// Within one tick of the clock a file can be read, and written again with as many bytes.
    #[test]
    fn what_was_changed_just_now_is_read_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("principals.toml");
        for kind in ["agent", "human"] {
            fs::write(&file, kind).unwrap();
            assert!(!Stamps::of([file.clone()]).are_current(), "{kind}");
        }
        std::thread::sleep(std::time::Duration::from_secs(5));
        let settled = Stamps::of([file.clone()]);
        assert!(settled.are_current());
        fs::write(&file, "agent").unwrap();
        assert!(!settled.are_current());
        let missing = Stamps::of([folder.path().join("none")]);
        assert!(missing.are_current());
    }
}
