//! Undo of file changes as a property, over all that can be seen of a file or a directory: content, owner, group, mode,
//! links, extended attributes, ACLs, and which one it is where nothing was touched. As the user that runs the test and,
//! where that is root, as another one too.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what went wrong by failing"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use remit_backend::files::Node;
use remit_backend::{Files, FilesConfig, SecretText, Systems as _};
use remit_capability::BUILT_IN;
use remit_capability::files::{Edit, Edits, MakeDirectory, Put, Remove, RemoveDirectory, Render, Value};
use remit_capability::fixture::Offline as _;
use remit_capability::secrets::Given;
use remit_gate::{
    Change, Effect, Estate, Facts, Failure, Fault, Gate, Mode, Operation, Resource, Scope, Setup, State,
    UndoGate,
};
use remit_journal::{CallResult, Event, Intent, Journal, RunId, UndoResult};
use remit_tlog::NoteSigner;
use remit_trust::{Digest, Sealer};
use rustix::fs::XattrFlags;

/// Somebody who is neither root nor has anything.
const OTHER: u32 = 12345;

// ---------------------------------------------------------------------------------------------------
// What can be seen.

/// Everything of one file or directory, without the code under test. Times are not of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    links: u64,
    content: Vec<u8>,
    xattrs: BTreeMap<String, Vec<u8>>,
}

/// By path, each with its number.
type All = BTreeMap<String, (u64, Seen)>;

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = [0; 4096];
    let size = rustix::fs::llistxattr(path, &mut list[..]).unwrap();
    let names = list[..size].split(|b| *b == 0).filter(|name| !name.is_empty());
    let read = names.map(|name| {
        let mut value = [0; 4096];
        let size = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        (String::from_utf8(name.to_vec()).unwrap(), value[..size].to_vec())
    });
    read.collect()
}

fn observe(root: &Path) -> All {
    fn below(root: &Path, at: &Path, all: &mut All) {
        let meta = fs::symlink_metadata(at).unwrap();
        let seen = Seen {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            // A directory's counts what is in it.
            links: if meta.is_dir() { 0 } else { meta.nlink() },
            content: if meta.is_file() { fs::read(at).unwrap() } else { Vec::new() },
            xattrs: if meta.is_symlink() { BTreeMap::new() } else { xattrs(at) },
        };
        let name = at.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        all.insert(name, (meta.ino(), seen));
        if meta.is_dir() {
            for entry in fs::read_dir(at).unwrap() {
                below(root, &entry.unwrap().path(), all);
            }
        }
    }
    let mut all = All::new();
    below(root, root, &mut all);
    all
}

/// Of one path, without its number.
fn seen<'a>(all: &'a All, path: &str) -> Option<&'a Seen> {
    all.get(path).map(|(_, seen)| seen)
}

fn without_numbers(all: &All) -> BTreeMap<&str, &Seen> {
    all.iter().map(|(path, (_, seen))| (path.as_str(), seen)).collect()
}

// ---------------------------------------------------------------------------------------------------
// What is drawn.

/// In the order in which they can be made.
const DIRECTORIES: &[&str] = &["d", "d/e", "f"];
const FILES: &[&str] = &["a", "b", "d/x", "d/e/y", "f/z"];

fn path() -> impl Strategy<Value = &'static str> {
    select([FILES, DIRECTORIES].concat())
}

#[derive(Clone, Debug)]
struct Looks {
    mode: u32,
    /// Of another user, of another group: where the test may give it to them.
    foreign: (bool, bool),
    xattrs: Vec<(&'static str, Vec<u8>)>,
    acl: bool,
    default_acl: bool,
}

fn looks(modes: &'static [u32]) -> impl Strategy<Value = Looks> {
    let xattr = (
        select(&["user.note", "user.long", "trusted.note", "security.capability"][..]),
        select(vec![&b""[..], b"a", b"b"]),
    );
    let xattr = xattr.prop_map(|(name, value)| match name {
        // A capability of version 2: to bind low ports.
        "security.capability" => (name, [0x0200_0001_u32, 1 << 10, 0, 0, 0].map(u32::to_le_bytes).concat()),
        "user.long" => (name, value.repeat(1000)),
        _ => (name, value.to_vec()),
    });
    (select(modes), any::<(bool, bool)>(), vec(xattr, 0..3), any::<bool>(), any::<bool>()).prop_map(
        |(mode, foreign, xattrs, acl, default_acl)| Looks { mode, foreign, xattrs, acl, default_acl },
    )
}

const FILE_MODES: &[u32] = &[0o644, 0o600, 0o640, 0o755, 0o444, 0o1664, 0o4755, 0o2755, 0o6711];
const DIRECTORY_MODES: &[u32] = &[0o755, 0o700, 0o2775, 0o2755, 0o1777];

#[derive(Clone, Debug)]
struct Drawn {
    directories: BTreeMap<&'static str, Looks>,
    files: BTreeMap<&'static str, (Looks, Vec<u8>)>,
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    select(vec![&b""[..], b"one\n", b"two\n", b"three\n"]).prop_map(<[u8]>::to_vec)
}

fn estates() -> impl Strategy<Value = Drawn> {
    let directories = btree_map(select(DIRECTORIES), looks(DIRECTORY_MODES), 0..=3);
    let files = btree_map(select(FILES), (looks(FILE_MODES), content()), 0..=4);
    (directories, files).prop_map(|(directories, files)| Drawn { directories, files })
}

#[derive(Clone, Debug)]
enum Act {
    Put(&'static str, Vec<u8>),
    /// With a value that no other time has.
    Render(&'static str),
    /// As renaming does: under the new name, then gone under the old one.
    Rename(&'static str, &'static str),
    Remove(&'static str),
    Make(&'static str),
    RemoveDirectory(&'static str),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (path(), content()).prop_map(|(path, content)| Act::Put(path, content)),
        2 => path().prop_map(Act::Render),
        2 => (path(), path()).prop_map(|(from, to)| Act::Rename(from, to)),
        2 => path().prop_map(Act::Remove),
        2 => path().prop_map(Act::Make),
        2 => path().prop_map(Act::RemoveDirectory),
    ];
    vec(act, 1..8)
}

/// What someone else does.
#[derive(Clone, Debug)]
enum Theirs {
    Mode,
    Owner,
    Group,
    Xattr,
    NoXattr,
    Acl,
    Content,
    Gone,
    Link,
}

fn theirs() -> impl Strategy<Value = Theirs> {
    use Theirs::*;
    select(vec![Mode, Owner, Group, Xattr, NoXattr, Acl, Content, Gone, Link])
}

/// An ACL of a mode, with something for user 7.
fn acl(mode: u32) -> Vec<u8> {
    let class = |shift: u32| u16::try_from(mode >> shift & 7).unwrap();
    let (owner, mask, other) = (class(6), class(3), class(0));
    let (no, mut acl) = (u32::MAX, 2_u32.to_le_bytes().to_vec());
    for (tag, allowed, id) in [(1_u16, owner, no), (2, 6, 7), (4, 4, no), (0x10, mask, no), (0x20, other, no)]
    {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&allowed.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    acl
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set(path: &Path, name: &str, value: &[u8]) -> rustix::io::Result<()> {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
}

fn dress(path: &Path, looks: &Looks) {
    let directory = path.is_dir();
    if is_root() {
        let who = |foreign| Some(if foreign { OTHER } else { 0 });
        chown(path, who(looks.foreign.0), who(looks.foreign.1)).unwrap();
    }
    for (name, value) in &looks.xattrs {
        let privileged = name.starts_with("trusted.") || name.starts_with("security.");
        if (is_root() || !privileged) && !(directory && *name == "security.capability") {
            set(path, name, value).unwrap();
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(looks.mode)).unwrap();
    if looks.acl {
        set(path, "system.posix_acl_access", &acl(looks.mode)).unwrap();
    }
    if looks.default_acl && directory {
        set(path, "system.posix_acl_default", &acl(0o750)).unwrap();
    }
}

fn make(root: &Path, drawn: &Drawn) {
    for (name, looks) in &drawn.directories {
        let path = root.join(name);
        if path.parent().unwrap().is_dir() {
            fs::create_dir(&path).unwrap();
            dress(&path, looks);
        }
    }
    for (name, (looks, content)) in &drawn.files {
        let path = root.join(name);
        if path.parent().unwrap().is_dir() {
            fs::write(&path, content).unwrap();
            dress(&path, looks);
        }
    }
}

/// Whether anything came of it.
fn interfere(path: &Path, theirs: &Theirs) -> bool {
    let Ok(meta) = fs::symlink_metadata(path) else { return false };
    if meta.is_symlink() {
        return false;
    }
    match theirs {
        Theirs::Mode => {
            let mode = if meta.mode() & 0o7777 == 0o750 { 0o700 } else { 0o750 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).is_ok()
        }
        Theirs::Owner => is_root() && chown(path, Some(777), None).is_ok(),
        Theirs::Group => is_root() && chown(path, None, Some(777)).is_ok(),
        Theirs::Xattr => set(path, "user.theirs", b"theirs").is_ok(),
        Theirs::NoXattr => rustix::fs::lremovexattr(path, "user.note").is_ok(),
        Theirs::Acl => {
            let bare = xattrs(path).contains_key("system.posix_acl_access");
            if bare {
                rustix::fs::lremovexattr(path, "system.posix_acl_access").is_ok()
            } else {
                set(path, "system.posix_acl_access", &acl(0o710)).is_ok()
            }
        }
        Theirs::Content => meta.is_file() && fs::write(path, "theirs\n").is_ok(),
        Theirs::Gone => meta.is_file() && fs::remove_file(path).is_ok(),
        Theirs::Link => {
            meta.is_file() && fs::remove_file(path).is_ok() && symlink("/etc/passwd", path).is_ok()
        }
    }
}

// ---------------------------------------------------------------------------------------------------
// A run.

struct World {
    _folder: tempfile::TempDir,
    root: PathBuf,
    home: PathBuf,
    journal: Journal,
    sealer: Arc<Sealer>,
    runtime: tokio::runtime::Runtime,
}

struct Run<'w> {
    world: &'w World,
    id: RunId,
    gate: Gate,
}

const SCOPE: &str = r#"
[limits]
changes = 99
[[allow]]
capability = "remit:files/render"
resources = ["file:etc/**"]
[[allow]]
capability = "remit:files/write"
resources = ["file:etc/**"]
"#;

fn resource(path: &str) -> Resource {
    Resource::new("file", &format!("etc/{path}")).unwrap()
}

fn put(path: &str, content: &[u8], like: Option<&str>) -> Edit<Put> {
    Edit(Put {
        resource: resource(path),
        sha256: Digest::of(content),
        size: content.len() as u64,
        from: None,
        new: false,
        like: like.map(resource),
        content: content.to_vec(),
    })
}

fn render(path: &str) -> Edit<Render> {
    let value = SecretText::new(RunId::new().to_string());
    let secret = Given::new("generated:1", Some(value));
    let values = vec![Value { name: "password".to_owned(), secret }];
    Edit(Render { resource: resource(path), template: "password = {{password}}\n".to_owned(), values })
}

type Done<'a> = Pin<Box<dyn Future<Output = Result<Result<(), Failure>, Fault>> + 'a>>;

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (root, home) = (folder.path().join("etc"), folder.path().join("home"));
        fs::create_dir(&home).unwrap();
        let signer = NoteSigner::from_seed("test", &[1; 32]).unwrap();
        let journal = Journal::open(&home.join("journal"), signer).unwrap();
        let sealer = Arc::new(Sealer::load_or_create(&home.join("seal.key")).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        Self { _folder: folder, root, home, journal, sealer, runtime }
    }

    fn files(&self) -> Files {
        let etc = FilesConfig { name: "etc".to_owned(), path: self.root.clone(), ..FilesConfig::default() };
        Files::open(&[etc], &self.home).unwrap()
    }

    fn run(&self, scope: &str) -> Run<'_> {
        let id = RunId::new();
        let gate = Gate::new(Setup {
            facts: Facts {
                run: id,
                started: jiff::Timestamp::UNIX_EPOCH,
                reason: "a test".to_owned(),
                seed: [0; 32],
            },
            mode: Mode::Live,
            scope: Scope::parse(scope, "scope.toml").unwrap(),
            plan: None,
            window: None,
            watch: None,
            estate: self.files().serve(Estate::default()),
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.sealer),
        });
        Run { world: self, id, gate }
    }

    /// An estate of its own for each case.
    fn fresh(&self, drawn: &Drawn) {
        if self.root.exists() {
            fs::remove_dir_all(&self.root).unwrap();
        }
        fs::create_dir(&self.root).unwrap();
        make(&self.root, drawn);
    }

    fn holds<S: Strategy>(
        &self,
        cases: u32,
        drawn: S,
        property: impl AsyncFn(&World, S::Value) -> TestCaseResult,
    ) {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&drawn, |value| self.runtime.block_on(property(self, value)))
            .unwrap_or_else(|failed| panic!("{failed}"));
    }
}

impl Run<'_> {
    /// What an act is in operations, with the path of each.
    fn operations(&self, act: &Act) -> Vec<(&'static str, Done<'_>)> {
        let call = |operation| Box::pin(self.gate.change(operation));
        match act {
            Act::Put(path, content) => vec![(*path, call(put(path, content, None)))],
            Act::Render(path) => vec![(*path, Box::pin(self.gate.change(render(path))))],
            Act::Rename(from, to) if from != to && self.world.root.join(from).is_file() => {
                let content = fs::read(self.world.root.join(from)).unwrap();
                let remove = Edit(Remove { resource: resource(from) });
                vec![
                    (*to, call(put(to, &content, Some(from)))),
                    (*from, Box::pin(self.gate.change(remove)) as Done<'_>),
                ]
            }
            Act::Rename(..) => Vec::new(),
            Act::Remove(path) => {
                vec![(*path, Box::pin(self.gate.change(Edit(Remove { resource: resource(path) }))))]
            }
            Act::Make(path) => {
                vec![(*path, Box::pin(self.gate.change(Edit(MakeDirectory { resource: resource(path) }))))]
            }
            Act::RemoveDirectory(path) => {
                vec![(*path, Box::pin(self.gate.change(Edit(RemoveDirectory { resource: resource(path) }))))]
            }
        }
    }

    /// Performs what was drawn, and tells of each change what was before it and after it.
    async fn perform(&self, acts: &[Act]) -> Result<Vec<(&'static str, All, All)>, TestCaseError> {
        let mut history = Vec::new();
        for act in acts {
            for (path, operation) in self.operations(act) {
                let before = observe(&self.world.root);
                let done = operation.await.unwrap();
                let after = observe(&self.world.root);
                match done {
                    Ok(()) => history.push((path, before, after)),
                    Err(failure) => {
                        prop_assert!(failure.is_definite(), "{:?}: {}", act, failure);
                        prop_assert_eq!(&after, &before, "{:?}: {}", act, failure);
                        // A rename whose first half was refused is over.
                        break;
                    }
                }
            }
        }
        Ok(history)
    }

    async fn changes(&self) -> Vec<Intent> {
        self.world.journal.flush().await.unwrap();
        let (mut intents, mut done) = (Vec::new(), BTreeSet::new());
        for (_, record) in self.world.journal.reader().unwrap().run(&self.id).unwrap_or_default() {
            match record.event {
                Event::Intent(intent) if intent.before.is_some() => intents.push(intent),
                Event::Outcome(outcome) if !matches!(outcome.result, CallResult::Failed { .. }) => {
                    done.insert(outcome.call);
                }
                _ => {}
            }
        }
        intents.retain(|intent| done.contains(&intent.call));
        intents
    }

    fn undo_gate(&self) -> UndoGate {
        UndoGate {
            run: self.id,
            estate: self.world.files().serve(Estate::default()),
            journal: self.world.journal.clone(),
            sealer: Arc::clone(&self.world.sealer),
        }
    }

    async fn undo(&self, change: &Intent) -> UndoResult {
        BUILT_IN.operation(&change.operation).unwrap().undo(&self.undo_gate(), change).await.unwrap()
    }

    async fn state(&self, change: &Intent) -> State {
        BUILT_IN.operation(&change.operation).unwrap().state(&self.undo_gate(), change).await.unwrap()
    }
}

// ---------------------------------------------------------------------------------------------------
// The properties.

fn taken_back_nothing_is_left(world: &World, cases: u32) {
    world.holds(cases, (estates(), acts()), async |world, (drawn, acts)| {
        world.fresh(&drawn);
        let first = observe(&world.root);
        let run = world.run(SCOPE);
        let history = run.perform(&acts).await?;
        // Nothing else is touched by a change than what it names.
        for (path, before, after) in &history {
            for other in before.keys().chain(after.keys()).filter(|other| other != path) {
                prop_assert_eq!(before.get(other), after.get(other), "{} by a change of {}", other, path);
            }
        }
        let changes = run.changes().await;
        prop_assert_eq!(changes.len(), history.len());
        for (change, (path, before, _)) in changes.iter().zip(&history).rev() {
            prop_assert_eq!(change.effect, Effect::Change, "{:?}", change);
            prop_assert_eq!(run.state(change).await, State::After, "{:?}", change);
            prop_assert_eq!(run.undo(change).await, UndoResult::Undone, "{:?}", change);
            let now = observe(&world.root);
            prop_assert_eq!(seen(&now, path), seen(before, path), "{:?}", change);
        }
        let last = observe(&world.root);
        prop_assert_eq!(without_numbers(&last), without_numbers(&first));
        let touched: BTreeSet<&str> = history.iter().map(|(path, ..)| *path).collect();
        for (path, (number, _)) in first.iter().filter(|(path, _)| !touched.contains(path.as_str())) {
            prop_assert_eq!(*number, last[path].0, "{} was not touched", path);
        }
        Ok(())
    });
}

fn what_someone_else_changed_stays(world: &World, cases: u32) {
    let drawn = (estates(), acts(), theirs(), path(), any::<bool>(), any::<Index>());
    world.holds(cases, drawn, async |world, (drawn, acts, theirs, anywhere, there, when)| {
        world.fresh(&drawn);
        let run = world.run(SCOPE);
        let history = run.perform(&acts).await?;
        let changes = run.changes().await;
        let when = when.index(changes.len() + 1);
        let mut theirs = Some(theirs);
        let mut left = None;
        for (index, (change, (path, before, after))) in changes.iter().zip(&history).rev().enumerate() {
            if index == when
                && let Some(theirs) = theirs.take()
            {
                // Mostly where the run was.
                let at = if there { path } else { anywhere };
                if interfere(&world.root.join(at), &theirs) {
                    left = observe(&world.root).remove(at).map(|(_, seen)| (at, seen));
                }
            }
            let live = observe(&world.root);
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let same = seen(&live, path) == seen(after, path);
            let back = seen(&live, path) == seen(before, path);
            let state = run.state(change).await;
            let result = run.undo(change).await;
            let now = observe(&world.root);
            match &result {
                UndoResult::Undone => {
                    prop_assert!(same, "{:?} found {:?}", change, seen(&live, path));
                    prop_assert_eq!(state, State::After);
                    prop_assert_eq!(seen(&now, path), seen(before, path), "{:?}", change);
                    for other in live.keys().chain(now.keys()).filter(|other| other != path) {
                        prop_assert_eq!(live.get(other), now.get(other), "{} by undoing {}", other, path);
                    }
                }
                _ => {
                    prop_assert_eq!(&now, &live, "{:?}: {:?}", result, change);
                    if result == UndoResult::AlreadyUndone {
                        prop_assert!(back && !same, "{:?}", change);
                        prop_assert_eq!(state, State::Before);
                    } else {
                        // The directory is not what it was, or not empty any more.
                        let elsewhere = !now.contains_key(parent)
                            || now.keys().any(|other| other.starts_with(&format!("{path}/")));
                        prop_assert!(!same && !back || elsewhere, "{:?}: {:?}", result, change);
                        prop_assert!(
                            matches!(result, UndoResult::Conflict { .. }) || elsewhere,
                            "{:?}: {:?}",
                            result,
                            change
                        );
                    }
                }
            }
        }
        if let Some((at, seen_then)) = left {
            // Whatever it was, it is still there, unless it was what the run had found there before.
            let now = observe(&world.root);
            let was =
                history.iter().any(|(path, _, after)| *path == at && seen(after, at) == Some(&seen_then));
            prop_assert!(was || seen(&now, at) == Some(&seen_then), "{}: {:?}", at, seen(&now, at));
        }
        Ok(())
    });
}

/// What a rehearsal found is what the run finds, although the rehearsal made nothing.
fn a_run_is_as_planned(world: &World, cases: u32) {
    async fn step<E: Edits>(
        make: impl Fn() -> Edit<E>,
        played: &Files,
        live: &Files,
        run: &Run<'_>,
    ) -> TestCaseResult {
        let (rehearsed, operation) = (make(), make());
        let planned = rehearsed.prepare(played).await;
        let found = operation.prepare(live).await;
        match (planned, found) {
            (Ok(planned), Ok(found)) => {
                prop_assert!(
                    planned.undo.is_as_planned(&found.undo),
                    "planned {:#?}, found {:#?}",
                    planned.undo,
                    found.undo
                );
                prop_assert_eq!(&planned.irrevocable, &found.irrevocable);
                rehearsed.rehearse(&planned, played);
                if operation.0.on_record().is_some() {
                    live.note_generated(&operation.resource(), &Node::Absent);
                }
                run.gate.change(operation).await.unwrap().unwrap();
            }
            (Err(planned), Err(found)) => {
                prop_assert_eq!(std::mem::discriminant(&planned), std::mem::discriminant(&found));
            }
            (planned, found) => prop_assert!(false, "planned {:?}, found {:?}", planned, found),
        }
        Ok(())
    }
    world.holds(cases, (estates(), acts()), async |world, (drawn, acts)| {
        world.fresh(&drawn);
        let (played, live) = (world.files(), world.files());
        let played = played.for_run(std::iter::once("etc"), true).unwrap();
        let run = world.run(SCOPE);
        let mut rendered = BTreeSet::new();
        for act in &acts {
            match act {
                // What the rehearsal would read there is another value, and so another plan.
                Act::Rename(from, _) if rendered.contains(from) => {}
                Act::Put(path, content) => step(|| put(path, content, None), &played, &live, &run).await?,
                Act::Render(path) => {
                    rendered.insert(*path);
                    step(|| render(path), &played, &live, &run).await?;
                }
                Act::Rename(from, to) => {
                    if from != to
                        && let Ok(content) = fs::read(world.root.join(from))
                    {
                        step(|| put(to, &content, Some(from)), &played, &live, &run).await?;
                    }
                }
                Act::Remove(path) => {
                    step(|| Edit(Remove { resource: resource(path) }), &played, &live, &run).await?;
                }
                Act::Make(path) => {
                    step(|| Edit(MakeDirectory { resource: resource(path) }), &played, &live, &run).await?;
                }
                Act::RemoveDirectory(path) => {
                    step(|| Edit(RemoveDirectory { resource: resource(path) }), &played, &live, &run).await?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn every_change_of_files_is_drawn_here() {
    let drawn = [Put::NAME, Render::NAME, Remove::NAME, MakeDirectory::NAME, RemoveDirectory::NAME];
    for power in BUILT_IN.granted().filter(|power| power.kind.as_deref() == Some("file")) {
        for operation in power.operations.iter().filter(|operation| operation.effect != Effect::Observe) {
            assert!(drawn.contains(&&*operation.name), "{}: teach `Act` to draw it", operation.name);
        }
    }
}

/// Runs a test of this file again as somebody else, who owns `place`.
fn again_as_other(test: &str, place: &Path, foreign: Option<&Path>) {
    chown(place, Some(OTHER), Some(OTHER)).unwrap();
    // The build's folder may be closed to others.
    let program = place.join("test");
    let own = std::env::current_exe().unwrap();
    fs::hard_link(&own, &program).or_else(|_| fs::copy(&own, &program).map(drop)).unwrap();
    let mut again = Command::new(program);
    let test = format!("file_undo::{test}");
    again.args(["--exact", &*test, "--nocapture"]).env("TMPDIR", place).current_dir(place);
    if let Some(foreign) = foreign {
        again.env("REMIT_TEST_FOREIGN", foreign);
    }
    let ran = again.uid(OTHER).gid(OTHER).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("1 passed"), "as user {OTHER}: {said}");
}

/// The same where the test needs nothing. Only root can.
fn as_other(test: &str) {
    if is_root() {
        again_as_other(test, tempfile::tempdir().unwrap().path(), None);
    } else {
        println!("as the only user that this test may be: {}", rustix::process::geteuid().as_raw());
    }
}

macro_rules! properties {
    ($($property:ident $cases:literal),*) => {
        $(#[test] fn $property() { super::$property(&super::World::new(), $cases); })*
        mod as_other {
            $(#[test] fn $property() {
                super::super::as_other(concat!("properties::", stringify!($property)));
            })*
        }
    };
}

mod properties {
    properties!(taken_back_nothing_is_left 100, what_someone_else_changed_stays 150, a_run_is_as_planned 60);
}

/// The same content under the same name is not the same file.
#[test]
fn another_file_of_the_same_name_is_not_what_was_planned() {
    let world = World::new();
    fs::create_dir_all(world.root.join("d")).unwrap();
    let file = world.root.join("d/x");
    world.runtime.block_on(async {
        let files = world.files();
        let found = async || put("d/x", b"new", None).prepare(&files).await.unwrap().undo;
        // A file that is not there yet: of the directory.
        let planned = found().await;
        assert!(planned.is_as_planned(&found().await));
        fs::rename(world.root.join("d"), world.root.join("old")).unwrap();
        fs::create_dir(world.root.join("d")).unwrap();
        assert!(!planned.is_as_planned(&found().await), "another directory");

        fs::write(&file, "one").unwrap();
        let planned = found().await;
        assert!(planned.is_as_planned(&found().await));
        // In the journal and in a plan it is JSON.
        let read = serde_json::from_value(serde_json::to_value(&planned).unwrap()).unwrap();
        assert!(planned == read);
        for change in [
            &|| fs::write(&file, "two").unwrap(),
            &|| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap(),
            &|| set(&file, "user.note", b"theirs").unwrap(),
            &|| {
                fs::copy(&file, world.root.join("copy")).unwrap();
                set(&world.root.join("copy"), "user.note", b"theirs").unwrap();
                fs::rename(world.root.join("copy"), &file).unwrap();
            },
        ] as [&dyn Fn(); 4]
        {
            let planned = found().await;
            change();
            let now = found().await;
            assert!(!planned.is_as_planned(&now), "{planned:?} and {now:?}");
        }
    });
}

/// In a directory that can only be appended to nothing can be taken back, and nothing is begun: no draft is left there.
#[test]
fn a_directory_that_gives_nothing_back_is_left_alone() {
    let world = World::new();
    let directory = world.root.join("d");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("x"), "one").unwrap();
    let opened = fs::File::open(&directory).unwrap();
    let flags = |flags| rustix::fs::ioctl_setflags(&opened, flags);
    let Ok(own) = rustix::fs::ioctl_getflags(&opened) else {
        return println!("this filesystem has no flags");
    };
    for lock in [rustix::fs::IFlags::APPEND, rustix::fs::IFlags::IMMUTABLE] {
        if flags(own | lock).is_err() {
            return println!("only root can set this flag");
        }
        let before = observe(&world.root);
        let answers = world.runtime.block_on(async {
            let run = world.run(SCOPE);
            let files = world.files().for_run(std::iter::once("etc"), true).unwrap();
            let rehearsed = put("d/new", b"new", None).prepare(&files).await.map(drop);
            let remove = Edit(Remove { resource: resource("d/x") });
            let make = Edit(MakeDirectory { resource: resource("d/e") });
            [
                rehearsed,
                run.gate.change(put("d/new", b"new", None)).await.unwrap(),
                run.gate.change(put("d/x", b"two", None)).await.unwrap(),
                run.gate.change(remove).await.unwrap(),
                run.gate.change(make).await.unwrap(),
            ]
        });
        let after = observe(&world.root);
        flags(own).unwrap();
        for answer in answers {
            assert!(matches!(&answer, Err(Failure::Denied(_))), "{answer:?}");
        }
        assert_eq!(after, before);
    }
}

/// What this user could not give back is found before it is taken away.
#[test]
fn what_could_not_come_back_is_irrevocable_or_refused() {
    if std::env::var_os("REMIT_TEST_FOREIGN").is_none() {
        if !is_root() {
            return println!("only root can make a file of somebody else's");
        }
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("foreign")).unwrap();
        fs::write(place.path().join("foreign/x"), "roots").unwrap();
        fs::write(place.path().join("foreign/y"), "roots").unwrap();
        let foreign = place.path().join("foreign");
        chown(&foreign, Some(OTHER), Some(OTHER)).unwrap();
        let test = "what_could_not_come_back_is_irrevocable_or_refused";
        again_as_other(test, place.path(), Some(&foreign));
        return;
    }
    let mut world = World::new();
    world.root = PathBuf::from(std::env::var_os("REMIT_TEST_FOREIGN").unwrap());
    world.runtime.block_on(async {
        let before = observe(&world.root);
        let run = world.run(SCOPE);
        let refused = run.gate.change(put("x", b"new", None)).await.unwrap().unwrap_err();
        assert!(matches!(&refused, Failure::Denied(why) if why.contains("owner")), "{refused}");
        let fault = run.gate.change(Edit(Remove { resource: resource("x") })).await.unwrap_err();
        assert!(matches!(&fault, Fault::OutOfScope { reason, .. } if reason.contains("owner")), "{fault}");
        assert_eq!(observe(&world.root), before);
        // Where that is accepted it is done, and never said to be undoable.
        let run = world.run(&format!("{SCOPE}irrevocable = true\n"));
        run.gate.change(Edit(Remove { resource: resource("x") })).await.unwrap().unwrap();
        let changes = run.changes().await;
        assert_eq!(changes[0].effect, Effect::Irrevocable);
        assert!(matches!(run.undo(&changes[0]).await, UndoResult::NotReversible { .. }));
    });
}
