//! Paths of the repository and running other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, ensure};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where build outputs go, as cargo itself decides it: environment, configuration, or `target` in the
/// repository. Absolute; created if it is not there.
pub(crate) fn target() -> Result<PathBuf> {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    if let Some(dir) = TARGET.get() {
        return Ok(dir.clone());
    }
    // From the caller's directory: that is what a relative CARGO_TARGET_DIR is relative to.
    let mut cargo = Command::new(cargo_program());
    cargo.args(["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path"]);
    let metadata = output(cargo.arg(root().join("Cargo.toml")))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("reading cargo's metadata")?;
    let dir = metadata["target_directory"].as_str().context("cargo names no target directory")?;
    std::fs::create_dir_all(dir).with_context(|| format!("creating {dir}"))?;
    Ok(TARGET.get_or_init(|| PathBuf::from(dir)).clone())
}

pub(crate) fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// `cargo`, run from the root of the repository, building where [`target`] says.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Result<Command> {
    let mut command = Command::new(cargo_program());
    command.args(args).current_dir(root()).env("CARGO_TARGET_DIR", target()?);
    // What `cargo run` says of this program. The build of ring looks at it: with it, ring and all that uses it would be
    // built again and again, for this program without it and for what this program builds with it.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Runs a command to its end; an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", describe(command)))?;
    ensure!(status.success(), "{} failed: {status}", describe(command));
    Ok(())
}

/// As [`run`], with what the command prints on standard output sent to standard error.
pub(crate) fn run_to_stderr(command: &mut Command) -> Result<()> {
    run(command.stdout(std::io::stderr()))
}

/// What a command wrote to standard output; an error unless it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", describe(command)))?;
    ensure!(out.status.success(), "{} failed: {}", describe(command), out.status);
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// Whether the file says that exactly these packages were installed, to the end.
pub(crate) fn stamped(file: &Path, packages: &[&str]) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text == packages.join("\n"))
}

/// Writes that file.
pub(crate) fn stamp(file: &Path, packages: &[&str]) -> Result<()> {
    std::fs::write(file, packages.join("\n")).with_context(|| format!("writing {}", file.display()))
}

/// Tells the user what is about to happen that takes long or fetches something.
pub(crate) fn say(what: impl std::fmt::Display) {
    eprintln!("xtask: {what}");
}

/// Fetches Debian's lists of packages: a fresh machine has none.
pub(crate) fn apt_update() -> Result<()> {
    say("fetching Debian's package lists (apt-get update)");
    apt(Command::new("apt-get").args(["update", "-qq"]))
}

/// Runs an apt command. Two at once would refuse each other.
pub(crate) fn apt(command: &mut Command) -> Result<()> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    run_to_stderr(command)
}

/// Downloads packages of Debian and unpacks them into `<dir>/root`, whose path it answers. Nothing is installed.
pub(crate) fn unpack(dir: &Path, packages: &[String]) -> Result<PathBuf> {
    let (downloaded, root) = (dir.join("deb"), dir.join("root"));
    for folder in [&downloaded, &root] {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    apt(Command::new("apt-get").args(["-qq", "download"]).args(packages).current_dir(&downloaded))?;
    for package in std::fs::read_dir(&downloaded)? {
        run(Command::new("dpkg").arg("-x").arg(package?.path()).arg(&root))?;
    }
    Ok(root)
}

pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(std::ffi::OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}
