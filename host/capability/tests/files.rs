//! Files: what a guest does with a granted directory, and what it cannot.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_backend::{Files, FilesConfig, Systems as _};
use remit_capability::bindings::FileError;
use remit_capability::bindings::wasi::filesystem::preopens;
use remit_capability::bindings::wasi::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor, HostDirectoryEntryStream, OpenFlags,
    PathFlags,
};
use remit_capability::bindings::wasi::io::streams;
use remit_capability::fixture::Offline as _;
use remit_capability::wasi::Unwritten;
use remit_capability::wasi::handle::Descriptor;
use remit_capability::{BUILT_IN, Ctx, answered};
use remit_gate::{Estate, Facts, Fault, Gate, Mode, Scope, Setup, UndoGate};
use remit_journal::{Event, Intent, Journal, RunId, UndoResult};
use remit_tlog::NoteSigner;
use remit_trust::Sealer;
use wasmtime::component::Resource;

const WIDE: &str = r#"
[limits]
changes = 99
[[allow]]
capability = "remit:files/read"
resources = ["file:etc", "file:etc/**"]
[[allow]]
capability = "remit:files/write"
resources = ["file:etc/**"]
"#;

struct World {
    folder: tempfile::TempDir,
    ctx: Ctx,
    run: RunId,
    journal: Journal,
    sealer: Arc<Sealer>,
}

type Answer<T> = Result<T, FileError>;

/// The error that the guest gets.
fn code<T: Debug>(answer: Answer<T>) -> ErrorCode {
    answered(answer).unwrap().unwrap_err()
}

/// What ends the run.
fn trap<T: Debug>(answer: Answer<T>) -> wasmtime::Error {
    answered(answer).unwrap_err()
}

fn reading() -> (OpenFlags, DescriptorFlags) {
    (OpenFlags::empty(), DescriptorFlags::READ)
}

fn anew() -> (OpenFlags, DescriptorFlags) {
    (OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE)
}

impl World {
    fn new(mode: Mode, scope: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for dir in ["etc/sub", "other", "home"] {
            fs::create_dir_all(folder.path().join(dir)).unwrap();
        }
        fs::write(folder.path().join("etc/app.conf"), "color = red\n").unwrap();
        fs::set_permissions(folder.path().join("etc/app.conf"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(folder.path().join("other/secret"), "outside").unwrap();
        let home = folder.path().join("home");
        let signer = NoteSigner::from_seed("test", &[1; 32]).unwrap();
        let journal = Journal::open(&home.join("journal"), signer).unwrap();
        let sealer = Arc::new(Sealer::load_or_create(&home.join("seal.key")).unwrap());
        let run = RunId::new();
        let started = jiff::Timestamp::UNIX_EPOCH;
        let gate = Gate::new(Setup {
            facts: Facts { run, started, reason: "a test".to_owned(), seed: [9; 32] },
            mode,
            scope: Scope::parse(scope, "scope.toml").unwrap(),
            plan: None,
            window: None,
            watch: None,
            estate: estate(folder.path()),
            journal: journal.clone(),
            sealer: Arc::clone(&sealer),
        });
        Self { folder, ctx: Ctx::new(gate, [9; 32], BUILT_IN.clone()), run, journal, sealer }
    }

    fn live() -> Self {
        Self::new(Mode::Live, WIDE)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn root(&mut self) -> u32 {
        let roots = preopens::Host::get_directories(&mut self.ctx).await.unwrap();
        let [(root, name)] = &roots[..] else { panic!("{roots:?}") };
        assert_eq!(name, "/etc");
        root.rep()
    }

    async fn open(&mut self, path: &str, how: (OpenFlags, DescriptorFlags)) -> Answer<Resource<Descriptor>> {
        let root = Resource::new_borrow(self.root().await);
        HostDescriptor::open_at(&mut self.ctx, root, PathFlags::empty(), path.into(), how.0, how.1).await
    }

    async fn write(&mut self, path: &str, text: &str) -> Answer<()> {
        let file = self.open(path, anew()).await?.rep();
        let stream = HostDescriptor::write_via_stream(&mut self.ctx, Resource::new_borrow(file), 0).await?;
        let stream = stream.rep();
        for piece in text.as_bytes().chunks(3) {
            let to = Resource::new_borrow(stream);
            let sent = streams::HostOutputStream::blocking_write_and_flush(&mut self.ctx, to, piece.into());
            sent.await.unwrap();
        }
        streams::HostOutputStream::drop(&mut self.ctx, Resource::new_own(stream)).await?;
        HostDescriptor::drop(&mut self.ctx, Resource::new_own(file)).await?;
        Ok(())
    }

    async fn read(&mut self, path: &str) -> Answer<String> {
        let file = self.open(path, reading()).await?.rep();
        let (bytes, _) = HostDescriptor::read(&mut self.ctx, Resource::new_borrow(file), 1 << 20, 0).await?;
        HostDescriptor::drop(&mut self.ctx, Resource::new_own(file)).await?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    fn events(&self) -> Vec<Event> {
        let journal = &self.journal;
        std::thread::scope(|scope| {
            let flush =
                || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(journal.flush());
            scope.spawn(flush).join().unwrap().unwrap();
        });
        let records = self.journal.reader().unwrap().run(&self.run).unwrap_or_default();
        records.into_iter().map(|(_, record)| record.event).collect()
    }

    fn changes(&self) -> Vec<Intent> {
        let intents = self.events().into_iter().filter_map(|event| match event {
            Event::Intent(intent) if intent.before.is_some() => Some(intent),
            _ => None,
        });
        intents.collect()
    }

    fn refusals(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Denied(_))).count()
    }

    async fn undo(&self, intent: &Intent) -> UndoResult {
        let gate = UndoGate {
            run: self.run,
            estate: estate(self.folder.path()),
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.sealer),
        };
        BUILT_IN.operation(&intent.operation).unwrap().undo(&gate, intent).await.unwrap()
    }

    fn conf(&self) -> String {
        fs::read_to_string(self.path("etc/app.conf")).unwrap()
    }
}

fn estate(folder: &Path) -> Estate {
    let etc = FilesConfig { name: "etc".to_owned(), path: folder.join("etc"), ..FilesConfig::default() };
    let other =
        FilesConfig { name: "other".to_owned(), path: folder.join("other"), ..FilesConfig::default() };
    Files::open(&[etc, other], &folder.join("home")).unwrap().serve(Estate::default())
}

fn fault(error: &wasmtime::Error) -> &Fault {
    error.downcast_ref::<Fault>().unwrap_or_else(|| panic!("{error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pieces_are_one_change_that_can_be_taken_back() {
    let mut world = World::live();
    world.write("app.conf", "color = blue, and longer\n").await.unwrap();
    assert_eq!(world.conf(), "color = blue, and longer\n");
    let changes = world.changes();
    let [change] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(
        (change.operation.as_str(), change.resource.as_str()),
        ("remit:files/write.put", "file:etc/app.conf")
    );
    let shown = serde_json::to_string(change).unwrap();
    assert!(!shown.contains("color") && shown.contains("sha256:"), "{shown}");
    let mode = fs::metadata(world.path("etc/app.conf")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "the mode is kept");

    assert_eq!(world.undo(change).await, UndoResult::Undone);
    assert_eq!(world.conf(), "color = red\n");
    assert_eq!(world.undo(change).await, UndoResult::AlreadyUndone);
    let left: Vec<_> = fs::read_dir(world.path("etc")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_taken_back() {
    let mut world = World::live();
    let root = world.root().await;
    let root = || Resource::new_borrow(root);
    world.write("new", "n").await.unwrap();
    HostDescriptor::create_directory_at(&mut world.ctx, root(), "made".into()).await.unwrap();
    HostDescriptor::rename_at(&mut world.ctx, root(), "app.conf".into(), root(), "made/moved".into())
        .await
        .unwrap();
    HostDescriptor::remove_directory_at(&mut world.ctx, root(), "sub".into()).await.unwrap();
    assert!(!world.path("etc/app.conf").exists() && !world.path("etc/sub").exists());
    assert_eq!(fs::read_to_string(world.path("etc/made/moved")).unwrap(), "color = red\n");

    let changes = world.changes();
    let mut tried: Vec<&str> = changes.iter().map(|change| change.operation.as_str()).collect();
    for change in changes.iter().rev() {
        assert_eq!(world.undo(change).await, UndoResult::Undone, "{change:?}");
    }
    assert_eq!(world.conf(), "color = red\n");
    assert!(world.path("etc/sub").is_dir());
    assert!(!world.path("etc/made").exists() && !world.path("etc/new").exists());
    for change in changes.iter().rev() {
        let again = world.undo(change).await;
        assert!(matches!(again, UndoResult::AlreadyUndone), "{change:?}: {again:?}");
    }
    tried.sort_unstable();
    tried.dedup();
    let all = BUILT_IN.powers("wasi:filesystem/types").flat_map(|power| &*power.operations);
    let mut all: Vec<&str> =
        all.filter(|op| op.effect == remit_gate::Effect::Change).map(|op| &*op.name).collect();
    all.sort_unstable();
    assert_eq!(tried, all, "each change of the table is tried here");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_touches_nothing_that_someone_else_changed() {
    let mut world = World::live();
    world.write("app.conf", "mine\n").await.unwrap();
    fs::write(world.path("etc/app.conf"), "theirs\n").unwrap();
    let undone = world.undo(&world.changes()[0]).await;
    let UndoResult::Conflict { live } = undone else { panic!("{undone:?}") };
    assert!(live.contains("a file of 7 bytes"), "{live}");
    assert_eq!(world.conf(), "theirs\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_must_still_be_there_when_it_is_written() {
    let mut world = World::live();
    let both = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let file = world.open("app.conf", (OpenFlags::empty(), both)).await.unwrap().rep();
    HostDescriptor::write(&mut world.ctx, Resource::new_borrow(file), b"mine".to_vec(), 0).await.unwrap();
    fs::write(world.path("etc/app.conf"), "theirs\n").unwrap();
    let synced = HostDescriptor::sync(&mut world.ctx, Resource::new_borrow(file)).await;
    assert_eq!(code(synced), ErrorCode::Busy);
    // Told once, the guest is not told again.
    HostDescriptor::drop(&mut world.ctx, Resource::new_own(file)).await.unwrap();

    let file = world.open("app.conf", (OpenFlags::empty(), both)).await.unwrap().rep();
    HostDescriptor::write(&mut world.ctx, Resource::new_borrow(file), b"mine".to_vec(), 0).await.unwrap();
    fs::write(world.path("etc/app.conf"), "theirs again\n").unwrap();
    let trap = HostDescriptor::drop(&mut world.ctx, Resource::new_own(file)).await.unwrap_err();
    assert!(trap.downcast_ref::<Unwritten>().is_some(), "{trap:?}");
    assert_eq!(world.conf(), "theirs again\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_sees_its_own_changes_and_makes_none() {
    let mut world = World::new(Mode::Rehearse, WIDE);
    let root = world.root().await;
    let root = || Resource::new_borrow(root);
    world.write("app.conf", "color = blue\n").await.unwrap();
    assert_eq!(world.read("app.conf").await.unwrap(), "color = blue\n");
    HostDescriptor::create_directory_at(&mut world.ctx, root(), "made".into()).await.unwrap();
    world.write("made/x", "1").await.unwrap();
    HostDescriptor::rename_at(&mut world.ctx, root(), "app.conf".into(), root(), "made/y".into())
        .await
        .unwrap();
    assert_eq!(code(world.read("app.conf").await), ErrorCode::NoEntry);
    let not_empty = HostDescriptor::remove_directory_at(&mut world.ctx, root(), "made".into()).await;
    assert_eq!(code(not_empty), ErrorCode::NotEmpty);
    let listed = HostDescriptor::read_directory(&mut world.ctx, root()).await.unwrap().rep();
    let mut names = Vec::new();
    while let Some(entry) =
        HostDirectoryEntryStream::read_directory_entry(&mut world.ctx, Resource::new_borrow(listed))
            .await
            .unwrap()
    {
        assert_eq!(entry.type_, DescriptorType::Directory);
        names.push(entry.name);
    }
    assert_eq!(names, ["made", "sub"]);
    assert_eq!(world.conf(), "color = red\n");
    assert!(!world.path("etc/made").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out() {
    let mut world = World::live();
    symlink(world.path("other"), world.path("etc/door")).unwrap();
    symlink(world.path("other/secret"), world.path("etc/window")).unwrap();
    symlink("app.conf", world.path("etc/alias")).unwrap();
    symlink("sub", world.path("etc/lane")).unwrap();
    fs::write(world.path("etc/sub/x"), "x").unwrap();
    fs::hard_link(world.path("other/secret"), world.path("etc/twin")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(world.path("etc/pipe")).status().unwrap();
    assert!(fifo.success());
    fs::write(world.path("etc/huge"), vec![0; 5 << 20]).unwrap();
    for (path, expected) in [
        ("../other/secret", ErrorCode::NotPermitted),
        ("sub/../../other/secret", ErrorCode::NotPermitted),
        ("/etc/passwd", ErrorCode::NotPermitted),
        (".remit-tmp-1", ErrorCode::NotPermitted),
        ("a b", ErrorCode::IllegalByteSequence),
        ("caf\u{e9}", ErrorCode::IllegalByteSequence),
        ("a\0b", ErrorCode::IllegalByteSequence),
        ("", ErrorCode::NoEntry),
        ("nothing", ErrorCode::NoEntry),
        ("window", ErrorCode::Loop),
        ("alias", ErrorCode::Loop),
        ("door/secret", ErrorCode::NotPermitted),
        ("lane/x", ErrorCode::NotPermitted),
        ("twin", ErrorCode::NotPermitted),
        ("pipe", ErrorCode::NotPermitted),
        ("huge", ErrorCode::FileTooLarge),
        ("app.conf/x", ErrorCode::NotPermitted),
    ] {
        assert_eq!(code(world.read(path).await), expected, "{path:?}");
        if path != "nothing" {
            code(world.write(path, "x").await);
        }
    }
    assert_eq!(world.read("./sub//x").await.unwrap(), "x", "one spelling for the journal");
    assert_eq!(fs::read_to_string(world.path("other/secret")).unwrap(), "outside");
    assert!(world.refusals() >= 12, "{}", world.refusals());
    assert!(world.changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_swapped_for_a_link_is_neither_read_nor_written() {
    let mut world = World::live();
    let file = world.open("app.conf", anew()).await.unwrap().rep();
    HostDescriptor::write(&mut world.ctx, Resource::new_borrow(file), b"x".to_vec(), 0).await.unwrap();
    fs::remove_file(world.path("etc/app.conf")).unwrap();
    symlink(world.path("other/secret"), world.path("etc/app.conf")).unwrap();
    HostDescriptor::drop(&mut world.ctx, Resource::new_own(file)).await.unwrap_err();
    assert_eq!(fs::read_to_string(world.path("other/secret")).unwrap(), "outside");

    let mut world = World::live();
    world.write("sub/x", "mine").await.unwrap();
    fs::rename(world.path("etc/sub"), world.path("etc/moved")).unwrap();
    fs::write(world.path("other/x"), "mine").unwrap();
    symlink(world.path("other"), world.path("etc/sub")).unwrap();
    let undone = world.undo(&world.changes()[0]).await;
    assert!(matches!(undone, UndoResult::Conflict { .. }), "{undone:?}");
    assert!(world.path("other/x").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_allows_ends_the_run() {
    let scope = "[[allow]]\ncapability = \"remit:files/read\"\nresources = [\"file:etc/app.conf\"]\n";
    let mut world = World::new(Mode::Live, scope);
    assert_eq!(world.read("app.conf").await.unwrap(), "color = red\n");
    for trap in [
        trap(world.write("app.conf", "x").await),
        trap(world.read("sub/x").await),
        trap(world.read("sub").await),
    ] {
        assert!(matches!(fault(&trap), Fault::OutOfScope { .. }), "{trap:?}");
    }
    assert_eq!(world.refusals(), 3);
    assert_eq!(world.conf(), "color = red\n");

    let mut nothing = World::new(Mode::Live, "[limits]\n");
    assert!(preopens::Host::get_directories(&mut nothing.ctx).await.unwrap().is_empty());
    assert!(nothing.events().is_empty(), "nothing to ask about, nothing to record");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_times_are_not_offered() {
    let mut world = World::live();
    let root = world.root().await;
    let root = || Resource::new_borrow(root);
    let link = HostDescriptor::symlink_at(&mut world.ctx, root(), "app.conf".into(), "l".into()).await;
    assert_eq!(code(link), ErrorCode::Unsupported);
    let empty = PathFlags::empty();
    let link =
        HostDescriptor::link_at(&mut world.ctx, root(), empty, "app.conf".into(), root(), "l".into()).await;
    assert_eq!(code(link), ErrorCode::Unsupported);
    let read = HostDescriptor::readlink_at(&mut world.ctx, root(), "app.conf".into()).await;
    assert_eq!(code(read), ErrorCode::Unsupported);
    assert_eq!(world.refusals(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    let mut world = World::live();
    let file = world.open("big", anew()).await.unwrap().rep();
    let file = || Resource::new_borrow(file);
    let far = HostDescriptor::write(&mut world.ctx, file(), b"x".to_vec(), u64::MAX).await;
    assert_eq!(code(far), ErrorCode::FileTooLarge);
    let far = HostDescriptor::set_size(&mut world.ctx, file(), 5 << 20).await;
    assert_eq!(code(far), ErrorCode::FileTooLarge);
    HostDescriptor::set_size(&mut world.ctx, file(), 4 << 20).await.unwrap();
    for n in 0..3 {
        let file = world.open(&format!("big{n}"), anew()).await.unwrap();
        HostDescriptor::set_size(&mut world.ctx, file, 4 << 20).await.unwrap();
    }
    let file = world.open("straw", anew()).await.unwrap();
    let full = HostDescriptor::set_size(&mut world.ctx, file, 1).await;
    assert_eq!(code(full), ErrorCode::InsufficientMemory);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_goes_away_is_an_answer() {
    let mut world = World::live();
    fs::remove_dir_all(world.path("etc")).unwrap();
    assert_eq!(code(world.read("app.conf").await), ErrorCode::NoEntry);
    let trap = trap(world.write("app.conf", "x").await);
    assert!(trap.downcast_ref::<Unwritten>().is_some(), "{trap:?}");
    assert!(!world.path("etc").exists());
}

#[tokio::test]
async fn a_directory_must_be_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("home/keys")).unwrap();
    fs::create_dir_all(at("a/b")).unwrap();
    let entry =
        |name: &str, path: PathBuf| FilesConfig { name: name.to_owned(), path, ..FilesConfig::default() };
    for wrong in [
        vec![entry("x", at("home"))],
        vec![entry("x", at("home/keys"))],
        vec![entry("x", folder.path().to_owned())],
        vec![entry("x", "relative".into())],
        vec![entry("a/b", at("a"))],
        vec![entry("..", at("a"))],
        vec![entry("x", at("a")), entry("y", at("a/b"))],
        vec![entry("x", at("a")), entry("x", at("missing"))],
    ] {
        Files::open(&wrong, &at("home")).unwrap_err();
    }
    let late = Files::open(&[entry("x", at("missing"))], &at("home")).unwrap();
    assert!(late.check().await.iter().all(|checked| checked.found.is_err()));
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_somebody_elses_stays_theirs() {
    use std::os::unix::fs::MetadataExt as _;
    let mut world = World::live();
    let (from, to) = (world.path("etc/app.conf"), world.path("etc/sub/moved"));
    let root = world.root().await;
    let root = || Resource::new_borrow(root);
    let other = if rustix::process::geteuid().is_root() { 12345 } else { fs::metadata(&from).unwrap().uid() };
    std::os::unix::fs::chown(&from, Some(other), None).unwrap();
    // Renamed, it stays somebody else's; with a set-user-id bit it gets no other name at all.
    for bits in [0o4755, 0o2755] {
        fs::set_permissions(&from, fs::Permissions::from_mode(bits)).unwrap();
        let renamed =
            HostDescriptor::rename_at(&mut world.ctx, root(), "app.conf".into(), root(), "sub/moved".into());
        assert_eq!(code(renamed.await), ErrorCode::Access);
        assert!(!to.exists() && mode_of(&from) == bits);
    }
    world.write("app.conf", "other\n").await.unwrap();
    assert_eq!((fs::metadata(&from).unwrap().uid(), mode_of(&from)), (other, 0o2755));
    fs::set_permissions(&from, fs::Permissions::from_mode(0o640)).unwrap();
    HostDescriptor::rename_at(&mut world.ctx, root(), "app.conf".into(), root(), "sub/moved".into())
        .await
        .unwrap();
    assert_eq!((fs::metadata(&to).unwrap().uid(), mode_of(&to)), (other, 0o640));
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_that_stay_open_are_bounded() {
    let mut world = World::live();
    for n in 0..4000 {
        fs::write(world.path(&format!("etc/{n:0200}")), "").unwrap();
    }
    let root = world.root().await;
    let mut open = Vec::new();
    let full = loop {
        match HostDescriptor::read_directory(&mut world.ctx, Resource::new_borrow(root)).await {
            Ok(listing) => open.push(listing),
            refused => break code(refused),
        }
    };
    assert_eq!(full, ErrorCode::InsufficientMemory);
    assert!((2..20).contains(&open.len()), "{}", open.len());
    assert_eq!(world.refusals(), 1, "the limit is on record");
    HostDirectoryEntryStream::drop(&mut world.ctx, open.pop().unwrap()).await.unwrap();
    HostDescriptor::read_directory(&mut world.ctx, Resource::new_borrow(root)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_writes_is_counted() {
    let mut world = World::live();
    let mut written = 0;
    let failed = loop {
        let file = world.open(&format!("sub/big{written}"), anew()).await.unwrap().rep();
        HostDescriptor::set_size(&mut world.ctx, Resource::new_borrow(file), 4 << 20).await.unwrap();
        match HostDescriptor::drop(&mut world.ctx, Resource::new_own(file)).await {
            Ok(()) => written += 1,
            Err(trap) => break trap,
        }
    };
    assert_eq!(written, 16, "{failed:?}");
    assert!(failed.to_string().contains("67108864 are the most"), "{failed:?}");
}
