//! The same guest on our WASI and on `wasmtime-wasi`: an ordinary C program, step by step, gets the same answers and leaves
//! the same files. Where ours differs on purpose, the step says why.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_backend::{Files, FilesConfig, Systems as _};
use remit_capability::bindings::ActionPre;
use remit_capability::fixture::Offline as _;
use remit_capability::{BUILT_IN, Ctx};
use remit_gate::{Estate, Facts, Gate, Mode, Scope, Setup};
use remit_journal::{Journal, RunId};
use remit_tlog::NoteSigner;
use remit_trust::Sealer;
use serde_json::{Value, json};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};

const SCOPE: &str = r#"
[limits]
changes = 1000
[[allow]]
capability = "remit:files/read"
resources = ["file:etc", "file:etc/**"]
[[allow]]
capability = "remit:files/write"
resources = ["file:etc/**"]
"#;

/// A store for either: what the host's capabilities need, and what `wasmtime-wasi` needs.
struct Guest {
    ctx: Ctx,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl AsMut<Ctx> for Guest {
    fn as_mut(&mut self) -> &mut Ctx {
        &mut self.ctx
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A link gives a file a second name, and a grant is of names.
const LINKS: &str = "links are neither followed nor made";
/// Whether that is a file or a link.
const BELOW: &str = "a path through something that is no directory is refused";
/// No undo could bring them back.
const TIMES: &str = "times of files are not offered";

/// One step of the guest (see `tests/guests/plain-c`), and the answer of ours where it differs from the oracle's.
struct Step {
    step: Value,
    ours: Option<(Value, &'static str)>,
}

/// Both give the same answer.
fn same(step: Value) -> Step {
    Step { step, ours: None }
}

/// Ours gives another answer, on purpose.
fn differs(step: Value, ours: Value, why: &'static str) -> Step {
    Step { step, ours: Some((ours, why)) }
}

fn error(message: &str) -> Value {
    json!({ "error": message })
}

struct Bench {
    engine: Engine,
    ours: ActionPre<Guest>,
    theirs: ActionPre<Guest>,
}

impl Bench {
    fn new() -> Self {
        let Some(plugins) = std::env::var_os("REMIT_PLUGINS") else {
            panic!("REMIT_PLUGINS is not set: run the tests with `cargo xtask test`");
        };
        let engine = Engine::default();
        let guest = Component::from_file(&engine, PathBuf::from(plugins).join("plain-c.wasm")).unwrap();
        let mut ours = Linker::<Guest>::new(&engine);
        for interface in BUILT_IN.interfaces() {
            interface.link(&mut ours).unwrap();
        }
        let mut theirs = Linker::<Guest>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut theirs).unwrap();
        BUILT_IN.find("remit:host/log@0.1.0").unwrap().link(&mut theirs).unwrap();
        let pre = |linker: &Linker<Guest>| ActionPre::new(linker.instantiate_pre(&guest).unwrap()).unwrap();
        Self { ours: pre(&ours), theirs: pre(&theirs), engine }
    }

    /// What the guest answers, and what is in its directory afterwards.
    async fn run(
        &self,
        pre: &ActionPre<Guest>,
        steps: &[&Value],
    ) -> (Vec<Value>, BTreeMap<PathBuf, Option<String>>) {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("etc");
        fs::create_dir_all(etc.join("sub/empty")).unwrap();
        fs::write(etc.join("app.conf"), "color = red\n").unwrap();
        fs::write(etc.join("sub/one"), "1").unwrap();
        fs::write(folder.path().join("outside"), "outside").unwrap();
        symlink("app.conf", etc.join("link")).unwrap();
        symlink("../outside", etc.join("out")).unwrap();

        let wasi = WasiCtx::builder().preopened_dir(&etc, "/etc", FsPerms::ReadWrite).unwrap().build();
        let guest = Guest { ctx: ctx(folder.path()), wasi, table: ResourceTable::new() };
        let mut store = Store::new(&self.engine, guest);
        let exports = pre.instantiate_async(&mut store).await.unwrap();
        let input = json!({ "steps": steps }).to_string();
        let output = exports.remit_action_remediation().call_run(&mut store, &input).await.unwrap().unwrap();
        let output: Value = serde_json::from_str(&output).unwrap();
        let mut left = BTreeMap::new();
        walk(&etc, &mut left);
        (output["steps"].as_array().unwrap().clone(), left)
    }

    /// Holds ours to the oracle. The steps that differ leave other files at `except`.
    async fn compare(&self, steps: &[Step], except: &[&str]) {
        let asked: Vec<&Value> = steps.iter().map(|step| &step.step).collect();
        let (ours, mut our_files) = self.run(&self.ours, &asked).await;
        let (theirs, mut their_files) = self.run(&self.theirs, &asked).await;
        let mut wrong = Vec::new();
        for ((step, ours), theirs) in steps.iter().zip(&ours).zip(&theirs) {
            match &step.ours {
                None if ours == theirs => {}
                Some((stated, _)) if ours == stated && ours != theirs => {}
                stated => {
                    wrong.push(format!("{}: ours {ours}, theirs {theirs}, stated {stated:?}", step.step));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for path in except.iter().map(Path::new) {
            let (ours, theirs) = (our_files.remove(path), their_files.remove(path));
            assert_ne!(ours, theirs, "{}", path.display());
        }
        assert_eq!(our_files, their_files);
    }
}

fn walk(folder: &Path, left: &mut BTreeMap<PathBuf, Option<String>>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name: PathBuf = entry.path().components().skip_while(|c| c.as_os_str() != "etc").collect();
        let directory = entry.file_type().unwrap().is_dir();
        left.insert(name, if directory { None } else { fs::read_to_string(entry.path()).ok() });
        if directory {
            walk(&entry.path(), left);
        }
    }
}

fn ctx(folder: &Path) -> Ctx {
    let home = folder.join("home");
    fs::create_dir(&home).unwrap();
    let run = RunId::new();
    let files = FilesConfig { name: "etc".to_owned(), path: folder.join("etc"), ..FilesConfig::default() };
    let gate = Gate::new(Setup {
        facts: Facts {
            run,
            started: jiff::Timestamp::UNIX_EPOCH,
            reason: "a test".to_owned(),
            seed: [9; 32],
        },
        mode: Mode::Live,
        scope: Scope::parse(SCOPE, "scope.toml").unwrap(),
        plan: None,
        window: None,
        watch: None,
        estate: Files::open(&[files], &home).unwrap().serve(Estate::default()),
        journal: Journal::open(&home.join("journal"), NoteSigner::from_seed("test", &[1; 32]).unwrap())
            .unwrap(),
        sealer: Arc::new(Sealer::load_or_create(&home.join("seal.key")).unwrap()),
    });
    Ctx::new(gate, [9; 32], BUILT_IN.clone())
}

#[tokio::test]
async fn what_is_not_a_file() {
    let steps = [
        same(json!(["variables"])),
        same(json!(["input"])),
        same(json!(["terminals"])),
        same(json!(["random", 0])),
        same(json!(["random", 1])),
        same(json!(["random", 255])),
        same(json!(["clocks"])),
    ];
    Bench::new().compare(&steps, &[]).await;
}

#[tokio::test]
async fn files_and_directories() {
    let bench = Bench::new();
    let reading = [
        same(json!(["list", "/etc"])),
        same(json!(["list", "/etc/sub"])),
        same(json!(["list", "/etc/sub/empty"])),
        same(json!(["list", "/etc/app.conf"])),
        same(json!(["list", "/etc/none"])),
        same(json!(["stat", "/etc/app.conf"])),
        same(json!(["stat", "/etc/sub"])),
        differs(json!(["dated", "/etc/app.conf"]), json!(false), TIMES),
        same(json!(["stat", "/etc/none"])),
        differs(json!(["stat", "/etc/app.conf/below"]), error("Operation not permitted"), BELOW),
        same(json!(["stat", "/etc/sub/./one"])),
        same(json!(["stat", "/etc/sub//one"])),
        same(json!(["stat", "/etc/sub/"])),
        differs(
            json!(["stat", "/etc/app.conf/"]),
            json!({ "kind": "file", "size": 12 }),
            "a slash at the end of a path is ignored",
        ),
        differs(
            json!(["stat", "/etc/sub/../app.conf"]),
            error("Operation not permitted"),
            "a path with `..` is refused, wherever it leads",
        ),
        same(json!(["stat", "/etc/../outside"])),
        same(json!(["stat", "/other"])),
        same(json!(["stat", ""])),
        differs(json!(["stat", "/etc/link"]), error("Symbolic link loop"), LINKS),
        differs(json!(["lstat", "/etc/link"]), error("Symbolic link loop"), LINKS),
        differs(json!(["stat", "/etc/out"]), error("Symbolic link loop"), LINKS),
        differs(json!(["readlink", "/etc/link"]), error("Not supported"), LINKS),
        differs(json!(["open", "/etc/link", "r", ["read", 100]]), error("Symbolic link loop"), LINKS),
        differs(json!(["open", "/etc/out", "r", ["read", 100]]), error("Symbolic link loop"), LINKS),
        same(json!([
            "open",
            "/etc/app.conf",
            "r",
            ["read", 5],
            ["read", 100],
            ["read", 100],
            ["size"],
            ["write", "x"]
        ])),
        same(json!([
            "open",
            "/etc/app.conf",
            "r",
            ["seek", 8],
            ["read", 100],
            ["seek-end", -4],
            ["read", 100],
            ["seek", -1],
            ["seek", 1000],
            ["read", 1]
        ])),
        same(json!(["open", "/etc/app.conf", "r", ["truncate", 1], ["advise"], ["sync"]])),
        same(json!(["open", "/etc/app.conf", "rd"])),
        same(json!(["open", "/etc/sub", "r", ["read", 1]])),
        differs(
            json!(["open", "/etc/sub", "r", ["size"]]),
            json!([0]),
            "the size of a directory is the file system's own",
        ),
        same(json!(["open", "/etc/sub", "rd"])),
        same(json!(["open", "/etc/sub", "w"])),
        same(json!(["open", "/etc/sub", "rwc"])),
        same(json!(["open", "/etc/none", "r"])),
        same(json!(["open", "/etc/none", "w"])),
        same(json!(["open", "/etc/none/below", "wc"])),
        differs(json!(["open", "/etc/app.conf/below", "wc"]), error("Operation not permitted"), BELOW),
        same(json!(["open", "/etc/app.conf", "wcx"])),
        same(json!(["open", "/etc/sub", "wcx"])),
    ];
    bench.compare(&reading, &[]).await;
    let writing = [
        same(json!([
            "open",
            "/etc/new",
            "wc",
            ["write", "one "],
            ["write", "two"],
            ["size"],
            ["read", 1],
            ["seek", 4],
            ["write", "TWO!"]
        ])),
        same(json!(["open", "/etc/new", "r", ["read", 100]])),
        same(json!([
            "open",
            "/etc/app.conf",
            "rw",
            ["seek", 8],
            ["write", "blue"],
            ["seek", 0],
            ["read", 100],
            ["truncate", 3],
            ["size"]
        ])),
        same(json!(["stat", "/etc/app.conf"])),
        same(json!(["open", "/etc/app.conf", "wa", ["write", "!"], ["seek", 0], ["write", "?"]])),
        same(json!([
            "open",
            "/etc/app.conf",
            "rwt",
            ["size"],
            ["seek", 4],
            ["write", "hole"],
            ["seek", 0],
            ["read", 2]
        ])),
        same(json!(["open", "/etc/once", "wcx", ["write", "1"]])),
        same(json!(["open", "/etc/once", "wcx"])),
        same(json!(["open", "/etc/once", "rwc", ["read", 10], ["write", "2"], ["sync"]])),
        same(json!(["open", "/etc/made-only", "wc"])),
        same(json!([
            "open",
            "/etc/longer",
            "rwc",
            ["truncate", 10],
            ["size"],
            ["seek", 8],
            ["write", "end"]
        ])),
        same(json!(["open", "/etc/seen", "wc", ["write", "x"], ["sync"]])),
        same(json!(["list", "/etc"])),
        same(json!(["mkdir", "/etc/dir"])),
        same(json!(["mkdir", "/etc/dir"])),
        same(json!(["mkdir", "/etc/app.conf"])),
        same(json!(["mkdir", "/etc/none/dir"])),
        same(json!(["mkdir", "/etc/dir/dir"])),
        same(json!(["rmdir", "/etc/dir"])),
        same(json!(["rmdir", "/etc/dir/dir"])),
        same(json!(["rmdir", "/etc/dir"])),
        same(json!(["rmdir", "/etc/dir"])),
        same(json!(["rmdir", "/etc/app.conf"])),
        same(json!(["rmdir", "/etc/sub"])),
        differs(
            json!(["unlink", "/etc/sub"]),
            error("Operation not permitted"),
            "as POSIX has it; Linux says that it is a directory",
        ),
        same(json!(["unlink", "/etc/none"])),
        same(json!(["unlink", "/etc/once"])),
        same(json!(["stat", "/etc/once"])),
        same(json!(["rename", "/etc/new", "/etc/newer"])),
        same(json!(["rename", "/etc/newer", "/etc/app.conf"])),
        same(json!(["rename", "/etc/none", "/etc/other"])),
        same(json!(["rename", "/etc/app.conf", "/etc/app.conf"])),
        differs(
            json!(["rename", "/etc/app.conf", "/etc/sub"]),
            error("Invalid argument"),
            "a rename is a write and a removal",
        ),
        same(json!(["rename", "/etc/app.conf", "/etc/none/below"])),
        same(json!([
            "open",
            "/etc/app.conf",
            "rw",
            ["unlink", "/etc/app.conf"],
            ["write", "gone"],
            ["seek", 0],
            ["read", 9]
        ])),
        same(json!(["stat", "/etc/app.conf"])),
        differs(json!(["link", "/etc/seen", "/etc/other"]), error("Not supported"), LINKS),
        differs(json!(["symlink", "seen", "/etc/another"]), error("Not supported"), LINKS),
        differs(json!(["touch", "/etc/seen"]), error("Not supported"), TIMES),
        differs(json!(["open", "/etc/seen", "rw", ["touch"]]), json!([error("Not supported")]), TIMES),
        same(json!(["stat", "/etc/seen"])),
    ];
    bench.compare(&writing, &["etc/other", "etc/another"]).await;
    // What is offered for files only.
    let of_directories = [differs(
        json!(["rename", "/etc/sub", "/etc/other"]),
        error("Not supported"),
        "a directory is not renamed",
    )];
    bench
        .compare(
            &of_directories,
            &["etc/sub", "etc/sub/one", "etc/sub/empty", "etc/other", "etc/other/one", "etc/other/empty"],
        )
        .await;
}
