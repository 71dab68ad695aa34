//! What a rehearsal believes to have cut.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_journal::RunId;

use super::place::{Connection, Cut, Draft, TrafficView};
use super::target::Target;
use crate::secrets::BoxFuture;

/// A place as one rehearsal sees it: the live one, but for what the rehearsal has cut. It can look at the live place and has no way to
/// change it.
pub struct PlayedTraffic {
    live: Arc<dyn TrafficView>,
    cuts: Mutex<BTreeMap<String, Cut>>,
}

impl PlayedTraffic {
    pub(super) fn new(live: Arc<dyn TrafficView>) -> Self {
        Self { live, cuts: Mutex::default() }
    }

    /// The same place for another rehearsal.
    pub(super) fn again(&self) -> Self {
        Self::new(Arc::clone(&self.live))
    }

    /// Plays a cut.
    pub fn cut(&self, target: &Target, draft: &Draft, run: RunId) {
        let cut = Cut { rules: draft.rules, run: Some(run), refused: 0 };
        self.cuts().insert(target.to_string(), cut);
    }

    fn cuts(&self) -> MutexGuard<'_, BTreeMap<String, Cut>> {
        // A map that is whole after a panic elsewhere.
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn played(&self, target: &Target) -> Option<Cut> {
        self.cuts().get(&target.to_string()).cloned()
    }
}

impl TrafficView for PlayedTraffic {
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Option<Cut>> {
        Box::pin(async move {
            let live = self.live.look(target).await?;
            Ok(self.played(target).or(live))
        })
    }

    fn look_again<'a>(&'a self, draft: &'a Draft) -> BoxFuture<'a, Option<Cut>> {
        self.live.look_again(draft)
    }

    fn draft<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Draft> {
        self.live.draft(target)
    }

    fn connections<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Vec<Connection>> {
        Box::pin(async move {
            let live = self.live.connections(target).await?;
            Ok(if self.played(target).is_some() { Vec::new() } else { live })
        })
    }

    fn check(&self) -> BoxFuture<'_, String> {
        self.live.check()
    }
}

impl std::fmt::Debug for PlayedTraffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PlayedTraffic({:?})", self.cuts().keys())
    }
}
