//! The components of actions that ran, kept by digest, because a replay needs them even years later.

use std::fs;
use std::path::{Path, PathBuf};

use remit_engine::{Cache, ComponentError, Inspect};
use remit_file::Kind;
use remit_journal::RunId;
use remit_sandbox::{AdmissionError, Admitted, Candidate, Inspection, Sandbox};
use remit_trust::Digest;

use crate::claim::Claim;
use crate::{Error, Home, Host, Request, RequestedAuthority};

/// The folder for components that are being received: for each a folder of its own, which is locked meanwhile.
const RECEIVED: &str = "received";

fn remove_received(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "a received component cannot be removed");
    }
}

/// The file of a component in the store.
pub(crate) fn file(home: &Home, digest: Digest) -> PathBuf {
    home.components().join(format!("{}.wasm", digest.to_string().replace(':', "-")))
}

/// Prepares an action before its first use: makes every check that needs no scope, compiles the component, and keeps
/// it. Compilation can take minutes; the home is not locked during it, so no other process waits.
pub fn install(home: &Home, candidate: &Candidate) -> Result<Inspection, Error> {
    let (_, action) = home.admitted(candidate)?;
    keep(&home.open()?, candidate)?;
    Ok(action.inspection().clone())
}

impl Home {
    /// Makes every check of an action that needs no scope. Returns the action with the sandbox in which it can run.
    pub(crate) fn admitted(&self, candidate: &Candidate) -> Result<(Sandbox, Admitted), Error> {
        let sandbox = Sandbox::new(self.open_cache())?;
        let setup = self.setup(self.load()?, sandbox.engine(), &[])?;
        let action = sandbox.admit(candidate, &setup.publishers, None, &setup.registry)?;
        Ok((sandbox, action))
    }

    /// The action of a request for a run; none if its component is not kept here, or was changed.
    #[must_use]
    pub fn action_of(&self, request: &Request) -> Option<Candidate> {
        let RequestedAuthority::Run { action, .. } = &request.asks else { return None };
        kept(self, action.digest, |path| Ok(Candidate::find(path, self.open_cache().as_ref())?)).ok()
    }

    /// A component file. It is not read if this home knows it already.
    pub fn candidate(&self, path: &Path) -> Result<Candidate, Error> {
        // Without a home that can be trusted, no cache is made.
        let cache = if self.load().is_ok() { self.open_cache() } else { None };
        Ok(Candidate::find(path, cache.as_ref())?)
    }

    /// A component that was received, with its detached signature, and is in no file. It is not looked at yet.
    pub fn received(&self, bytes: &[u8], signature: &str) -> Result<Candidate, Error> {
        self.while_received(bytes, signature, |path| Ok(Candidate::read(path)?))
    }

    /// Reads a component that was received from a file, which is there only meanwhile.
    pub(crate) fn while_received<T>(
        &self,
        bytes: &[u8],
        signature: &str,
        read: impl FnOnce(&Path) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let name = RunId::new();
        let folder = self.path().join(RECEIVED).join(name.to_string());
        let Some(_claim) = Claim::take(self, name)? else {
            return Err(Error::Busy { home: folder.display().to_string() });
        };
        let kept = |path: &Path, error: &std::io::Error| Error::kept(path, error);
        let received = || {
            remit_file::make_folder(&folder).map_err(|error| kept(&folder, &error))?;
            let path = folder.join("component.wasm");
            remit_file::replace(&path, bytes).map_err(|error| kept(&path, &error))?;
            if !signature.is_empty() {
                let beside = path.with_extension("wasm.sig");
                remit_file::replace(&beside, signature.as_bytes()).map_err(|error| kept(&beside, &error))?;
            }
            read(&path)
        };
        let found = received();
        // Read whole: its files are not needed any more.
        remove_received(&folder);
        found
    }

    /// Removes what killed processes had received and not yet kept. What another process works on stays.
    pub fn clear_received(&self) -> Result<(), Error> {
        let folder = self.path().join(RECEIVED);
        let entries = match remit_file::list(&folder, Kind::Kept) {
            Err(error) if error.is_missing() => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let Ok(name) = entry.name.parse::<RunId>() else {
                tracing::warn!(file = %entry.path.display(), "this is no received component, and stays");
                continue;
            };
            if let Some(_claim) = Claim::take(self, name)? {
                remove_received(&entry.path);
            }
        }
        Ok(())
    }

    /// Where a component is kept here, if it is.
    #[must_use]
    pub fn component_file(&self, digest: Digest) -> PathBuf {
        file(self, digest)
    }

    /// A component that is kept here. Nothing is written.
    pub fn kept_component(&self, digest: Digest) -> Result<Candidate, Error> {
        read(self, digest)
    }

    /// The digests of the components that are kept here, in order.
    pub fn kept_components(&self) -> Result<Vec<Digest>, Error> {
        let entries = match remit_file::list(&self.components(), Kind::Kept) {
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            entries => entries?,
        };
        let digest = |name: &str| name.strip_suffix(".wasm")?.replacen('-', ":", 1).parse().ok();
        let mut kept: Vec<Digest> = entries.iter().filter_map(|entry| digest(&entry.name)).collect();
        kept.sort_unstable_by_key(ToString::to_string);
        Ok(kept)
    }

    /// The cache of compiled components. Without it components are read and compiled again, which is slower but no reason
    /// to refuse a repair.
    pub(crate) fn open_cache(&self) -> Option<Cache> {
        Cache::open(&self.cache(), &self.cache_key())
            .inspect_err(|error| tracing::warn!(%error, "the cache of compiled components cannot be opened"))
            .ok()
    }

    /// Opens the cache of compiled components for reading only.
    pub(crate) fn look_into_cache(&self) -> Option<Cache> {
        Cache::open_read_only(&self.cache(), &self.cache_key())
            .inspect_err(|error| tracing::warn!(%error, "the cache of compiled components cannot be read"))
            .ok()
            .flatten()
    }
}

/// Keeps a component and its signature; durable on return.
pub(crate) fn keep<I: Inspect>(host: &Host, candidate: &remit_engine::Candidate<I>) -> Result<(), Error> {
    let path = file(&host.home, candidate.digest());
    if !path.exists() {
        let copy = write(&host.home, &path, candidate.bytes()?)?;
        host.sandbox.engine().remember_copy(candidate, &copy);
    }
    let mut beside = path.into_os_string();
    beside.push(".sig");
    let beside = PathBuf::from(beside);
    if !candidate.signature().is_empty() && !beside.exists() {
        write(&host.home, &beside, candidate.signature().as_bytes())?;
    }
    Ok(())
}

fn write(home: &Home, path: &Path, bytes: &[u8]) -> Result<fs::File, Error> {
    let folder = home.components();
    remit_file::make_folder(&folder)
        .and_then(|_| remit_file::replace(path, bytes))
        .map_err(|error| Error::kept(path, &error))
}

impl Host {
    /// An action that is kept here, by its digest.
    pub fn component(&self, digest: Digest) -> Result<Candidate, Error> {
        find(self, digest)
    }
}

/// Finds a kept component to run it, and checks its digest.
pub(crate) fn find(host: &Host, digest: Digest) -> Result<Candidate, Error> {
    kept(&host.home, digest, |path| host.sandbox.find(path))
}

/// Reads a kept component from its file, not from the cache, and checks its digest. Nothing is written.
pub(crate) fn read(home: &Home, digest: Digest) -> Result<Candidate, Error> {
    kept(home, digest, |path| Ok(Candidate::read(path)?))
}

/// Opens the file of a kept component with `open`, and checks its digest.
fn kept(
    home: &Home,
    digest: Digest,
    open: impl FnOnce(&Path) -> Result<Candidate, AdmissionError>,
) -> Result<Candidate, Error> {
    let path = file(home, digest);
    let candidate = open(&path).map_err(|error| match error {
        AdmissionError::Component(ComponentError::File(error)) if error.is_missing() => {
            Error::NoComponent { digest, file: path.display().to_string() }
        }
        other => other.into(),
    })?;
    if candidate.digest() == digest {
        // Whoever is told of it is not always at the home, and never named this file.
        Ok(candidate.called(format!("component {}", digest.short())))
    } else {
        Err(Error::ChangedComponent { digest, file: path.display().to_string(), found: candidate.digest() })
    }
}
