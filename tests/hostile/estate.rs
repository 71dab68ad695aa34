//! What there is to be repaired: secrets and files, how they are at a moment, and somebody else who works on them too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use remit_backend::secrets::Target as SecretTarget;
use remit_backend::{
    Act, BoxFuture, Embedded, Fields, Files, Generator, Metadata, Right, SecretStore, SecretView, Secrets,
    Systems as _, Turn,
};
use remit_capability::fixture::Offline as _;
use remit_gate::{Authority, Estate, Resource};
use remit_lifecycle::Home;

use super::model::Certified;

/// The secrets that every case begins with, each with its fields, version by version.
const SECRETS: [(&str, &[&str], usize); 4] = [
    ("prod/db", &["password"], 2),
    ("prod/api", &["key", "user"], 1),
    ("dev/db", &["password"], 3),
    ("app/token", &["value"], 1),
];

/// One version of a secret as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The fields, unless it is destroyed.
    pub fields: BTreeMap<String, String>,
    pub state: char,
}

/// One thing in the directory.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    pub content: Option<Vec<u8>>,
    pub mode: u32,
    pub owner: (u32, u32),
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let content = self.content.as_ref().map(|content| String::from_utf8_lossy(content));
        write!(f, "{content:?} {:o} {:?}", self.mode, self.owner)
    }
}

/// Everything that a run could change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub secrets: BTreeMap<String, Vec<Version>>,
    pub files: BTreeMap<String, Node>,
}

impl Snapshot {
    /// What is not the same in the other one.
    pub fn differences(&self, other: &Self) -> String {
        let mut lines = Vec::new();
        let secrets: BTreeSet<_> = self.secrets.keys().chain(other.secrets.keys()).collect();
        for path in secrets {
            let (was, is) = (self.secrets.get(path), other.secrets.get(path));
            if was != is {
                lines.push(format!("  secret {path} was {was:?}\n  and is {is:?}"));
            }
        }
        let files: BTreeSet<_> = self.files.keys().chain(other.files.keys()).collect();
        for path in files {
            let (was, is) = (self.files.get(path), other.files.get(path));
            if was != is {
                lines.push(format!("  file {path} was {was:?}\n  and is {is:?}"));
            }
        }
        lines.join("\n")
    }
}

/// The systems of a house, in which somebody meddles.
pub fn estate(meddler: Arc<Meddler>, home: &Home) -> Estate {
    let store: Arc<dyn SecretStore> = meddler;
    let secrets = Secrets::new(vec![(String::new(), store, Generator::default())]).unwrap();
    let files = Files::open(home.load().unwrap().entries::<Files>(), home.path()).unwrap();
    files.serve(secrets.serve(Estate::default()))
}

/// Values that nobody could take for anything else.
pub fn fresh() -> String {
    let bytes = remit_trust::random().unwrap();
    bytes[..24].iter().map(|byte| char::from(b'A' + byte % 26)).collect()
}

fn fields(names: &[&str]) -> Fields {
    names.iter().map(|name| ((*name).to_owned(), fresh())).collect()
}

pub async fn seed(store: &Embedded) {
    for (path, names, versions) in SECRETS {
        let secret = Resource::new("secret", path).unwrap();
        for _ in 0..versions {
            store.seed(&secret, fields(names)).await.unwrap();
        }
    }
    let secret = Resource::new("secret", "dev/db").unwrap();
    store.seed_state(&secret, 1, remit_backend::VersionState::Disabled).await.unwrap();
}

/// Files, each with a line that is in no other.
pub fn furnish(etc: &Path) {
    for folder in ["", "app", "old"] {
        fs::create_dir(etc.join(folder)).unwrap();
    }
    for (name, mode) in [("app.conf", 0o640), ("motd", 0o644), ("app/db.conf", 0o600)] {
        let path = etc.join(name);
        fs::write(&path, format!("login = yes\ntoken = {}\n", fresh())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

pub fn nodes(etc: &Path) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::new();
    let mut folders = vec![etc.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::symlink_metadata(&path).unwrap();
            let content = found.is_file().then(|| fs::read(&path).unwrap());
            if found.is_dir() {
                folders.push(path.clone());
            }
            let name = path.strip_prefix(etc).unwrap().to_str().unwrap().to_owned();
            let node = Node { content, mode: found.mode() & 0o7777, owner: (found.uid(), found.gid()) };
            nodes.insert(name, node);
        }
    }
    nodes
}

/// The embedded store, and somebody else who uses it at a bad moment.
pub struct Meddler {
    store: Embedded,
    /// The store's own file, past everything.
    db: Mutex<rusqlite::Connection>,
    /// Before which call from now on, which secret, and whether it is made anew.
    at: Mutex<Option<(u32, String, bool)>>,
    did: Mutex<Vec<(String, u64)>>,
    /// Before which call from now on it waits for the end of a key; and when it had waited.
    wait: Mutex<Option<(u32, Certified)>>,
    waited: Mutex<Option<Timestamp>>,
}

impl Meddler {
    pub fn new(store: Embedded, file: &Path) -> Self {
        let db = Mutex::new(rusqlite::Connection::open(file).unwrap());
        let (at, did) = (Mutex::default(), Mutex::default());
        Self { store, db, at, did, wait: Mutex::default(), waited: Mutex::default() }
    }

    pub fn come_at(&self, look: Option<(u32, String, bool)>) {
        *self.at.lock().unwrap() = look;
    }

    /// Waits for the end of a key.
    pub fn wait_at(&self, look: Option<(u32, Certified)>) {
        *self.wait.lock().unwrap() = look;
    }

    /// When it had waited for that since the last time.
    pub fn waited(&self) -> Option<Timestamp> {
        self.waited.lock().unwrap().take()
    }

    /// The versions that it made since the last time.
    pub fn made(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.did.lock().unwrap())
    }

    pub fn forget(&self, path: &str) {
        let db = self.db.lock().unwrap();
        for table in ["version", "secret"] {
            db.execute(&format!("DELETE FROM {table} WHERE path = ?1"), [path]).unwrap();
        }
    }

    pub async fn meddle(&self, path: &str) {
        let names =
            SECRETS.iter().find(|(known, ..)| *known == path).map_or(&["value"][..], |(_, names, _)| names);
        let secret = Resource::new("secret", path).unwrap();
        let number = self.store.seed(&secret, fields(names)).await.unwrap();
        self.did.lock().unwrap().push((path.to_owned(), number));
    }

    async fn look(&self) {
        if let Some((_, ends)) = due(&self.wait, |(looks, _)| looks) {
            tokio::time::sleep(ends.left()).await;
            *self.waited.lock().unwrap() = Some(Timestamp::now());
        }
        let due = due(&self.at, |(looks, ..)| looks);
        if let Some((_, path, anew)) = due {
            if anew {
                self.forget(&path);
            }
            self.meddle(&path).await;
        }
    }
}

/// Takes what is to be done now, if it is, and counts down to it.
fn due<T>(what: &Mutex<Option<T>>, looks: fn(&mut T) -> &mut u32) -> Option<T> {
    let mut what = what.lock().unwrap();
    let left = looks(what.as_mut()?);
    if *left == 0 {
        return what.take();
    }
    *left -= 1;
    None
}

impl SecretView for Meddler {
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata> {
        Box::pin(async {
            self.look().await;
            self.store.metadata(secret).await
        })
    }

    fn read<'a>(&'a self, secret: &'a Resource, version: u64) -> BoxFuture<'a, Fields> {
        Box::pin(async move {
            self.look().await;
            self.store.read(secret, version).await
        })
    }

    fn right<'a>(&'a self, secret: &'a Resource, act: Act) -> BoxFuture<'a, Right> {
        self.store.right(secret, act)
    }

    fn check<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, String> {
        self.store.check(prefix)
    }
}

impl SecretStore for Meddler {
    fn put<'a>(
        &'a self,
        target: SecretTarget<'a>,
        fields: &'a Fields,
        expected: u64,
        by: Authority<'a>,
    ) -> BoxFuture<'a, u64> {
        Box::pin(async move {
            self.look().await;
            self.store.put(target, fields, expected, by).await
        })
    }

    fn turn<'a>(
        &'a self,
        target: SecretTarget<'a>,
        version: u64,
        turn: Turn,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.look().await;
            self.store.turn(target, version, turn, by).await
        })
    }
}
