//! What a rehearsal believes to have changed of secrets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use remit_gate::Resource;

use super::fields::Fields;
use super::store::{
    Act, BoxFuture, Metadata, Right, SecretView, Turn, Version, VersionState, check_version, unreadable,
};

/// A store as one rehearsal sees it: the live one, until the rehearsal has changed a secret; from then on, that
/// secret as the change would have left it. It can look at the live store and has no way to change it.
pub struct Played {
    live: Arc<dyn SecretView>,
    scene: Mutex<Scene>,
}

#[derive(Default)]
struct Scene {
    /// What was last seen of each secret that is not played.
    seen: BTreeMap<String, Metadata>,
    played: BTreeMap<String, Known>,
}

/// A secret that the rehearsal changed.
struct Known {
    metadata: Metadata,
    /// The fields that the rehearsal wrote, by version number.
    written: BTreeMap<u64, Fields>,
}

impl Played {
    pub(crate) fn new(live: Arc<dyn SecretView>) -> Self {
        Self { live, scene: Mutex::default() }
    }

    /// The same store for another rehearsal.
    pub(crate) fn again(&self) -> Self {
        Self::new(Arc::clone(&self.live))
    }

    /// Plays a new version.
    pub fn put(&self, secret: &Resource, fields: Fields) {
        self.change(secret, |known| {
            let number = known.metadata.current + 1;
            let created = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            let version = Version { number, created, state: VersionState::Enabled, expires: None };
            known.metadata.current = number;
            known.metadata.versions.push(version);
            known.written.insert(number, fields);
        });
    }

    /// Plays a change of a version's state.
    pub fn turn(&self, secret: &Resource, version: u64, turn: Turn) {
        self.change(secret, |known| {
            let versions = &mut known.metadata.versions;
            if let Some(version) = versions.iter_mut().find(|known| known.number == version)
                && let Ok(state) = turn.from(secret.path(), version.number, version.state)
            {
                version.state = state;
                version.expires = None;
            }
        });
    }

    /// Changes what was seen as the change was prepared.
    fn change(&self, secret: &Resource, change: impl FnOnce(&mut Known)) {
        let mut scene = self.scene();
        if let Some(metadata) = scene.seen.remove(secret.path()) {
            let known = Known { metadata, written: BTreeMap::new() };
            scene.played.insert(secret.path().to_owned(), known);
        }
        if let Some(known) = scene.played.get_mut(secret.path()) {
            change(known);
        }
    }

    fn scene(&self) -> MutexGuard<'_, Scene> {
        // Maps that are whole after a panic elsewhere.
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn played(&self, secret: &Resource) -> Option<Metadata> {
        self.scene().played.get(secret.path()).map(|known| known.metadata.clone())
    }
}

impl SecretView for Played {
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata> {
        Box::pin(async move {
            if let Some(metadata) = self.played(secret) {
                return Ok(metadata);
            }
            let found = self.live.metadata(secret).await?;
            let mut scene = self.scene();
            // Another call of the same run may have changed it meanwhile.
            if let Some(known) = scene.played.get(secret.path()) {
                return Ok(known.metadata.clone());
            }
            scene.seen.insert(secret.path().to_owned(), found.clone());
            Ok(found)
        })
    }

    fn read<'a>(&'a self, secret: &'a Resource, version: u64) -> BoxFuture<'a, Fields> {
        Box::pin(async move {
            check_version(version)?;
            let path = secret.path();
            if let Some(known) = self.scene().played.get(path) {
                match known.metadata.version(path, version)?.state {
                    VersionState::Enabled => {}
                    state => return Err(unreadable(path, version, state)),
                }
                if let Some(fields) = known.written.get(&version) {
                    return Ok(fields.clone());
                }
            }
            self.live.read(secret, version).await
        })
    }

    fn right<'a>(&'a self, secret: &'a Resource, act: Act) -> BoxFuture<'a, Right> {
        self.live.right(secret, act)
    }

    fn check<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, String> {
        self.live.check(prefix)
    }
}

impl std::fmt::Debug for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Played({:?})", self.scene().played.keys())
    }
}

#[cfg(test)]
mod tests;
