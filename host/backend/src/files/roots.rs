//! The directories of a host, and what one run gets of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cap_std::fs::Dir;
use remit_gate::{Authority, Failure, Resource};
use remit_trust::Digest;

use super::attributes::Attributes;
use super::change::Expected;
use super::limits::{MAX_RUN, Odd};
use super::look;
use super::node::{Entry, Found, Is, Node};
use super::reload::{self, Followed, Reload};

/// The directories of a host, or what one run gets of them.
#[derive(Clone)]
pub struct Files {
    roots: Arc<BTreeMap<String, Root>>,
    /// In the order of the configuration.
    reloads: Arc<Vec<Reload>>,
    granted: Vec<String>,
    /// In a rehearsal: what the action believes to have changed.
    played: Option<Arc<Mutex<BTreeMap<String, Node>>>>,
    moved: Arc<AtomicU64>,
    /// What this run has written, or may have, with secret values, which differ from run to run.
    generated: Arc<Mutex<BTreeSet<String>>>,
    /// In an offline test: the content of each such file, by its digest.
    remembered: Option<Arc<Mutex<BTreeSet<Digest>>>>,
}

/// A directory that was opened with the configuration, or why it was not.
pub(super) type Root = Result<Dir, String>;

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Files({:?})", self.roots.keys())
    }
}

impl Files {
    pub(super) fn new(roots: BTreeMap<String, Root>, reloads: Vec<Reload>) -> Self {
        Self {
            roots: Arc::new(roots),
            reloads: Arc::new(reloads),
            granted: Vec::new(),
            played: None,
            moved: Arc::default(),
            generated: Arc::default(),
            remembered: None,
        }
    }

    /// The same for an offline test, which is to tell contents with generated values from others.
    #[must_use]
    pub fn remembering(mut self) -> Self {
        self.remembered = Some(Arc::default());
        self
    }

    /// Whether runs of this offline test wrote this content with generated values.
    #[must_use]
    pub fn is_generated(&self, content: &[u8]) -> bool {
        self.remembered.as_ref().is_some_and(|all| lock(all).contains(&Digest::of(content)))
    }

    /// What a run gets whose rules begin with these segments; none if no directory is among them.
    #[must_use]
    pub fn for_run<'a>(&self, rules: impl Iterator<Item = &'a str>, rehearsal: bool) -> Option<Self> {
        let rules: Vec<&str> = rules.collect();
        let all = rules.iter().any(|rule| matches!(*rule, "*" | "**"));
        let named = |name: &&String| all || rules.contains(&name.as_str());
        let granted: Vec<String> = self.roots.keys().filter(named).cloned().collect();
        if granted.is_empty() {
            return None;
        }
        Some(Self {
            roots: Arc::clone(&self.roots),
            reloads: Arc::clone(&self.reloads),
            granted,
            played: rehearsal.then(Arc::default),
            moved: Arc::default(),
            generated: Arc::default(),
            remembered: self.remembered.clone(),
        })
    }

    /// Whether this run has, or may have, written this file with generated values.
    #[must_use]
    pub fn has_generated(&self, file: &Resource) -> bool {
        lock(&self.generated).contains(file.path())
    }

    /// Notes that it has, and with which content.
    pub fn note_generated(&self, file: &Resource, content: &Node) {
        lock(&self.generated).insert(file.path().to_owned());
        if let (Some(all), Node::File(file)) = (&self.remembered, content) {
            lock(all).insert(Digest::of(&file.content));
        }
    }

    /// The names of the directories that this run may use, in order.
    #[must_use]
    pub fn granted(&self) -> &[String] {
        &self.granted
    }

    /// Reads what is at a path.
    pub async fn snapshot(&self, of: &Resource) -> Result<Node, Failure> {
        Ok(self.find(of).await?.node)
    }

    /// Reads what is at a path, with the identity of the file or directory.
    pub async fn find(&self, of: &Resource) -> Result<Found, Failure> {
        if let Some(played) = self.played_at(of.path()) {
            return Ok(Found::only(played));
        }
        self.on_disk(of, look::snapshot).await
    }

    /// Why nothing with these attributes could be made in a directory, or made again; none if it could. This is tried
    /// on an unnamed file. For a directory that exists only in the rehearsal, the directory on disk that it would be in
    /// is used.
    pub async fn cannot_make(
        &self,
        directory: &Resource,
        wanted: &Attributes,
    ) -> Result<Option<String>, Failure> {
        let mut path = directory.path();
        while self.played_at(path).is_some() {
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => break,
            }
        }
        let on_disk = Resource::new(directory.kind(), path).map_err(|e| Failure::Invalid(e.to_string()))?;
        let wanted = wanted.clone();
        self.on_disk(&on_disk, move |root, path| look::cannot_be_made(root, path, &wanted)).await
    }

    /// What lies in a directory, in the order of the names.
    pub async fn list(&self, of: &Resource) -> Result<Vec<Entry>, Failure> {
        let played = self.played_at(of.path());
        let mut entries: BTreeMap<String, Entry> = match played {
            Some(Node::Directory(_)) => BTreeMap::new(),
            Some(_) => return Err(Failure::NotFound(format!("there is no directory {of}"))),
            None => {
                let listed = self.on_disk(of, look::list).await?;
                listed.into_iter().map(|entry| (entry.name.clone(), entry)).collect()
            }
        };
        if let Some(played) = &self.played {
            for (path, node) in &*lock(played) {
                let Some((parent, name)) = path.rsplit_once('/').filter(|(parent, _)| *parent == of.path())
                else {
                    continue;
                };
                debug_assert_eq!(parent, of.path());
                match Entry::of(name, node) {
                    None => drop(entries.remove(name)),
                    Some(entry) => drop(entries.insert(name.to_owned(), entry)),
                }
            }
        }
        Ok(entries.into_values().collect())
    }

    /// The commands that are run after a change of a file, and after its undo, in words; none if there are none.
    #[must_use]
    pub fn reload_words(&self, of: &Resource) -> Option<String> {
        reload::words(self.reloads.iter().filter(|reload| reload.is_for(of)))
    }

    /// Why whoever reads a file could not be told of a change; none if they could, as far as that can be seen.
    #[must_use]
    pub fn cannot_reload(&self, of: &Resource) -> Option<String> {
        self.reloads.iter().filter(|reload| reload.is_for(of)).find_map(Reload::cannot_run)
    }

    /// Puts `new` where `expected` is, or touches nothing. Then has whoever reads the file read it again; if that fails, puts back what
    /// was there. No program of that begins after `until`, or goes on.
    pub async fn replace(
        &self,
        of: &Resource,
        expected: Expected<'_>,
        new: &Node,
        until: Option<Instant>,
        by: Authority<'_>,
    ) -> Result<(), Failure> {
        self.followed(of, is_of_a_file(expected, new), &by)?.change(expected, new, until).await
    }

    /// Takes a change back: puts `old` where `expected` is, or touches nothing. Then has whoever reads the file read it again.
    pub async fn put_back(
        &self,
        of: &Resource,
        expected: Expected<'_>,
        old: &Node,
        by: Authority<'_>,
    ) -> Result<(), Failure> {
        self.followed(of, is_of_a_file(expected, old), &by)?.put_back(expected, old).await
    }

    /// Has whoever reads a file read it again, which is back as it was. Whether there is anybody.
    pub async fn reload_again(&self, of: &Resource, by: Authority<'_>) -> Result<bool, Failure> {
        self.followed(of, true, &by)?.tell_again().await
    }

    fn followed<'a>(
        &'a self,
        of: &'a Resource,
        is_file: bool,
        by: &Authority<'_>,
    ) -> Result<Followed<'a>, Failure> {
        let (root, path) = self.root(of)?;
        tracing::debug!(operation = by.operation(), path, "a granted directory is changed");
        let reloads = self.reloads.iter().filter(|reload| is_file && reload.is_for(of)).collect();
        Ok(Followed { root, path, file: of, reloads })
    }

    /// In a rehearsal, what the action will find from now on.
    pub fn play(&self, at: &Resource, node: Node) {
        if let Some(played) = &self.played {
            lock(played).insert(at.path().to_owned(), node);
        }
    }

    /// Counts what a run reads, writes or replaces: all of it is held in memory, by a rehearsal until it ends, and what
    /// was read or replaced goes into the journal.
    pub fn charge(&self, bytes: usize) -> Result<(), Failure> {
        let moved = self.moved.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if moved > MAX_RUN {
            return Err(Failure::Invalid(format!(
                "the run read, wrote and replaced {moved} bytes of files; {MAX_RUN} are the most for one run"
            )));
        }
        Ok(())
    }

    /// Every directory by its name, and why it cannot be used.
    pub(super) fn roots(&self) -> impl Iterator<Item = (&str, Result<(), &str>)> {
        self.roots.iter().map(|(name, root)| (name.as_str(), root.as_ref().map(drop).map_err(String::as_str)))
    }

    /// The programs that are run after changes.
    pub(super) fn reloads(&self) -> &[Reload] {
        &self.reloads
    }

    fn played_at(&self, path: &str) -> Option<Node> {
        let played = lock(self.played.as_ref()?);
        // Below a directory that was removed there is nothing, in a made one only what was made, and below a file no way.
        let mut way = path;
        loop {
            match played.get(way) {
                Some(node) if way == path => return Some(node.clone()),
                Some(Node::File(_) | Node::Other(_)) => return Some(Node::Other(Odd::Blocked)),
                Some(_) => return Some(Node::Absent),
                None => way = way.rsplit_once('/')?.0,
            }
        }
    }

    fn root<'a>(&'a self, of: &'a Resource) -> Result<(&'a Dir, &'a str), Failure> {
        let (name, path) = of.path().split_once('/').unwrap_or((of.path(), ""));
        match self.roots.get(name) {
            Some(Ok(root)) => Ok((root, path)),
            Some(Err(why)) => Err(Failure::Denied(format!("the directory `{name}` cannot be used: {why}"))),
            None => Err(Failure::NotFound(format!("no [[files]] entry of remit.toml is named `{name}`"))),
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        of: &Resource,
        look: impl FnOnce(&Dir, &str) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.root(of)?;
        let (own, of) = (self.clone(), of.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let (root, path) = own.root(&of)?;
            look(root, path)
        });
        looked.await.unwrap_or_else(|_| Err(Failure::Denied("the look at the disk was cut short".to_owned())))
    }
}

fn is_of_a_file(expected: Expected<'_>, new: &Node) -> bool {
    matches!(expected.like.is, Is::File { .. }) || matches!(new, Node::File(_))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A map that is whole after a panic elsewhere.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
