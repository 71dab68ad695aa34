//! `cargo xtask fuzz`: looks for bytes that a parser does not survive. The targets are in `tests/fuzz`; what is found goes to
//! its `seeds/`, where every `cargo test` reads it from then on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::shell;

/// Pinned: a newer one may take other options.
const CARGO_FUZZ: &str = "0.13.2";
/// Any will do: what it builds is run here and thrown away.
const TOOLCHAIN: &str = "nightly";

/// Runs one target, or each of them, for some seconds. An input that is not survived ends it, and is left in
/// `tests/fuzz/artifacts/TARGET`.
pub(crate) fn run(target: &str, seconds: u64) -> Result<()> {
    let known = targets()?;
    let chosen: Vec<_> = known.iter().filter(|name| target == "all" || *name == target).collect();
    ensure!(!chosen.is_empty(), "there is no target `{target}`: choose `all` or one of {}", known.join(", "));
    let tool = tool()?;
    // The versions that the workspace tests; what the fuzzers themselves need is added to it.
    fs::copy(shell::root().join("Cargo.lock"), folder().join("Cargo.lock")).context("copying Cargo.lock")?;
    for name in chosen {
        shell::say(format_args!("fuzzing {name} for {seconds} s"));
        let corpus = shell::target()?.join("fuzz-corpus").join(name);
        seed(name, &corpus)?;
        let mut fuzz = Command::new(&tool);
        fuzz.args(["fuzz", "run", "--sanitizer", "none", "--fuzz-dir"])
            .arg(folder())
            .arg("--target-dir")
            .arg(shell::target()?.join("fuzz"))
            .arg(name)
            .arg(&corpus)
            .args(["--", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"])
            .arg(format!("-max_total_time={seconds}"))
            .current_dir(shell::root())
            // What this program was started with is another compiler's.
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env("RUSTUP_TOOLCHAIN", TOOLCHAIN);
        shell::run(&mut fuzz).with_context(|| format!("fuzzing {name}"))?;
    }
    Ok(())
}

fn folder() -> PathBuf {
    shell::root().join("tests/fuzz")
}

/// Every target has a folder with what it begins with.
fn targets() -> Result<Vec<String>> {
    let mut names: Vec<_> = fs::read_dir(folder().join("seeds"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// Puts the seeds beside what the fuzzer kept of earlier times. Components may be written as text.
fn seed(name: &str, corpus: &Path) -> Result<()> {
    fs::create_dir_all(corpus)?;
    for entry in fs::read_dir(folder().join("seeds").join(name))? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        let bytes = match path.extension() {
            Some(end) if end == "wat" => {
                wat::parse_bytes(&bytes).with_context(|| path.display().to_string())?.into_owned()
            }
            _ => bytes,
        };
        fs::write(corpus.join(path.file_name().context("a file has a name")?), bytes)?;
    }
    Ok(())
}

/// `cargo-fuzz`, and the compiler that it wants; what is not there is installed, the one in the target folder, the other as
/// rustup does.
fn tool() -> Result<PathBuf> {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", TOOLCHAIN, "rustc", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !rustc.status().context("starting rustup, which has the nightly compiler")?.success() {
        shell::say(format_args!("installing the {TOOLCHAIN} compiler by rustup"));
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", TOOLCHAIN, "--profile", "minimal"]);
        shell::run_to_stderr(&mut install)?;
    }
    let root = shell::target()?.join("tools");
    let tool = root.join("bin/cargo-fuzz");
    if !tool.exists() {
        shell::say(format_args!("installing cargo-fuzz {CARGO_FUZZ} into {}", root.display()));
        let mut install = shell::cargo(["install", "--quiet", "--locked", "--version", CARGO_FUZZ])?;
        install.arg("--root").arg(&root).arg("cargo-fuzz");
        shell::run_to_stderr(&mut install)?;
    }
    Ok(tool)
}
