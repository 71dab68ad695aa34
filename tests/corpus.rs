//! Every parser of bytes from outside reads what its fuzzer begins with, and what fuzzers found once: each in bounded time,
//! and without a panic. For a moment each reads the same a little changed, too. `cargo xtask fuzz TARGET` does so for long.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

#[path = "fuzz/src/targets.rs"]
mod targets;

/// Far more than any input takes, on a machine that does much else, and without optimisation.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long each parser reads what was changed.
const MOMENT: Duration = Duration::from_secs(2);

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds").join(target)
}

/// What a target begins with, by name. Components may be written as text.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder(target)).unwrap().map(|file| file.unwrap().path());
    let mut seeds: Vec<_> = files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bytes = fs::read(&path).unwrap();
            let text = path.extension().is_some_and(|end| end == "wat");
            let assembled = || {
                wat::parse_bytes(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display())).into_owned()
            };
            (name, if text { assembled() } else { bytes })
        })
        .collect();
    seeds.sort();
    seeds
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (end.max(1) as u64)).unwrap()
    }

    /// `bytes`, changed a little; `other` lends a piece of itself.
    fn change(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(out.len());
            let end = (at + 1 + self.below(16)).min(out.len());
            match self.below(6) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 if !out.is_empty() => out[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'/'][self.below(8)],
                2 if at < end => drop(out.drain(at..end)),
                3 if at < end => {
                    let piece = out[at..end].repeat(1 + self.below(64));
                    out.splice(at..at, piece);
                }
                4 => out.truncate(at),
                _ => {
                    let from = self.below(other.len());
                    let to = (from + self.below(64)).min(other.len());
                    out.splice(at..at, other[from..to].iter().copied());
                }
            }
        }
        out
    }
}

/// Has a target read its seeds, and then what is changed of them. Who panics or takes too long is named, with what it read.
fn survives(name: &str) {
    let (_, target) = targets::TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} begins with nothing");
    let (tell, told) = channel();
    let reader = std::thread::spawn(move || {
        for (seed, bytes) in &seeds {
            tell.send((seed.clone(), bytes.clone())).unwrap();
            target(bytes);
        }
        let (mut dice, began) = (Dice(0x9e37_79b9_7f4a_7c15), Instant::now());
        while began.elapsed() < MOMENT {
            let (seed, bytes) = &seeds[dice.below(seeds.len())];
            let (_, other) = &seeds[dice.below(seeds.len())];
            let changed = dice.change(bytes, other);
            tell.send((format!("{seed}, changed"), changed.clone())).unwrap();
            target(&changed);
        }
    });
    let mut last = (String::new(), Vec::new());
    loop {
        match told.recv_timeout(PATIENCE) {
            Ok(next) => last = next,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{name}: {} takes too long: {:?}", last.0, Shown(&last.1))
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    assert!(reader.join().is_ok(), "{name}: {} is not survived: {:?}", last.0, Shown(&last.1));
}

/// Bytes as a person can put them into a file again.
struct Shown<'a>(&'a [u8]);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            survives(stringify!($name));
        })*

        /// Each target has its seeds, its test here and its fuzzer, and nothing else has.
        #[test]
        fn each_target_is_everywhere() {
            let mut names = vec![$(stringify!($name)),*];
            assert_eq!(names, targets::TARGETS.map(|(name, _)| name));
            names.sort_unstable();
            let entries = |folder: PathBuf| {
                let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
                let mut found: Vec<_> =
                    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
                found.sort();
                found
            };
            assert_eq!(entries(folder("")), names);
            assert_eq!(entries(folder("../fuzz_targets")), names);
            let manifest = include_str!("fuzz/Cargo.toml");
            for name in names {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            }
        }
    };
}

targets! {
    inspection admission manifest schema keys signature dsse ssh_signature passkey dpop id_token scope proof note records openbao directory policy config fixture connector
}

/// Seeds that everybody refuses at once would lead a fuzzer nowhere.
#[test]
fn the_seeds_reach_the_end_of_their_parsers() {
    use remit_sandbox::{BUILT_IN, Candidate, Sandbox};
    use remit_trust::dsse::Envelope;

    let read = |target: &str, name: &str| {
        seeds(target)
            .into_iter()
            .find(|(seed, _)| seed == name)
            .unwrap_or_else(|| panic!("no {target}/{name}"))
            .1
    };
    let text = |target: &str, name: &str| String::from_utf8(read(target, name)).unwrap();
    let world = tempfile::tempdir().unwrap();
    let file = world.path().join("action.wasm");
    fs::write(&file, read("admission", "action.wat")).unwrap();
    Sandbox::new(None).unwrap().readmit(&Candidate::read(&file).unwrap(), &BUILT_IN).unwrap();

    remit_trust::blob::verify_blob(&targets::TRUSTED, targets::SIGNED, text("signature", "one-line"))
        .unwrap();
    let envelope: Envelope = serde_json::from_slice(&read("dsse", "two-and-twice.json")).unwrap();
    assert_eq!(envelope.verify(targets::TYPE, &targets::TRUSTED).unwrap().signers.len(), 2);
    for name in ["ssh-ed.bare", "ssh-ec.bare", "passkey.bare"] {
        let signature = read("ssh_signature", name);
        assert!(targets::TRUSTED.iter().any(|key| key.verify(targets::SIGNED, &signature).is_ok()), "{name}");
    }
    for name in ["run.json", "growth.json"] {
        remit_journal::Proof::parse(&text("proof", name)).unwrap().check(&targets::LOG).unwrap();
    }
    targets::LOG.verify(&text("note", "checkpoint")).unwrap();
    for name in ["readme.toml", "files.toml"] {
        remit_gate::Scope::parse(&text("scope", name), name).unwrap();
    }
    remit_manifest::Manifest::parse(&text("manifest", "rotate-secret.toml"), "action.toml").unwrap();
    let directory = targets::Listing::new(PATIENCE / 2);
    let (list, account, before) = directory.says(&read("directory", "alice"));
    assert_eq!((account.unwrap().enabled, before.unwrap().was.unwrap().as_str()), (true, "512"));
    assert_eq!(list.unwrap().len(), 1);
    assert_eq!(directory.says(&read("directory", "pages")).0.unwrap().len(), 6);
    for (name, _) in seeds("connector") {
        let seed = text("connector", &name);
        let description = seed.split("\n---\n").next().unwrap();
        remit_connector::Description::parse(description).unwrap();
    }
    for (name, text) in ["default.cedar", "manual-0.cedar"].map(|name| (name, text("policy", name))) {
        let files = [(name.to_owned(), text)].into();
        remit_policy::Policies::parse(files, ["secret", "file"]).unwrap();
    }
    for (target, name) in [("config", "manual.toml"), ("fixture", "rotate.toml")] {
        let path = world.path().join(name);
        fs::write(&path, read(target, name)).unwrap();
        match target {
            "config" => drop(remit_lifecycle::Config::load(&path).unwrap()),
            _ => drop(remit_offline::Fixture::load(&path).unwrap()),
        }
    }
    for (name, row) in seeds("records") {
        for row in row.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()) {
            let is_record = serde_json::from_slice::<remit_journal::Record>(row).is_ok();
            assert!(is_record || serde_json::from_slice::<remit_journal::Act>(row).is_ok(), "{name}");
        }
    }
}
