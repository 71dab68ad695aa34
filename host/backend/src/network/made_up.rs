//! A place in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_gate::{Authority, Failure};
use remit_journal::RunId;
use remit_trust::Digest;

use super::place::{Connection, Cut, Draft, Traffic, TrafficView, apart, cut_already};
use super::target::Target;
use crate::secrets::BoxFuture;

/// A made-up place with some workloads, each with the other ends of its connections.
#[derive(Debug, Default)]
pub struct MadeUpTraffic {
    workloads: BTreeMap<String, Vec<String>>,
    cuts: Mutex<BTreeMap<String, Cut>>,
    /// The workloads that were made anew: their names are another one's now.
    anew: Mutex<BTreeSet<String>>,
}

impl MadeUpTraffic {
    /// A place with these workloads, by their targets, each with the other ends of its connections.
    #[must_use]
    pub fn new(workloads: BTreeMap<String, Vec<String>>) -> Self {
        Self { workloads, ..Self::default() }
    }

    fn cuts(&self) -> MutexGuard<'_, BTreeMap<String, Cut>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, target: &Target) -> Result<&Vec<String>, Failure> {
        let known = self.workloads.get(&target.to_string());
        known.ok_or_else(|| Failure::NotFound(format!("there is no workload {target}")))
    }

    fn namespace(&self, target: &str) -> u64 {
        u64::from(self.anew.lock().unwrap_or_else(PoisonError::into_inner).contains(target))
    }

    /// Takes a workload away with whatever was cut of it, and makes another one of its name, as somebody else would.
    pub fn make_anew(&self, target: &str) {
        self.cuts().remove(target);
        self.anew.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_owned());
    }

    /// Changes the rules of a workload that is cut, as somebody else would; makes some of nobody's if it is not.
    pub fn meddle(&self, target: &str) {
        let theirs = Cut { rules: Digest::of(b"theirs"), run: None, refused: 0 };
        self.cuts()
            .entry(target.to_owned())
            .and_modify(|cut| cut.rules = theirs.rules)
            .or_insert(theirs.clone());
    }

    /// Takes the rules of a workload away, as somebody else would.
    pub fn flush(&self, target: &str) {
        self.cuts().remove(target);
    }

    /// How a workload is cut, to compare.
    #[must_use]
    pub fn made(&self, target: &str) -> Option<Cut> {
        self.cuts().get(target).cloned()
    }
}

impl TrafficView for MadeUpTraffic {
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Option<Cut>> {
        Box::pin(async move {
            self.known(target)?;
            Ok(self.made(&target.to_string()))
        })
    }

    fn look_again<'a>(&'a self, draft: &'a Draft) -> BoxFuture<'a, Option<Cut>> {
        Box::pin(async move {
            Ok(self.made(&draft.table).filter(|_| self.namespace(&draft.table) == draft.namespace))
        })
    }

    fn draft<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Draft> {
        Box::pin(async move {
            self.known(target)?;
            let table = target.to_string();
            let rules = Digest::of(table.as_bytes());
            Ok(Draft { namespace: self.namespace(&table), cgroup: None, table, allow: Vec::new(), rules })
        })
    }

    fn connections<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Vec<Connection>> {
        Box::pin(async move {
            let connection = |remote: &String| Connection {
                local: "10.0.0.1:40000".to_owned(),
                remote: remote.clone(),
                state: "established".to_owned(),
            };
            let known = self.known(target)?;
            // What was connected is reset.
            let is_cut = self.cuts().contains_key(&target.to_string());
            Ok(if is_cut { Vec::new() } else { known.iter().map(connection).collect() })
        })
    }

    fn check(&self) -> BoxFuture<'_, String> {
        Box::pin(async move { Ok("a made-up place".to_owned()) })
    }
}

impl Traffic for MadeUpTraffic {
    fn cut<'a>(
        &'a self,
        target: &'a Target,
        draft: &'a Draft,
        run: RunId,
        _: Authority<'a>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let table = target.to_string();
            if self.namespace(&table) != draft.namespace {
                return Err(Failure::Conflict(format!("{target} is another one now")));
            }
            let mut cuts = self.cuts();
            if let Some(cut) = cuts.get(&table) {
                return Err(cut_already(target, cut));
            }
            cuts.insert(table, Cut { rules: draft.rules, run: Some(run), refused: 0 });
            Ok(())
        })
    }

    fn restore<'a>(&'a self, draft: &'a Draft, run: RunId, _: Authority<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut cuts = self.cuts();
            match cuts.get(&draft.table).map(|cut| apart(cut, draft, run)) {
                None => Err(Failure::Conflict("it is gone already".to_owned())),
                Some(Some(why)) => Err(Failure::Conflict(why)),
                Some(None) => {
                    cuts.remove(&draft.table);
                    Ok(())
                }
            }
        })
    }
}
