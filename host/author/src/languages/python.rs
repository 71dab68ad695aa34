//! Python: componentize-py adds the interpreter and the modules that the action imports.
//!
//! Not reproducible: the tool's snapshot of the started interpreter is not the same twice, and so neither is the
//! digest.

use std::fs;
use std::path::Path;

use remit_file::{Entry, Kind};

use crate::folder::Folder;
use crate::{AuthorError, bindings, files, tool};

/// The commands that install the tools for Python.
pub(crate) const INSTALL: &str = "python3 -m venv .venv\n.venv/bin/pip install componentize-py==0.25.1";
const LANGUAGE: &str = "Python";
/// Modules are named after package, interface and version: two packages may have an interface of one name.
const NAMES: [&str; 3] =
    ["--full-names", "--export-interface-name", "remit:action/remediation@0.1.0=remediation"];

/// Builds a component from `src/action.py` and what it imports. Its modules are loaded and initialised now:
/// a running action finds no files.
pub(crate) fn build(project: &Folder<'_>) -> Result<Vec<u8>, AuthorError> {
    let work = bindings::work(project)?;
    let (sdk, wit) = (bindings::sdk(project, &work)?, bindings::wit(project, &work)?);
    let (stubs, component) = (work.join("bindings"), work.join("action.wasm"));

    // For editors and type checkers; the next step makes its own.
    if !stubs.exists() {
        let mut bindings = tool::command(project, &["componentize-py"], LANGUAGE, INSTALL)?;
        bindings.args(NAMES).args(["--quiet", "--wit-path"]).arg(&wit).arg("bindings").arg(&stubs);
        tool::run(&mut bindings, LANGUAGE, INSTALL)?;
    }
    // A copy: the interpreter leaves compiled modules beside the sources.
    let sources = work.join("sources");
    if sources.exists() {
        fs::remove_dir_all(&sources).map_err(|error| AuthorError::file(&sources, &error))?;
    }
    copy(&sdk, &sources)?;
    copy(&project.dir.join("src"), &sources)?;
    let mut componentize = tool::command(project, &["componentize-py"], LANGUAGE, INSTALL)?;
    componentize
        .args(NAMES)
        .args(["--quiet", "--wit-path"])
        .arg(&wit)
        .args(["componentize", "action", "--python-path"])
        .arg(&sources)
        .arg("--output")
        .arg(&component);
    tool::run(&mut componentize, LANGUAGE, INSTALL)?;
    bindings::made(&component)
}

/// Copies a folder into another, without compiled modules.
fn copy(from: &Path, to: &Path) -> Result<(), AuthorError> {
    fs::create_dir_all(to).map_err(|error| AuthorError::file(to, &error))?;
    for Entry { name, path, is_folder, .. } in remit_file::list(from, Kind::Source)? {
        if name == "__pycache__" {
            continue;
        }
        if is_folder {
            copy(&path, &to.join(name))?;
        } else {
            files::copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}
