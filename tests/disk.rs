//! Files: what is read, what is written, and whose they are.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Ran, SECRET, World, finish};
use tempfile::TempDir;

/// Longer than anything here takes, and shorter than for ever.
const SOON: Duration = Duration::from_secs(20);

impl World {
    fn fifo(&self, name: &str) {
        assert!(Command::new("mkfifo").arg(self.path(name)).status().unwrap().success());
    }

    /// In a shell, for what only one can do; `remit` is the program.
    fn shell(&self, line: &str) -> Ran {
        let mut command = Command::new("bash");
        let program = env!("CARGO_BIN_EXE_remit");
        command.args(["-c", &format!("remit() {{ {program} \"$@\"; }}; {line}")]);
        let like = self.command(&[]);
        command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.dir.path());
        finish(command, "")
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn ask_for_rotation(&self) -> String {
        let ask = [
            "request",
            "rotate-secret.wasm",
            "--input",
            INPUT,
            "--reason",
            "r",
            "--key",
            "bot.key",
            "--json",
        ];
        self.remit(&ask).exits(0).json()["request"]["id"].as_str().unwrap().to_owned()
    }

    fn rotated(&self) -> String {
        self.grant("rotate-secret.wasm", INPUT, "it");
        self.run("it").exits(0);
        self.last_run().0
    }
}

const INPUT: &str = r#"{"path": "prod/payments/stripe"}"#;

/// A world with keys in it, and no home.
fn keys() -> World {
    let world = World { dir: TempDir::new().unwrap() };
    fs::set_permissions(world.dir.path(), Permissions::from_mode(0o755)).unwrap();
    for name in ["publisher", "admin", "alice"] {
        world.remit(&["keys", "new", "--out", name]).exits(0);
    }
    world
}

const INIT: [&str; 9] = [
    "init",
    "--log",
    "test.example/journal",
    "--publisher",
    "publisher.pub",
    "--admin",
    "admin.key",
    "--human",
    "alice.pub",
];

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Everything below a folder, with its mode.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut all = vec![(folder.display().to_string(), mode(folder))];
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            all.extend(modes(&entry.path()));
        } else {
            all.push((entry.path().display().to_string(), mode(&entry.path())));
        }
    }
    all
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Somebody else: nobody.
fn as_nobody(mut command: Command) -> Command {
    let mut other = Command::new("setpriv");
    other.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    other.arg(command.get_program()).args(command.get_args());
    other.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    command.env_clear();
    other
}

#[test]
fn attack_a_pipe_in_the_place_of_a_file_hangs_nobody() {
    let world = World::new();
    let run = world.rotated();
    let request = world.ask_for_rotation();
    world.write("old", world.remit(&["audit", "checkpoint"]).exits(0).out);
    world.remit(&["audit", "prove", &run, "--out", "proof"]).exits(0);
    world.fifo("f");
    let since = Instant::now();
    let plan = ["plan", "rotate-secret.wasm", "--input", INPUT];
    for args in [
        &["plan", "rotate-secret.wasm", "--input", "@f"][..],
        &[&plan[..], &["--scope", "f"]].concat(),
        &["approve", &request, "--key", "f"],
        &["approve", &request, "--signature", "f"],
        &["audit", "consistency", "f"],
        &["audit", "check-proof", "f", "--key", "home/log.pub"],
        &["audit", "check-proof", "proof", "--key", "f"],
        &["inspect", "f"],
        &["policy", "test", "f"],
        &["test", "rotate-secret.wasm", "f"],
    ] {
        world.remit(args).exits(2).says("f: it is a named pipe, and nobody writes into it");
    }
    for file in ["principals.toml", "remit.toml", "rules.signed.json", "policies/default.cedar"] {
        let at = world.home().join(file);
        fs::rename(&at, world.path("kept")).unwrap();
        world.fifo(&format!("home/{file}"));
        world.remit(&["requests"]).exits(2).says(file).says("it is a pipe");
        let told = world.remit(&["doctor"]).exits(1).out;
        assert!(told.contains("it is a pipe"), "{told}");
        fs::rename(world.path("kept"), &at).unwrap();
    }
    // Nor do databases, which another library opens.
    for file in ["journal.db", "secrets.db"] {
        let at = world.home().join(file);
        fs::rename(&at, world.path("kept")).unwrap();
        world.fifo(&format!("home/{file}"));
        let refused = world.remit(&["secret", "show", SECRET]);
        assert!(file != "secrets.db" || refused.err.contains("it is a pipe"), "{refused:?}");
        let told = world.remit(&["doctor"]).exits(1).out;
        assert!(told.contains("it is a pipe"), "{told}");
        world.remit(&["recover"]);
        fs::remove_file(&at).unwrap();
        fs::rename(world.path("kept"), &at).unwrap();
    }
    // Locks are opened to write: they are no way to wait either.
    for lock in ["lock", "start.lock", "runs.lock"] {
        // One that nobody needed yet is not there.
        let _ = fs::remove_file(world.home().join(lock));
        world.fifo(&format!("home/{lock}"));
    }
    world.remit(&["approve", &request]).exits(1).says("home/lock");
    assert!(since.elapsed() < SOON, "it waited: {:?}", since.elapsed());
}

#[test]
fn a_pipe_is_read_once_wherever_a_person_may_name_one() {
    let world = World::new();
    let old = world.remit(&["audit", "checkpoint"]).exits(0).out;
    world.write("old", old);
    world.write("input.json", INPUT);
    world.write(
        "scope.toml",
        "[[allow]]\ncapability = \"remit:secrets/*\"\nresources = [\"secret:prod/**\"]\n",
    );
    let request = world.ask_for_rotation();
    world.shell(&format!("remit approve {request} --key <(cat alice.key)")).exits(0);
    let request = world.ask_for_rotation();
    world.shell(&format!("cat alice.key | remit approve {request} --key /dev/stdin")).exits(0);
    let request = world.ask_for_rotation();
    world.shell(&format!("cat alice.key | remit approve {request} --key -")).exits(0);
    let ask = format!("remit request rotate-secret.wasm --input '{INPUT}' --reason r --key <(cat bot.key)");
    world.shell(&ask).exits(0);
    world.shell("remit rules sign --key <(cat admin.key)").exits(0);
    world.shell("remit sign rotate-secret.wasm --force --key <(cat publisher.key)").exits(0);
    world.shell("remit plan rotate-secret.wasm --input @<(cat input.json)").exits(0);
    world.shell("remit plan rotate-secret.wasm --input - < input.json").exits(0);
    world.shell("remit audit consistency <(cat old)").exits(0);
    world.shell("remit inspect <(cat rotate-secret.wasm)").exits(0);
    world.shell("remit --home h2 init --log a.example/j --publisher <(cat publisher.pub) --human alice=<(cat alice.pub)").exits(0);
    // What others can read is no place for a key, by whatever way it comes.
    fs::copy(world.path("alice.key"), world.path("open.key")).unwrap();
    fs::set_permissions(world.path("open.key"), Permissions::from_mode(0o644)).unwrap();
    let request = world.ask_for_rotation();
    world
        .shell(&format!("remit approve {request} --key - < open.key"))
        .exits(2)
        .says("can be read by others");
    world.fifo("f");
    fs::set_permissions(world.path("f"), Permissions::from_mode(0o644)).unwrap();
    let request = world.ask_for_rotation();
    world
        .shell(&format!("cat alice.key > f & remit approve {request} --key f"))
        .exits(2)
        .says("f can be read by others");
}

#[test]
fn what_is_wrong_with_a_signature_names_its_file_and_does_not_stop_inspect() {
    let world = World::new();
    fs::copy(world.path("rotate-secret.wasm"), world.path("foreign.wasm")).unwrap();
    let signature = world.path("foreign.wasm.sig");
    let look = |says: &str| {
        world.remit(&["inspect", "foreign.wasm"]).exits(0).says("foreign.wasm.sig").says(says);
        let plan = ["plan", "foreign.wasm", "--input", INPUT];
        world.remit(&plan).exits(2).says("foreign.wasm.sig").says(says);
    };
    let since = Instant::now();
    fs::create_dir(&signature).unwrap();
    look("it is a folder, not a signature");
    fs::remove_dir(&signature).unwrap();
    world.fifo("foreign.wasm.sig");
    look("it is a pipe");
    world
        .remit(&["sign", "foreign.wasm", "--key", "publisher.key", "--force"])
        .exits(2)
        .says("nobody reads it");
    fs::remove_file(&signature).unwrap();
    fs::File::create(&signature).unwrap().set_len(3 << 30).unwrap();
    look("larger than a signature can be (64 KiB)");
    fs::write(&signature, "").unwrap();
    look("it is empty");
    fs::remove_file(&signature).unwrap();
    symlink("foreign.wasm.sig", &signature).unwrap();
    look("Too many levels of symbolic links");
    assert!(since.elapsed() < SOON, "it waited");
    for (name, says) in [("/dev/zero", "it is a device, not a component"), ("home", "it is a folder")] {
        world.remit(&["inspect", name]).exits(2).says(says);
    }
}

#[test]
fn text_in_another_encoding_is_named() {
    let world = World::new();
    let plan = |input: &[u8]| {
        world.write("in.json", input);
        world.remit(&["plan", "rotate-secret.wasm", "--input", "@in.json"])
    };
    plan(INPUT.replace(' ', "\r\n").as_bytes()).exits(0);
    plan(&[b"\xef\xbb\xbf", INPUT.as_bytes()].concat()).exits(2).says("in.json").says("byte order mark");
    let utf16: Vec<u8> = INPUT.encode_utf16().flat_map(u16::to_le_bytes).collect();
    plan(&[b"\xff\xfe", &utf16[..]].concat()).exits(2).says("in.json").says("UTF-16").says("iconv");
    plan(&utf16).exits(2).says("UTF-16");
    plan(b"").exits(2).says("it is empty");
    let config = world.home().join("remit.toml");
    let text = fs::read(&config).unwrap();
    fs::write(&config, [b"\xef\xbb\xbf", &text[..]].concat()).unwrap();
    world.remit(&["runs"]).exits(2).says("remit.toml").says("byte order mark");
}

#[test]
fn what_is_written_goes_into_devices_and_pipes_and_behind_links() {
    let world = World::new();
    let run = world.rotated();
    let proves = |to: &str| world.remit(&["audit", "prove", &run, "--out", to]).exits(0);
    let plan = ["plan", "rotate-secret.wasm", "--input", INPUT];

    // A pipe, whose reader gets all of it; nothing else is said into it.
    world.fifo("f");
    let cat = Command::new("cat").arg(world.path("f")).stdout(Stdio::piped()).spawn().unwrap();
    let reader = std::thread::spawn(|| cat.wait_with_output().unwrap().stdout);
    assert_eq!(proves("f").out, "");
    world.write("got", reader.join().unwrap());
    world.remit(&["audit", "check-proof", "got", "--key", "home/log.pub"]).exits(0);
    assert!(fs::metadata(world.path("f")).unwrap().file_type().is_fifo());
    world.remit(&["audit", "prove", &run, "--out", "f"]).exits(2).says("nobody reads it");

    // Standard output, by each of its names, as a pipe and as a file.
    symlink("/proc/self/fd/1", world.path("stdout")).unwrap();
    for name in ["-", "/dev/stdout", "stdout"] {
        world.write("got", proves(name).out);
        world.remit(&["audit", "check-proof", "got", "--key", "home/log.pub"]).exits(0);
        world
            .shell(&format!("{{ echo first; remit audit prove {run} --out {name}; echo last; }} > all"))
            .exits(0);
        let all = world.text("all");
        assert!(all.starts_with("first\n{") && all.ends_with("}\nlast\n"), "{name}: {all}");
    }
    assert!(world.path("stdout").is_symlink());

    // A device. Only root can make one, and is the one whom it would hurt.
    let device = world.path("null");
    if Command::new("mknod")
        .arg(&device)
        .args(["c", "1", "3"])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
    {
        proves("null");
        world.remit(&[&plan[..], &["--out", "null", "--emit-scope", "null"]].concat()).exits(0);
        world.write("old", world.remit(&["audit", "checkpoint"]).exits(0).out);
        world.remit(&["audit", "consistency", "old", "--out", "null"]).exits(0);
        let there = fs::symlink_metadata(&device).unwrap();
        assert!(there.file_type().is_char_device(), "the device was replaced");
    }

    // A link stays; what it leads to is replaced, with its mode, its owner, and whole.
    fs::create_dir(world.path("srv")).unwrap();
    for name in ["scope.toml", "it.sig", "f.toml"] {
        world.write(&format!("srv/{name}"), "old");
        fs::set_permissions(world.path(&format!("srv/{name}")), Permissions::from_mode(0o640)).unwrap();
    }
    symlink("srv/scope.toml", world.path("night.toml")).unwrap();
    symlink("srv/new.json", world.path("new.json")).unwrap();
    world.remit(&[&plan[..], &["--emit-scope", "night.toml", "--out", "new.json"]].concat()).exits(0);
    fs::remove_file(world.path("rotate-secret.wasm.sig")).unwrap();
    symlink("srv/it.sig", world.path("rotate-secret.wasm.sig")).unwrap();
    world.remit(&["sign", "rotate-secret.wasm", "--key", "publisher.key", "--force"]).exits(0);
    world.write("srv/f.toml", "[input]\npath = \"app/db\"\n[[secret]]\npath = \"app/db\"\n");
    symlink("srv/f.toml", world.path("f.toml")).unwrap();
    world.remit(&["test", "rotate-secret.wasm", "f.toml", "--record"]).exits(0);
    for link in ["night.toml", "new.json", "rotate-secret.wasm.sig", "f.toml"] {
        assert!(world.path(link).is_symlink(), "{link} is no link any more");
    }
    assert!(
        world.text("srv/scope.toml").contains("[[allow]]") && world.text("srv/new.json").starts_with('{')
    );
    assert!(world.text("srv/f.toml").contains("[expect]"));
    for name in ["scope.toml", "it.sig", "f.toml"] {
        assert_eq!(mode(&world.path(&format!("srv/{name}"))), 0o640, "{name}");
    }
    assert_eq!(fs::read_dir(world.path("srv")).unwrap().count(), 4, "a draft was left");
    // A key is nothing to be put behind a link.
    symlink("srv/k.key", world.path("k.key")).unwrap();
    world.remit(&["keys", "new", "--out", "k"]).exits(2).says("k.key").says("nothing was written");
    assert!(!world.path("srv/k.key").exists() && !world.path("k.pub").exists());
}

#[test]
fn what_belongs_to_somebody_else_is_written_and_stays_theirs() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let plan = ["plan", "rotate-secret.wasm", "--input", INPUT, "--out", "plan.json"];
    world.write("plan.json", "old");
    chown(world.path("plan.json"), Some(65534), Some(65534)).unwrap();
    fs::set_permissions(world.path("plan.json"), Permissions::from_mode(0o604)).unwrap();
    world.remit(&plan).exits(0);
    let there = fs::metadata(world.path("plan.json")).unwrap();
    assert_eq!((there.uid(), there.gid(), there.mode() & 0o7777), (65534, 65534, 0o604));
    assert!(world.text("plan.json").starts_with('{'));
}

#[test]
fn attack_a_home_is_never_what_happens_to_lie_here_nor_somebody_elses() {
    let world = World::new();
    world.shell("cp -r home .remit; cp -r home foreign").exits(0);
    let without = |set: &[(&str, &str)], args: &[&str]| {
        let mut command = world.command(args);
        command.env_remove("REMIT_HOME").env_remove("HOME").envs(set.iter().copied());
        finish(command, "")
    };
    for set in [&[][..], &[("HOME", "")]] {
        for args in [
            &["principals"][..],
            &["runs"],
            &["plan", "rotate-secret.wasm", "--input", INPUT],
            &["audit", "verify"],
            &["init", "--log", "other.example/j", "--publisher", "publisher.pub"],
        ] {
            without(set, args).exits(2).says("HOME is not set").says("--home");
        }
        let told = without(set, &["doctor"]).exits(1).out;
        assert!(told.contains("HOME is not set"), "{told}");
        // What needs no home needs no HOME.
        without(set, &["inspect", "rotate-secret.wasm"]).exits(0);
        without(set, &["keys", "new", "--out", &format!("k{}", set.len())]).exits(0);
    }
    without(&[], &["--home", ".remit", "principals"]).exits(0);
    without(&[("HOME", world.dir.path().to_str().unwrap())], &["principals"]).exits(0);
    if is_root() {
        chown(world.path("foreign"), Some(65534), None).unwrap();
        let refused = world.remit(&["--home", "foreign", "principals"]).exits(2);
        refused.says("foreign: it belongs to the user 65534, who could change it").says("chown 0 foreign");
        world.remit(&[&["--home", "foreign"][..], &INIT].concat()).exits(2);
        // A file in a home of our own, too; but one of root's is anybody's to trust.
        for file in
            ["remit.toml", "principals.toml", "policies/default.cedar", "rules.signed.json", "seal.key"]
        {
            let at = world.home().join(file);
            chown(&at, Some(65534), None).unwrap();
            let command = if file == "seal.key" { ["recover"].as_slice() } else { &["rules", "check"] };
            world.remit(command).exits(2).says(file).says("belongs to the user 65534");
            chown(&at, Some(0), None).unwrap();
        }
    }
}

#[test]
fn files_of_trust_have_their_mode_whatever_the_umask() {
    let world = keys();
    for umask in ["000", "002", "077", "0277"] {
        world.shell(&format!("umask {umask}; remit --home h{umask} {}", INIT.join(" "))).exits(0);
        let home = world.path(&format!("h{umask}"));
        for (name, mode) in modes(&home) {
            let right = if Path::new(&name).is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, right, "umask {umask}: {name}");
        }
        world.shell(&format!("umask {umask}; remit keys new --out k{umask}")).exits(0);
        let pair = ["key", "pub"].map(|ending| mode(&world.path(&format!("k{umask}.{ending}"))));
        assert_eq!(pair, [0o600, 0o644], "umask {umask}");
    }
    if is_root() {
        // Root may write where the mode forbids it; this one may not.
        fs::create_dir(world.path("theirs")).unwrap();
        for name in ["publisher.pub", "admin.key", "alice.pub"] {
            fs::copy(world.path(name), world.path(&format!("theirs/{name}"))).unwrap();
            chown(world.path(&format!("theirs/{name}")), Some(65534), None).unwrap();
        }
        chown(world.path("theirs"), Some(65534), None).unwrap();
        let mut command = Command::new("sh");
        let line = format!("umask 0277; exec {} --home h {}", env!("CARGO_BIN_EXE_remit"), INIT.join(" "));
        command.args(["-c", &line]).current_dir(world.path("theirs"));
        finish(as_nobody(command), "").exits(0);
        assert!(world.path("theirs/h/remit.toml").exists());
    }
}

#[test]
fn doctor_tells_what_others_can_write() {
    let world = keys();
    world.remit(&INIT).exits(0);
    let set = |name: &str, mode| {
        fs::set_permissions(world.home().join(name), Permissions::from_mode(mode)).unwrap();
    };
    let key = world.kept_key("admins", "admin");
    set("remit.toml", 0o666);
    set("principals.toml", 0o660);
    set(&key, 0o622);
    let told = world.remit(&["doctor"]).exits(1).out;
    for words in ["remit.toml (0666)", "principals.toml (0660)", &format!("{key} (0622)"), "chmod -R go-w"] {
        assert!(told.contains(words), "no `{words}` in {told}");
    }
    // As long as the folder lets nobody in, nobody writes. Then everybody does.
    world.remit(&["principals"]).exits(0);
    set("", 0o711);
    world.remit(&["principals"]).exits(2).says("remit.toml: every user can write it (mode 0666)");
    set("", 0o777);
    let told = world.remit(&["doctor"]).exits(1).out;
    assert!(told.contains("every user can write it"), "{told}");
    set("remit.toml", 0o600);
    let told = world.remit(&["doctor"]).exits(1).out;
    assert!(told.contains("others can read it and put files there"), "{told}");
}

#[test]
fn a_home_is_made_whole_or_not_at_all() {
    let world = keys();
    // The administrator's key is in an ssh-agent, and there is none: that shows when the rules are to be signed.
    let ssh = ["-q", "-t", "ed25519", "-N", "", "-C", "admin", "-f", "ssh"];
    assert!(Command::new("ssh-keygen").args(ssh).current_dir(world.dir.path()).status().unwrap().success());
    let with_agent = INIT.map(|word| if word == "admin.key" { "ssh.pub" } else { word });
    world.remit(&[&["--home", "a/b/home"][..], &with_agent].concat()).exits(2);
    assert!(!world.path("a").exists(), "half a home was left");
    // The last thing that is written cannot be: everything before it is taken back, and nothing else.
    fs::create_dir(world.home()).unwrap();
    fs::write(world.home().join("mine"), "mine").unwrap();
    symlink("nowhere", world.home().join("remit.toml")).unwrap();
    world.remit(&INIT).exits(1).says("remit.toml");
    let mut left: Vec<_> =
        fs::read_dir(world.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["mine", "remit.toml"]);
    // Then it can be made.
    fs::remove_file(world.home().join("remit.toml")).unwrap();
    world.remit(&INIT).exits(0);
    world.remit(&["principals"]).exits(0);
    assert_eq!(fs::read(world.home().join("mine")).unwrap(), b"mine");
}

#[test]
fn what_an_editor_leaves_among_the_policies_stops_nobody_and_is_told() {
    let world = World::new();
    let request = world.ask_for_rotation();
    let policies = world.home().join("policies");
    symlink("me@host.1:2", policies.join(".#default.cedar")).unwrap();
    fs::write(policies.join("._default.cedar"), b"\0\x05\x16\xff").unwrap();
    world.remit(&["approve", &request]).exits(0);
    world.remit(&["doctor"]).exits(0);
    for name in ["forbid.cedar.json", "forbid.cedar~", "forbid.cedar.disabled", "forbid.cedar "] {
        fs::write(policies.join(name), "forbid (principal, action, resource);").unwrap();
        let says = format!("`policies/{name}` is not read");
        world.remit(&["rules", "sign", "--key", "admin.key"]).exits(0).says(&says);
        world.remit(&["policy", "check"]).exits(0).says(&says);
        world.remit(&["rules", "check"]).exits(0).says(&says);
        let told = world.remit(&["doctor"]).exits(1).out;
        assert!(told.contains(name.trim()), "{told}");
        fs::remove_file(policies.join(name)).unwrap();
    }
}

#[test]
fn a_limit_to_the_size_of_files_is_a_failed_write() {
    let world = World::new();
    world.grant("rotate-secret.wasm", INPUT, "it");
    let size = fs::metadata(world.home().join("journal.db")).unwrap().len() / 1024;
    let request = world.request("it");
    // No longer than the journal is already: whatever comes next does not fit.
    let ran = world.shell(&format!("ulimit -f {}; remit run {request} --key bot.key", size.min(32)));
    ran.exits(1).says("journal");
    world.remit(&["recover"]).exits(0);
    assert_eq!(world.current_version(SECRET), 1);
    world.audit_is_sound();
    let plan = "remit plan rotate-secret.wasm --input '{\"path\": \"prod/payments/stripe\"}' --json";
    let written =
        world.shell(&format!("{plan} > whole.json; ulimit -f 1; remit audit prove nothing --out x")).code;
    assert_eq!(written, 2);
    let run = world.last_run().0;
    let cut = world.shell(&format!("ulimit -f 1; remit audit prove {run} --out cut.json"));
    cut.exits(1).says("cut.json").says("LimitFSIZE");
    assert!(!world.path("cut.json").exists());
}

#[test]
fn a_copied_journal_is_verified_and_its_folder_stays_as_it_is() {
    let world = World::new();
    fs::set_permissions(world.dir.path(), Permissions::from_mode(0o755)).unwrap();
    // As long as somebody has it open, its newest records are in the file beside it.
    let open = rusqlite::Connection::open(world.home().join("journal.db")).unwrap();
    open.query_row("SELECT count(*) FROM head", [], |row| row.get::<_, i64>(0)).unwrap();
    open.execute_batch("BEGIN; SELECT count(*) FROM head").unwrap();
    world.rotated();
    fs::create_dir(world.path("copy")).unwrap();
    for name in ["journal.db", "journal.db-wal", "log.pub"] {
        fs::copy(world.home().join(name), world.path(&format!("copy/{name}"))).unwrap();
        fs::set_permissions(world.path(&format!("copy/{name}")), Permissions::from_mode(0o444)).unwrap();
    }
    drop(open);
    let verify = ["audit", "verify", "--journal", "copy/journal.db", "--key", "copy/log.pub"];
    let folder = || {
        let files = fs::read_dir(world.path("copy")).unwrap().flatten();
        files.map(|file| (file.file_name(), fs::read(file.path()).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let verified = || {
        let before = folder();
        let records = world.remit(&[&verify[..], &["--json"]].concat()).exits(0).json()["records"].clone();
        assert!(folder() == before, "the folder was changed");
        records.as_u64().unwrap()
    };
    // Nor is anything written where nobody could.
    let elsewhere = |temporary: &str| {
        let mut command = as_nobody(world.command(&verify));
        command.env("TMPDIR", temporary);
        finish(command, "")
    };
    let all = verified();
    if is_root() {
        elsewhere("/tmp").exits(0);
        elsewhere("/nowhere").exits(1).says("`-wal`").says("name another folder in TMPDIR");
    }
    fs::remove_file(world.path("copy/journal.db-wal")).unwrap();
    assert!(verified() < all, "the newest records were beside it");
    if is_root() {
        elsewhere("/nowhere").exits(0);
    }
}
