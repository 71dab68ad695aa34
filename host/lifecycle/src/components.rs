//! The actions that ran, kept by digest: what a replay needs years later.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use remit_sandbox::{Candidate, Inspection};
use remit_trust::Digest;

use crate::{Error, Home, Host};

fn file(home: &Home, digest: Digest) -> PathBuf {
    home.components().join(format!("{}.wasm", digest.to_string().replace(':', "-")))
}

/// Makes an action ready ahead of its first use: every check that needs no scope, compiled, and both kept.
pub fn install(host: &Host, candidate: &Candidate) -> Result<Inspection, Error> {
    let action = host.sandbox.admit(candidate, &host.publishers, None)?;
    keep(&host.home, candidate)?;
    Ok(action.inspection)
}

/// Keeps a component and its signature; durable on return.
pub(crate) fn keep(home: &Home, candidate: &Candidate) -> Result<(), Error> {
    let path = file(home, candidate.digest());
    write(home, &path, candidate.bytes())?;
    if candidate.signature().is_empty() {
        return Ok(());
    }
    let mut beside = path.into_os_string();
    beside.push(".sig");
    write(home, &PathBuf::from(beside), candidate.signature().as_bytes())
}

fn write(home: &Home, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    let folder = home.components();
    let failed = |error: std::io::Error| Error::kept(path, &error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let write = || -> std::io::Result<()> {
        let mut to =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        to.write_all(bytes)?;
        to.sync_all()?;
        fs::rename(&draft, path)?;
        fs::File::open(&folder)?.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&draft);
        failed(error)
    })
}

/// A component that was kept, if what is there still is it.
pub(crate) fn kept(home: &Home, digest: Digest) -> Result<Candidate, Error> {
    let path = file(home, digest);
    let candidate = Candidate::read(&path).map_err(|error| match error {
        remit_sandbox::AdmissionError::Unreadable { .. } => {
            Error::NoComponent { digest, file: path.display().to_string() }
        }
        other => other.into(),
    })?;
    if candidate.digest() == digest {
        Ok(candidate)
    } else {
        Err(Error::ChangedComponent { digest, file: path.display().to_string(), found: candidate.digest() })
    }
}
