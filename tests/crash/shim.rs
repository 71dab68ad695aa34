//! The preloaded library of `shim.c`: what happens in it, where, and what it wrote down.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What happens to the host at a point; see `shim.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Before,
    After,
    Power,
    Eio,
    Dead,
    Full,
}

impl How {
    /// Whether the host dies of it at once.
    pub fn kills(self) -> bool {
        matches!(self, Self::Before | Self::After | Self::Power)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Power => "power",
            Self::Eio => "eio",
            Self::Dead => "dead",
            Self::Full => "full",
        })
    }
}

/// A call through which something becomes durable or leaves the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub number: usize,
    /// `fsync`, `write`, `truncate`, `unlink`, `rename`, `link`, `send` or `receive`.
    pub class: String,
    /// The name of the file, without its folder.
    pub file: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "point {} ({} {})", self.number, self.class, self.file)
    }
}

/// What is on its way to the disk when it happens.
#[derive(Clone, Debug)]
pub enum On {
    /// This text: before it is written, or once it is durable.
    Text(String),
    /// A host call whose intent goes on like this after its number: once that is durable, or before the call's outcome is written.
    Call(String),
}

/// The compiled library.
pub struct Shim {
    folder: TempDir,
}

impl Shim {
    pub fn compile() -> Self {
        let shim = Self { folder: TempDir::new().unwrap() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/crash/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
        let done = cc.arg(shim.library()).arg(source).args(["-ldl", "-lpthread"]).status().unwrap();
        assert!(done.success(), "cc could not compile tests/crash/shim.c");
        shim
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("shim.so")
    }

    /// Puts it before a command that writes its points to `log`.
    pub fn count(&self, command: &mut Command, log: &Path) {
        command.env("LD_PRELOAD", self.library()).env("CRASH_LOG", log);
    }

    /// The same, and lets something happen at a point.
    pub fn strike(&self, command: &mut Command, log: &Path, at: usize, how: How) {
        self.count(command, log);
        command.env("CRASH_AT", at.to_string()).env("CRASH_HOW", how.to_string());
    }

    /// Kills a command at a record.
    pub fn strike_on(&self, command: &mut Command, on: &On, how: How) {
        let (variable, text) = match on {
            On::Text(text) => ("CRASH_ON", text),
            On::Call(text) => ("CRASH_INTENT", text),
        };
        command.env("LD_PRELOAD", self.library()).env(variable, text).env("CRASH_HOW", how.to_string());
    }
}

/// What a command under the shim came by.
pub fn points(log: &Path) -> Vec<Point> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let point = |line: &str| {
        let mut words = line.splitn(3, ' ');
        Some(Point {
            number: words.next()?.parse().ok()?,
            class: words.next()?.to_owned(),
            file: words.next()?.to_owned(),
        })
    };
    text.lines().map(|line| point(line).unwrap_or_else(|| panic!("the shim wrote {line:?}"))).collect()
}
