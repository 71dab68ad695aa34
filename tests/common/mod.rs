//! A world to test in: a home with keys, a signed action and a secret, and `remit` as a person types it.

#![allow(dead_code, reason = "the test of one more domain uses a part of it")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

pub mod agent;
pub mod bao;
pub mod cloud;
pub mod issuer;
pub mod job;
pub mod netns;
pub mod openldap;
pub mod pgbouncer;
pub mod postgres;
pub mod proxy;
pub mod receiver;
pub mod samba;
pub mod schema;
pub mod server;
pub mod witness;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

pub const SECRET: &str = "prod/payments/stripe";

/// One finished command.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Demands an exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Demands words on stderr.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.err.contains(words), "no `{words}` in:\n{}", self.err);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in:\n{}", self.out))
    }
}

pub struct World {
    pub dir: TempDir,
}

/// A file or folder of a world.
struct Kept {
    path: PathBuf,
    permissions: Permissions,
    /// A folder has none.
    bytes: Option<Vec<u8>>,
}

impl Kept {
    /// All that is below `folder`, each folder before what is in it.
    fn all(folder: &Path) -> Vec<Self> {
        let mut all = Vec::new();
        let mut folders = VecDeque::from([PathBuf::new()]);
        while let Some(below) = folders.pop_front() {
            for entry in fs::read_dir(folder.join(&below)).unwrap() {
                let entry = entry.unwrap();
                let permissions = entry.metadata().unwrap().permissions();
                let path = below.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    folders.push_back(path.clone());
                    all.push(Self { path, permissions, bytes: None });
                } else if !entry.file_name().to_string_lossy().ends_with("-shm") {
                    let bytes = Some(fs::read(entry.path()).unwrap());
                    all.push(Self { path, permissions, bytes });
                }
            }
        }
        all
    }

    fn put(&self, folder: &Path) {
        let path = folder.join(&self.path);
        match &self.bytes {
            None => fs::create_dir(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        fs::set_permissions(path, self.permissions.clone()).unwrap();
    }
}

impl World {
    /// Keys, a home that trusts them, `rotate-secret` and `misbehave` signed, one secret.
    pub fn new() -> Self {
        let world = Self::empty();
        world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
        world
    }

    /// The same without a secret.
    pub fn empty() -> Self {
        Self::with(&["rotate-secret", "misbehave"])
    }

    /// The same with keys of its own, which no other world of the test program has.
    pub fn stranger() -> Self {
        Self::make(&["rotate-secret", "misbehave"])
    }

    /// Keys, a home that trusts them, and these actions, signed and compiled: a copy of what each test program makes once. All of them
    /// have the same keys.
    pub fn with(actions: &[&str]) -> Self {
        static MADE: Mutex<BTreeMap<String, Vec<Kept>>> = Mutex::new(BTreeMap::new());
        let world = Self { dir: TempDir::new().unwrap() };
        // A test that fails while it makes one says so itself.
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = made.entry(actions.join(" ")).or_insert_with(|| Kept::all(Self::make(actions).dir.path()));
        for kept in kept {
            kept.put(world.dir.path());
        }
        world
    }

    fn make(actions: &[&str]) -> Self {
        let world = Self { dir: TempDir::new().unwrap() };
        world.remit(&["keys", "new", "--out", "publisher"]).exits(0);
        for name in ["admin", "alice", "bob", "bot"] {
            world.remit(&["keys", "new", "--out", name]).exits(0);
        }
        let trust = ["--publisher", "publisher.pub", "--admin", "admin.key"];
        let principals = ["--human", "alice.pub", "--human", "bob.pub", "--agent", "bot.pub"];
        let init = ["init", "--log", "test.example/journal"];
        world.remit(&[&init[..], &trust, &principals].concat()).exits(0);
        world.policies(POLICY);
        for name in actions {
            world.add(name);
        }
        // Compiled by a copy, whose journal then tells of it; the code and its seal are all that comes back.
        let copy = world.copy();
        for name in actions {
            copy.remit(&["plan", &format!("{name}.wasm"), "--input", "{}"]);
        }
        for kept in Kept::all(&copy.home()) {
            let path = kept.path.to_str().unwrap();
            if matches!(path, "cache" | "cache.key") || path.starts_with("cache/sha256-") {
                kept.put(&world.home());
            }
        }
        world
    }

    /// The same world in another place. SQLite's shared memory stays behind: it is worth nothing to the copy.
    pub fn copy(&self) -> Self {
        let copy = Self { dir: TempDir::new().unwrap() };
        for kept in Kept::all(self.dir.path()) {
            kept.put(copy.dir.path());
        }
        copy
    }

    /// Brings in one more action, signed.
    pub fn add(&self, name: &str) {
        let file = format!("{name}.wasm");
        fs::copy(plugins().join(&file), self.path(&file)).unwrap();
        self.remit(&["sign", &file, "--key", "publisher.key"]).exits(0);
    }

    /// Signs any file with the publisher's key, as somebody does who does not use `remit sign`.
    pub fn sign_anything(&self, name: &str) {
        let openssl = |args: &[&str]| {
            let output = Command::new("openssl").args(args).current_dir(self.dir.path()).output().unwrap();
            assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        openssl(&["dgst", "-sha256", "-sign", "publisher.key", "-out", "any.der", name]);
        openssl(&["base64", "-A", "-in", "any.der", "-out", &format!("{name}.sig")]);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Where the home keeps the key of `name`, relative to it: `role` is `publishers`, `admins` or `principals`.
    pub fn kept_key(&self, role: &str, name: &str) -> String {
        let folder = format!("keys/{role}");
        let mut files = fs::read_dir(self.home().join(&folder)).unwrap().flatten();
        let named = |file: &fs::DirEntry| {
            let file = file.file_name().into_string().unwrap();
            file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && rest.len() == 17)
        };
        format!("{folder}/{}", files.find(named).unwrap().file_name().into_string().unwrap())
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A file for its user only.
    pub fn private(&self, name: &str, value: &str) {
        self.write(name, value);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// One more connector, signed, in the home, to a system under a name; `entry` is the rest of its `[[connector]]`.
    pub fn connect(&self, connector: &str, name: &str, origin: &str, entry: &str) {
        self.add(connector);
        for file in [format!("{connector}.wasm"), format!("{connector}.wasm.sig")] {
            fs::rename(self.path(&file), self.home().join(&file)).unwrap();
        }
        self.configure(&format!(
            "\n[[connector]]\nname = \"{name}\"\ncomponent = \"{connector}.wasm\"\norigin = \"{origin}\"\n\
             allow_private = [\"127.0.0.1/32\"]\n{entry}\n"
        ));
    }

    /// One more person, with a key.
    pub fn person(&self, name: &str) {
        let file = format!("{name}.pub");
        self.remit(&["keys", "new", "--out", name]).exits(0);
        fs::copy(self.path(&file), self.home().join("keys/principals").join(&file)).unwrap();
        let principals = self.home().join("principals.toml");
        let text = fs::read_to_string(&principals).unwrap();
        let more = format!(
            "\n[[principal]]\nname = \"{name}\"\nkind = \"human\"\n[[principal.key]]\nfile = \"keys/principals/{file}\"\n"
        );
        fs::write(principals, text + &more).unwrap();
    }

    /// Adds this to `remit.toml`.
    pub fn configure(&self, more: &str) {
        let file = self.home().join("remit.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text + more).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("USER", "tester")
            .env("REMIT_KEY", "alice.key")
            .env("TEST_TOKEN", bao::Bao::TOKEN)
            .env("REMIT_HOME", self.home());
        command
    }

    #[track_caller]
    pub fn remit(&self, args: &[&str]) -> Ran {
        self.remit_with_stdin(args, "")
    }

    #[track_caller]
    pub fn remit_with_stdin(&self, args: &[&str], stdin: &str) -> Ran {
        let ran = finish(self.command(args), stdin);
        schema::hold(args, &ran.out);
        ran
    }

    /// Puts these policies in force, and no others.
    pub fn policies(&self, text: &str) {
        fs::write(self.home().join("policies/default.cedar"), text).unwrap();
        self.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
    }

    /// The bot asks for `action`, alice approves; what was asked for is called `name` from then on.
    pub fn grant(&self, action: &str, input: &str, name: &str) {
        self.ask(&["request", action, "--input", input], name);
    }

    /// The same for any change inside a scope, written as TOML.
    pub fn grant_scope(&self, scope: &str, action: &str, input: &str, name: &str) {
        self.write("scope.toml", scope);
        self.ask(&["request", action, "--input", input, "--scope", "scope.toml", "--without-plan"], name);
    }

    /// The bot asks, alice approves.
    pub fn ask(&self, request: &[&str], name: &str) {
        self.ask_because("test", request, name);
    }

    /// The same for a reason that somebody reads.
    pub fn ask_because(&self, reason: &str, request: &[&str], name: &str) {
        let rest = ["--reason", reason, "--key", "bot.key", "--json"];
        let asked = self.remit(&[request, &rest].concat()).exits(0).json();
        let id = asked["request"]["id"].as_str().unwrap();
        self.write(&format!("{name}.request"), id);
        self.remit(&["approve", id, "--key", "alice.key"]).exits(0);
    }

    /// The request that is called so.
    pub fn request(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.request"))).unwrap()
    }

    /// The bot starts it.
    pub fn run(&self, name: &str) -> Ran {
        self.remit(&["run", &self.request(name), "--key", "bot.key", "--json"])
    }

    /// The newest run's records.
    pub fn last_run(&self) -> (String, Vec<Value>) {
        let runs = self.remit(&["runs", "--json"]).exits(0).json();
        let run = runs.as_array().unwrap().last().unwrap()["run"].as_str().unwrap().to_owned();
        let shown = self.remit(&["show", &run, "--json"]).exits(0).json();
        (run, shown["records"].as_array().unwrap().clone())
    }

    /// The OCSF events of all runs, each held to what the schema of its class demands: see the fixture for its source.
    pub fn ocsf_events(&self) -> Vec<Value> {
        let out = self.remit(&["audit", "export", "--format", "ocsf"]).exits(0).out;
        let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        events.iter().for_each(ocsf);
        events
    }

    pub fn current_version(&self, secret: &str) -> u64 {
        let shown = self.remit(&["secret", "show", secret, "--json"]).exits(0).json();
        shown["current"].as_u64().unwrap()
    }

    /// A clock of its own for a command: what goes into its environment. The file `clock` says how many seconds it is ahead.
    pub fn clock(&self) -> [(&'static str, OsString); 2] {
        let (library, file) = (self.path("clock.so"), self.path("clock"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/contain/clock.c");
        let cc = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status();
        assert!(cc.unwrap().success(), "a C compiler makes the clock");
        fs::write(&file, "0").unwrap();
        [("LD_PRELOAD", library.into()), ("REMIT_TEST_CLOCK", file.into())]
    }

    #[track_caller]
    pub fn audit_is_sound(&self) {
        self.remit(&["audit", "verify"]).exits(0);
    }

    /// Every byte the home keeps, but for the key files: to look for what must not be there.
    pub fn all_bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.home()).unwrap().flatten() {
            if entry.path().is_file() && entry.path().extension().is_none_or(|e| e != "key") {
                all.extend(fs::read(entry.path()).unwrap());
            }
        }
        all
    }
}

/// What most tests need: one person approves anything. The shipped policies have tests of their own.
pub const POLICY: &str = r#"
@id("one-human")
@needs("1 human")
permit (principal, action == Remit::Action::"require", resource);
@id("anything")
permit (
    principal,
    action in [
        Remit::Action::"rehearse", Remit::Action::"propose", Remit::Action::"trigger", Remit::Action::"revoke", Remit::Action::"revert",
        Remit::Action::"freeze", Remit::Action::"review", Remit::Action::"resolve"
    ],
    resource
);
@id("humans-approve")
permit (principal, action == Remit::Action::"approve", resource) when { principal.kind == "human" };
"#;

/// A scope with every capability of `misbehave` on `resources`, after `head`: TOML of its own.
pub fn scope(head: &str, resources: &str) -> String {
    let allow = |name| {
        format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:{resources}\"]\n")
    };
    let rules: String = ["inspect", "rotate", "disable", "destroy", "reveal"].map(allow).concat();
    format!("{head}\n{rules}")
}

pub fn plugins() -> PathBuf {
    match std::env::var_os("REMIT_PLUGINS") {
        Some(path) => PathBuf::from(path),
        None => panic!("REMIT_PLUGINS is not set: run the tests with `cargo xtask test`"),
    }
}

pub fn finish(mut command: Command, stdin: &str) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Holds an event to the class of OCSF.
fn ocsf(event: &Value) {
    let schema = include_str!("../fixtures/ocsf-1.8-remediation.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let is = |value: &Value, kind: &Value| match kind.as_str().unwrap() {
        "integer" => value.is_u64(),
        "string" => value.as_str().is_some_and(|text| !text.is_empty()),
        "object" => value.is_object(),
        other => panic!("{other}"),
    };
    for (name, kind) in schema["required"].as_object().unwrap() {
        assert!(is(&event[name], kind), "{name} in {event:#}");
    }
    for (name, value) in event.as_object().unwrap() {
        let kind = [&schema["required"][name], &schema["optional"][name]].into_iter().find(|k| !k.is_null());
        assert!(is(value, kind.unwrap_or_else(|| panic!("{name} is not in the class"))), "{name}");
    }
    for (name, value) in schema["constants"].as_object().unwrap() {
        assert_eq!(&event[name], value);
    }
    for (name, values) in schema["enums"].as_object().unwrap() {
        assert!(values.as_array().unwrap().contains(&event[name]), "{name}: {}", event[name]);
        let caption = &schema["captions"][name][event[name].to_string()];
        let written = &event[name.replace("_id", if name == "activity_id" { "_name" } else { "" })];
        assert!(caption.is_null() || name == "severity_id" || written == caption, "{name}: {written}");
    }
    assert_eq!(event["type_uid"].as_u64(), event["activity_id"].as_u64().map(|id| 700_100 + id));
    for (object, attributes) in schema["objects"].as_object().unwrap() {
        let has = |list: &Value, name: &Value| list.as_array().unwrap().contains(name);
        for name in attributes["required"].as_array().unwrap() {
            assert!(!event[object][name.as_str().unwrap()].is_null(), "{object}.{name}");
        }
        for name in event[object].as_object().unwrap().keys() {
            let name = Value::from(name.as_str());
            assert!(has(&attributes["required"], &name) || has(&attributes["optional"], &name), "{name}");
        }
    }
    assert!(!event["metadata"]["product"]["name"].is_null() && event["metadata"]["version"] == "1.8.0");
    assert!(event["time"].as_u64().unwrap() > 1_700_000_000_000, "milliseconds");
}
