//! The cache of compiled code: compiling takes from tens of milliseconds to many seconds, loading does not.
//!
//! Machine code that is loaded is executed, so nothing is loaded that this host did not write. Beside each file lies a
//! seal, made with a key that only Remit reads. It covers the component's digest, the compiler's configuration, the
//! file's own digest, its identity on the disk (inode, size, times) and the boot of the machine in which it was last
//! read. A file whose identity is unchanged is mapped without reading it. A file that was moved or restored, or that
//! was not read since the machine started, is hashed first. Anything else counts as absent. So what a loss of power
//! leaves (a name without content, the right length full of zeros) is compiled again, never executed.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use remit_file::{Kind, open_plain, plain, replace};
use remit_trust::{Digest, KeyError, Sealed, Sealer};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::identity::{self, FileIdentity};

/// A folder of compiled components, for one engine configuration or several, and of notes on component files (see
/// `notes`).
#[derive(Debug)]
pub struct Cache {
    pub(crate) folder: PathBuf,
    pub(crate) key: Sealer,
    /// Whether nothing may be written into the folder.
    pub(crate) read_only: bool,
}

/// What the seal beside a file of compiled code says about that file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Digest of the file's bytes.
    digest: Digest,
    identity: FileIdentity,
    /// The boot in which all of the file was read or written.
    boot: Option<String>,
}

impl Cache {
    /// Opens the cache in `folder` (mode 0700), with the key in the file `key`. Makes both if they do not exist.
    pub fn open(folder: &Path, key: &Path) -> Result<Self, KeyError> {
        // Without the folder the cache keeps nothing, and every component is compiled each time.
        let _ = remit_file::make_folder(folder);
        Ok(Self { folder: folder.to_owned(), key: Sealer::load_or_create(key)?, read_only: false })
    }

    /// Opens the cache in `folder` without ever writing to it; none if the folder or the key does not exist.
    pub fn open_read_only(folder: &Path, key: &Path) -> Result<Option<Self>, KeyError> {
        if !folder.is_dir() || !key.exists() {
            return Ok(None);
        }
        Ok(Some(Self { folder: folder.to_owned(), key: Sealer::load_or_create(key)?, read_only: true }))
    }

    /// Loads the code compiled from the component with this digest, if it is there and is what this host wrote.
    pub(crate) fn load(&self, engine: &Engine, component: Digest) -> Option<Component> {
        let name = name(engine, component);
        let code = open_plain(&self.code(&name), Kind::Component).ok()?;
        let code = code.file();
        let seal = Sealed::from_bytes(plain(&self.seal(&name), Kind::Kept).ok()?.into_bytes());
        let Ok(kept) = self.key.open(context(&name).as_bytes(), &seal) else {
            tracing::warn!(%component, "a compiled component is not as it was kept: compiling again");
            return None;
        };
        let kept: Kept = serde_json::from_slice(&kept).ok()?;
        let boot = identity::boot();
        // A loss of power can leave the file's times and lose its bytes: trust them only after a read in this boot.
        if FileIdentity::of(code).ok()? != kept.identity || boot.is_none() || kept.boot.as_deref() != boot {
            let mut bytes = Vec::new();
            std::io::copy(&mut &*code, &mut bytes).ok()?;
            if Digest::of(&bytes) != kept.digest {
                tracing::warn!(%component, "a compiled component is not as it was kept: compiling again");
                return None;
            }
            // The next load need not read it.
            let _ = self.write_seal(&name, code, kept.digest);
        }
        match map(engine, code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(%component, %error, "a compiled component does not load: compiling again");
                None
            }
        }
    }

    /// Keeps what [`Engine::precompile_component`] made of a component. A failure to write is only logged: the next run
    /// compiles again.
    pub(crate) fn keep(&self, engine: &Engine, component: Digest, compiled: &[u8]) {
        if self.read_only {
            return;
        }
        let name = name(engine, component);
        let keep = || -> Result<(), String> {
            // The code must be on the disk before the seal says that it is there.
            let code = replace(&self.code(&name), compiled).map_err(|error| error.to_string())?;
            self.write_seal(&name, &code, Digest::of(compiled))
        };
        if let Err(error) = keep() {
            tracing::warn!(%component, %error, "what was compiled could not be kept");
        }
    }

    fn code(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.cwasm"))
    }

    fn seal(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.seal"))
    }

    fn write_seal(&self, name: &str, code: &File, digest: Digest) -> Result<(), String> {
        if self.read_only {
            return Ok(());
        }
        let identity = FileIdentity::of(code).map_err(|error| error.to_string())?;
        let kept = Kept { digest, identity, boot: identity::boot().map(ToOwned::to_owned) };
        let text = serde_json::to_vec(&kept).map_err(|error| error.to_string())?;
        let sealed = self.key.seal(context(name).as_bytes(), &text).map_err(|error| error.to_string())?;
        let placed = replace(&self.seal(name), sealed.as_bytes());
        placed.map(drop).map_err(|error| error.to_string())
    }
}

/// The name of a component's files: another compiler or another setting makes another name.
fn name(engine: &Engine, component: Digest) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}", component.to_string().replace(':', "-"), hasher.finish())
}

/// What a seal is bound to, so that it fits no other file.
fn context(name: &str) -> String {
    format!("remit-compiled-v1 {name}")
}

/// Loads code that was compiled just now, without keeping it.
pub(crate) fn load_from_memory(engine: &Engine, compiled: &[u8]) -> Result<Component, String> {
    let file = memfd_create("remit-compiled", MemfdFlags::CLOEXEC).map_err(|error| error.to_string())?;
    let mut file = File::from(file);
    file.write_all(compiled).map_err(|error| error.to_string())?;
    map(engine, &file).map_err(|error| format!("{error:#}"))
}

/// Maps compiled code from a file that is open.
///
/// The only `unsafe` code in Remit: what is mapped here is executed unchecked. The callers make sure that the file holds
/// what the compiler made of a component.
#[expect(
    unsafe_code,
    reason = "wasmtime cannot check machine code; the cache makes sure that this host made it"
)]
fn map(engine: &Engine, code: &File) -> wasmtime::Result<Component> {
    // The file that was checked, even if its name belongs to another file by now.
    let path = format!("/proc/self/fd/{}", code.as_raw_fd());
    // SAFETY: `Component::deserialize_file` requires a file that `Engine::precompile_component` of the same wasmtime
    // made, and that does not change while it is mapped. A file in memory was made just now, by this program, and
    // no other process can open it. For a file on the disk, the seal proves that this host wrote these bytes for this
    // component, and the name that this configuration compiled them (wasmtime checks its own version again). Only
    // the user whom the host runs as, or root, can change the file later, and they can change the host itself too.
    unsafe { Component::deserialize_file(engine, path) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;

    use super::*;

    const COMPONENT: &str = "(component)";

    struct Bench {
        dir: tempfile::TempDir,
        engine: Engine,
        digest: Digest,
    }

    impl Bench {
        fn new() -> Self {
            let bench = Self {
                dir: tempfile::tempdir().unwrap(),
                engine: Engine::default(),
                digest: Digest::of(COMPONENT.as_bytes()),
            };
            let compiled = bench.engine.precompile_component(&wat::parse_str(COMPONENT).unwrap()).unwrap();
            bench.cache().keep(&bench.engine, bench.digest, &compiled);
            bench
        }

        fn cache(&self) -> Cache {
            Cache::open(&self.dir.path().join("cache"), &self.dir.path().join("cache.key")).unwrap()
        }

        fn loads(&self) -> bool {
            self.cache().load(&self.engine, self.digest).is_some()
        }

        fn file(&self, ending: &str) -> PathBuf {
            let mut files = fs::read_dir(self.dir.path().join("cache")).unwrap().flatten();
            files.find(|file| file.path().to_str().unwrap().ends_with(ending)).unwrap().path()
        }
    }

    #[test]
    fn kept_code_is_loaded() {
        let bench = Bench::new();
        assert!(bench.loads());
        assert!(bench.cache().load(&bench.engine, Digest::of(b"another")).is_none());
        // Another compiler's work is not ours.
        let mut other = wasmtime::Config::new();
        other.consume_fuel(true);
        assert!(bench.cache().load(&Engine::new(&other).unwrap(), bench.digest).is_none());
    }

    #[test]
    fn a_read_only_cache_loads_and_writes_nothing() {
        let bench = Bench::new();
        let key = bench.dir.path().join("cache.key");
        let open = |folder: &str| Cache::open_read_only(&bench.dir.path().join(folder), &key).unwrap();
        assert!(open("nowhere").is_none() && !bench.dir.path().join("nowhere").exists());
        let files = || fs::read_dir(bench.dir.path().join("cache")).unwrap().count();
        let cache = open("cache").unwrap();
        assert!(cache.load(&bench.engine, bench.digest).is_some());
        let compiled = Component::new(&bench.engine, wat::parse_str(COMPONENT).unwrap()).unwrap();
        cache.keep(&bench.engine, Digest::of(b"another"), &compiled.serialize().unwrap());
        assert_eq!(files(), 2);
        // As after a start of the machine: it is hashed, and the seal stays as it was.
        let seal = bench.file(".seal");
        let code = fs::read(bench.file(".cwasm")).unwrap();
        fs::remove_file(bench.file(".cwasm")).unwrap();
        fs::write(seal.with_extension("cwasm"), code).unwrap();
        let before = fs::read(&seal).unwrap();
        assert!(cache.load(&bench.engine, bench.digest).is_some());
        assert_eq!(fs::read(&seal).unwrap(), before);
        fs::remove_file(&key).unwrap();
        assert!(open("cache").is_none() && !key.exists());
    }

    #[test]
    fn attack_changed_code_is_not_loaded() {
        let bench = Bench::new();
        let code = bench.file(".cwasm");
        let whole = fs::read(&code).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for bytes in [flipped, whole[..whole.len() / 2].to_vec(), Vec::new()] {
            fs::write(&code, bytes).unwrap();
            assert!(!bench.loads());
        }
        // The same bytes in another file are as good: a restored backup, say.
        fs::remove_file(&code).unwrap();
        fs::write(&code, whole).unwrap();
        assert!(bench.loads() && bench.loads());
    }

    #[test]
    fn attack_damage_by_a_loss_of_power_is_compiled_again() {
        let bench = Bench::new();
        let whole = ["cwasm", "seal"].map(|ending| fs::read(bench.file(ending)).unwrap());
        let compiled = bench.engine.precompile_component(&wat::parse_str(COMPONENT).unwrap()).unwrap();
        for (ending, whole) in ["cwasm", "seal"].into_iter().zip(&whole) {
            let page = 4096.min(whole.len() - 1);
            let lengths = [0, 1, 7, 12, 28, 63, 64, 511, page - 1, page, whole.len() / 2, whole.len() - 1];
            for length in lengths.into_iter().filter(|length| *length < whole.len()) {
                fs::write(bench.file(ending), &whole[..length]).unwrap();
                assert!(!bench.loads(), "{ending} cut to {length}");
                // As long as it was, and nothing in it from there on.
                let mut hollow = whole[..length].to_vec();
                hollow.resize(whole.len(), 0);
                if hollow != *whole {
                    fs::write(bench.file(ending), hollow).unwrap();
                    assert!(!bench.loads(), "{ending} hollow from {length}");
                }
                // The next run keeps it anew.
                bench.cache().keep(&bench.engine, bench.digest, &compiled);
                assert!(bench.loads(), "{ending} after {length}");
            }
            fs::remove_file(bench.file(ending)).unwrap();
            assert!(!bench.loads());
            bench.cache().keep(&bench.engine, bench.digest, &compiled);
        }
    }

    #[test]
    fn attack_the_same_file_after_a_start_of_the_machine_is_read_again() {
        let bench = Bench::new();
        let (cache, name) = (bench.cache(), name(&bench.engine, bench.digest));
        let whole = fs::read(bench.file(".cwasm")).unwrap();
        let sealed = |boot: Option<&str>| {
            let code = File::open(bench.file(".cwasm")).unwrap();
            let boot = boot.map(ToOwned::to_owned);
            let kept = Kept { digest: Digest::of(&whole), identity: FileIdentity::of(&code).unwrap(), boot };
            let text = serde_json::to_vec(&kept).unwrap();
            let sealed = cache.key.seal(context(&name).as_bytes(), &text).unwrap();
            fs::write(bench.file(".seal"), sealed.as_bytes()).unwrap();
        };
        // The file that was sealed, by inode, length and times, and its bytes never came to the disk.
        for boot in [Some("an earlier one"), None] {
            fs::write(bench.file(".cwasm"), vec![0; whole.len()]).unwrap();
            sealed(boot);
            assert!(!bench.loads(), "{boot:?}");
            // With its bytes it is as good as ever, and known again.
            fs::write(bench.file(".cwasm"), &whole).unwrap();
            sealed(boot);
            assert!(bench.loads() && bench.loads(), "{boot:?}");
        }
    }

    #[test]
    fn attack_a_seal_fits_one_file_and_one_key() {
        let bench = Bench::new();
        let seal = bench.file(".seal");
        let whole = fs::read(&seal).unwrap();
        for bytes in [vec![0; whole.len()], whole[1..].to_vec(), Vec::new()] {
            fs::write(&seal, bytes).unwrap();
            assert!(!bench.loads());
        }
        fs::write(&seal, &whole).unwrap();
        assert!(bench.loads());
        // The code and seal of one component under the name of another.
        let victim = Digest::of(b"victim");
        for (ending, path) in [(".cwasm", bench.file(".cwasm")), (".seal", seal)] {
            let name = name(&bench.engine, victim);
            fs::copy(path, bench.dir.path().join("cache").join(format!("{name}{ending}"))).unwrap();
        }
        assert!(bench.cache().load(&bench.engine, victim).is_none());
        // A cache that someone prepared elsewhere.
        fs::remove_file(bench.dir.path().join("cache.key")).unwrap();
        assert!(!bench.loads());
    }

    #[test]
    fn a_folder_that_cannot_be_written_keeps_nothing_and_fails_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cache"), "a file").unwrap();
        let cache = Cache::open(&dir.path().join("cache"), &dir.path().join("cache.key")).unwrap();
        let engine = Engine::default();
        let compiled = engine.precompile_component(&wat::parse_str(COMPONENT).unwrap()).unwrap();
        cache.keep(&engine, Digest::of(b"x"), &compiled);
        assert!(cache.load(&engine, Digest::of(b"x")).is_none());
    }
}
