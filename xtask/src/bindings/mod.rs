//! `cargo xtask bindings`: what the SDKs have of the WIT, in every language. A new package in `wit/` needs no edit here.
//!
//! `remit:host` has wrappers that are written by hand: they reach nothing that a scope grants, and each language logs in
//! its own way.

mod c;
mod go;
mod javascript;
mod own;
mod python;
mod rust;
#[cfg(test)]
mod tests;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use wit_parser::Resolve;

use crate::shell;
use text::{Files, MARK};

/// Generates the files, or with `check` fails when one differs from what would be generated.
pub(crate) fn run(check: bool) -> Result<()> {
    let sdk = shell::root().join("sdk");
    let mut fresh = generate(&remit_author::host_wit())?;
    own::generate(&remit_author::host_wit(), &mut fresh)?;
    let stale: Vec<PathBuf> =
        generated(&sdk, Path::new(""))?.into_iter().filter(|path| !fresh.contains_key(path)).collect();
    if check {
        let differs = fresh
            .iter()
            .filter(|(path, text)| fs::read_to_string(sdk.join(path)).unwrap_or_default() != **text);
        let mut differs: Vec<String> = differs.map(|(path, _)| path.display().to_string()).collect();
        differs.extend(stale.iter().map(|path| path.display().to_string()));
        ensure!(
            differs.is_empty(),
            "in sdk/, {} is not what wit/ gives: run `cargo xtask bindings`",
            differs.join(", ")
        );
        return Ok(());
    }
    for path in &stale {
        fs::remove_file(sdk.join(path)).with_context(|| format!("removing {}", path.display()))?;
    }
    write(&fresh, &sdk)
}

/// Every generated file for the packages of `resolve`.
fn generate(resolve: &Resolve) -> Result<Files> {
    let packages = remit_author::model::packages(resolve).map_err(anyhow::Error::msg)?;
    let mut files = Files::new();
    rust::generate(resolve, &packages, &mut files)?;
    c::generate(&packages, &mut files);
    go::generate(&packages, &mut files);
    javascript::generate(&packages, &mut files);
    python::generate(&packages, &mut files);
    Ok(files)
}

fn write(files: &Files, to: &Path) -> Result<()> {
    for (path, text) in files {
        let path = to.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The files below `sdk/` that say that they are generated.
fn generated(sdk: &Path, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(sdk.join(dir))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            found.extend(generated(sdk, &path)?);
        } else if fs::read_to_string(entry.path())
            .is_ok_and(|text| text.lines().next().is_some_and(|first| first.contains(MARK)))
        {
            found.push(path);
        }
    }
    Ok(found)
}
