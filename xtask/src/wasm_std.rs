//! A standard library for `wasm32-unknown-unknown`, from wherever this machine can get one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::shell;

const TARGET: &str = "wasm32-unknown-unknown";
/// The oldest Rust that compiles the guests: that of their edition and of the bindings' runtime. Older than
/// what the host needs, because Debian 12 has this one.
const OLDEST: &str = "1.85";
/// How long rustup may take before the fallback is tried.
const PATIENCE: Duration = Duration::from_mins(1);
/// Debian's Rust for the web: its compiler, its library and the library's source. What these need with a
/// version in its name is looked up.
const PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev", "rust-web-src"];

/// Variables with which `cargo build --target wasm32-unknown-unknown` finds a standard library.
pub(crate) type WasmStd = Vec<(OsString, OsString)>;

/// Tries the toolchain itself, then rustup, then Debian's packages unpacked below `target`, and says which
/// it is. `REMIT_WASM_STD=debian` goes straight to the last.
pub(crate) fn get(target: &Path) -> Result<WasmStd> {
    let forced = std::env::var_os("REMIT_WASM_STD").is_some_and(|value| value == "debian");
    let rustc = Path::new("rustc");
    if !forced {
        if present(rustc)? {
            shell::say(format_args!("{TARGET}: the toolchain has it"));
            return Ok(WasmStd::default());
        }
        shell::say(format_args!("{TARGET}: rustup target add, for at most {} s", PATIENCE.as_secs()));
        if rustup() && present(rustc)? {
            return Ok(WasmStd::default());
        }
    }
    let dir = target.join("wasm-std");
    shell::say(format_args!("{TARGET}: from Debian's packages, in {}; nothing is installed", dir.display()));
    debian(&dir).context("getting the wasm32 standard library from Debian's packages")
}

fn sysroot(rustc: &Path) -> Result<PathBuf> {
    Ok(shell::output(Command::new(rustc).args(["--print", "sysroot"]))?.into())
}

fn present(rustc: &Path) -> Result<bool> {
    let lib = sysroot(rustc)?.join("lib/rustlib").join(TARGET).join("lib");
    Ok(names(&lib).iter().any(|name| name.starts_with("libstd-") && has_extension(name, "rlib")))
}

/// Asks rustup for the target; false when there is no rustup, or it fails or takes too long.
fn rustup() -> bool {
    let Ok(mut child) = Command::new("rustup").args(["target", "add", TARGET]).stdout(Stdio::null()).spawn()
    else {
        return false;
    };
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(200)),
            Err(_) => break,
        }
    }
    // It may just have ended: either way it is gone afterwards.
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn debian(dir: &Path) -> Result<WasmStd> {
    let root = dir.join("root");
    let rustc = dir.join("rustc");
    let host = shell::output(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let linker = sysroot(Path::new("rustc"))?.join("lib/rustlib").join(&host).join("bin/rust-lld");
    if !rustc.exists() {
        unpack(dir)?;
        let script = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH='{0}/usr/lib/{1}' exec '{0}/usr/bin/rustc' \"$@\"\n",
            root.display(),
            host.replace("-unknown", "")
        );
        // Written last and whole: its presence says that the packages are unpacked.
        let draft = dir.join("rustc.new");
        fs::write(&draft, script)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755))?;
        fs::rename(&draft, &rustc)?;
    }
    new_enough(&rustc)?;
    if !present(&rustc)? {
        build(dir, &root, &rustc)?;
    }
    let linker = ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER".into(), linker.into());
    Ok(vec![("RUSTC".into(), rustc.into()), linker])
}

fn unpack(dir: &Path) -> Result<()> {
    if dependency("rustc-web", "libstd-rust-web-dev").is_err() {
        shell::apt_update()?;
    }
    let library = dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
    let llvm = dependency("rustc-web", "libllvm").or_else(|_| dependency(&library, "libllvm"))?;
    let packages = PACKAGES.map(ToOwned::to_owned);
    shell::unpack(dir, &[&packages[..], &[library, llvm]].concat())?;
    Ok(())
}

/// The package that `package` depends on and whose name starts with `prefix`.
fn dependency(package: &str, prefix: &str) -> Result<String> {
    let listed = shell::output(Command::new("apt-cache").args(["depends", package]))?;
    let mut words = listed.split_whitespace().skip(1);
    let found = words.find(|word| word.starts_with(prefix));
    found.map(ToOwned::to_owned).with_context(|| format!("{package} depends on no {prefix}*"))
}

/// Fails when the unpacked compiler is older than this workspace needs.
fn new_enough(rustc: &Path) -> Result<()> {
    let version = shell::output(Command::new(rustc).arg("--version"))?;
    let found = version.split_whitespace().nth(1).unwrap_or_default();
    ensure!(
        minor(found) >= minor(OLDEST),
        "Debian has Rust {found} here and the guests need {OLDEST}: run `rustup target add {TARGET}`"
    );
    Ok(())
}

/// The `95` of `1.95.0`.
fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

/// Builds the library from its source: the package has it only for WASI.
fn build(dir: &Path, root: &Path, rustc: &Path) -> Result<()> {
    shell::say("building the library from its source, once: about a minute");
    let seed = dir.join("seed");
    fs::create_dir_all(seed.join("src"))?;
    fs::write(seed.join("src/lib.rs"), "")?;
    fs::write(
        seed.join("Cargo.toml"),
        "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n",
    )?;
    let mut cargo = shell::cargo(["build", "--release", "--target", TARGET])?;
    cargo
        .args(["-Z", "build-std=std,panic_abort", "--target-dir", "t"])
        .current_dir(&seed)
        .env("RUSTC", rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        // Without bitcode a release build with link-time optimisation cannot use it.
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Cembed-bitcode=yes");
    shell::run(&mut cargo)?;

    let built = seed.join("t").join(TARGET).join("release/deps");
    // Gathered aside and moved in whole: what `present` finds is complete.
    let draft = dir.join("lib.new");
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir_all(&draft)?;
    for name in names(&built) {
        if has_extension(&name, "rlib") && !name.starts_with("libseed-") {
            fs::copy(built.join(&name), draft.join(&name))?;
        }
    }
    let of_target = root.join("usr/lib/rustlib").join(TARGET);
    fs::create_dir_all(&of_target)?;
    fs::rename(&draft, of_target.join("lib")).context("moving the built library into place")?;
    ensure!(present(rustc)?, "{} holds no standard library", built.display());
    Ok(())
}

/// The names in a directory; none when it is not there.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(minor("1.100.0") > minor("1.95"));
        assert!(minor("1.85.0") < minor("1.95"));
        assert!(minor("unknown") < minor("1.95"));
    }
}
