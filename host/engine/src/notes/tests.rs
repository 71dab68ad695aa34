//! Attacks on the notes of component files.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use remit_trust::{KeyId, SignatureError, SigningKey, VerifyingKey, blob};

use super::*;
use crate::candidate::{Candidate, Inspect};
use crate::confined::{MIB, Task};
use crate::engine::Engine;
use crate::error::ComponentError;
use crate::prepared::Prepared;
use crate::publishers::Publishers;

/// What this test's world keeps of a component: its size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Size(usize);

static SIZE: Task = Task {
    name: "size",
    purpose: "to measure it",
    memory: MIB,
    seconds: 1,
    answer: MIB,
    announced: false,
    work: |bytes| Ok(serde_json::to_vec(&Size(bytes.len())).unwrap()),
};

impl Inspect for Size {
    const TASK: &'static Task = &SIZE;
}

/// A component that two different names tell apart.
fn component(name: &str) -> Vec<u8> {
    wat::parse_str(format!("(component ${name})")).unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
    publisher: SigningKey,
    engine: Engine,
    prepared: Prepared<Size>,
}

/// What a component was admitted as: its digest and its publisher.
type Admitted = Result<(Digest, KeyId), ComponentError>;

impl Bench {
    /// A component, admitted once, when its file had long been there.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::new(Some(cache(&dir))).unwrap();
        let bench =
            Self { dir, publisher: SigningKey::generate().unwrap(), engine, prepared: Prepared::default() };
        bench.put("file", &component("one"));
        let first = bench.look("file");
        assert!(!first.was_known());
        bench.admit(&first).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        tick();
        fs::write(self.path(name), bytes).unwrap();
        self.sign(name, &blob::sign_blob(&self.publisher, bytes).unwrap());
    }

    fn sign(&self, name: &str, signature: &str) {
        fs::write(self.path(&format!("{name}.sig")), signature).unwrap();
    }

    fn look(&self, name: &str) -> Candidate<Size> {
        self.look_at(name, SystemTime::now() + Duration::from_secs(3600))
    }

    fn look_at(&self, name: &str, at: SystemTime) -> Candidate<Size> {
        Candidate::find_at(&self.path(name), self.engine.cache.as_ref(), at).unwrap()
    }

    fn knows(&self, name: &str) -> bool {
        self.look(name).was_known()
    }

    fn note(&self, name: &str, known: &Known<Size>) {
        self.engine.cache.as_ref().unwrap().note(SIZE.name, &self.identity(name), known);
    }

    fn admit(&self, candidate: &Candidate<Size>) -> Admitted {
        self.admit_by(candidate, vec![self.publisher.verifying_key()])
    }

    fn admit_by(&self, candidate: &Candidate<Size>, trusted: Vec<VerifyingKey>) -> Admitted {
        let publisher = self.prepared.publisher(candidate, &Publishers(trusted))?;
        let make = || {
            self.engine.compile(candidate)?;
            candidate.inspection().cloned()
        };
        let size = self.prepared.get(candidate.digest(), make)?;
        candidate.learn(&size, Some(&publisher));
        self.engine.remember(candidate);
        Ok((candidate.digest(), publisher))
    }

    fn notes(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path("cache")).unwrap().flatten().map(|file| file.path());
        files.filter(|file| file.extension().is_some_and(|ending| ending == "note")).collect()
    }

    fn identity(&self, name: &str) -> FileIdentity {
        FileIdentity::of(&File::open(self.path(name)).unwrap()).unwrap()
    }
}

fn cache(dir: &tempfile::TempDir) -> Cache {
    Cache::open(&dir.path().join("cache"), &dir.path().join("cache.key")).unwrap()
}

/// Waits until the clock that dates files moves on.
fn tick() {
    std::thread::sleep(Duration::from_millis(20));
}

fn refused(result: Admitted) -> SignatureError {
    match result {
        Err(ComponentError::Publisher { source, .. }) => source,
        // An empty file is none.
        Err(ComponentError::File(error)) if error.to_string().contains(".sig: it is empty") => {
            SignatureError::Missing
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_file_that_was_read_once_is_known() {
    let bench = Bench::new();
    let (known, read) = (bench.look("file"), Candidate::<Size>::read(&bench.path("file")).unwrap());
    assert!(known.was_known() && !read.was_known());
    assert_eq!(known.digest(), read.digest());
    assert_eq!(bench.admit(&known).unwrap(), bench.admit(&read).unwrap());
    assert_eq!(known.inspection().unwrap(), read.inspection().unwrap());
    assert_eq!(known.bytes().unwrap(), read.bytes().unwrap());
    // A second name of the same file tells nothing else; that there is one changed the file's times.
    tick();
    fs::hard_link(bench.path("file"), bench.path("other")).unwrap();
    assert!(!bench.knows("file"));
    bench.admit(&bench.look("file")).unwrap();
    assert!(bench.knows("file") && bench.knows("other"));
    assert_eq!(refused(bench.admit(&bench.look("other"))), SignatureError::Missing);
}

#[test]
fn attack_a_changed_file_is_not_the_known_one() {
    let bench = Bench::new();
    let path = bench.path("file");
    let whole = fs::read(&path).unwrap();
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    let mut flipped = whole.clone();
    let end = flipped.len() - 1;
    flipped[end] ^= 1;
    for bytes in [flipped, whole[..end].to_vec(), component("two"), [whole.clone(), vec![0]].concat()] {
        tick();
        fs::write(&path, &bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
        let now = bench.look("file");
        assert!(!now.was_known());
        assert_eq!(now.digest(), Digest::of(&bytes));
        assert_eq!(refused(bench.admit(&now)), SignatureError::Untrusted);
    }
    assert_eq!(bench.notes().len(), 1, "what is refused is not noted");
}

#[test]
fn attack_another_file_is_not_the_known_one() {
    let bench = Bench::new();
    let path = bench.path("file");
    // A copy with the same times, in its place or beside it; a link to another.
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    fs::copy(&path, bench.path("copy")).unwrap();
    File::options().write(true).open(bench.path("copy")).unwrap().set_modified(times).unwrap();
    assert!(!bench.knows("copy"));
    fs::rename(bench.path("copy"), &path).unwrap();
    assert!(!bench.knows("file"));
    fs::write(bench.path("two"), component("two")).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(bench.path("two"), &path).unwrap();
    let now = bench.look("file");
    assert_eq!(now.digest(), Digest::of(&component("two")));
    assert_eq!(refused(bench.admit(&now)), SignatureError::Untrusted);
}

#[test]
fn attack_a_file_is_swapped_after_it_was_opened() {
    let bench = Bench::new();
    let known = bench.look("file");
    fs::rename(bench.path("file"), bench.path("away")).unwrap();
    fs::write(bench.path("file"), component("two")).unwrap();
    assert_eq!(known.bytes().unwrap(), component("one"));
}

#[test]
fn attack_a_file_that_changed_just_now_is_not_noted() {
    let bench = Bench::new();
    bench.put("fresh", &component("two"));
    let look = |at| bench.look_at("fresh", at);
    let now = SystemTime::now();
    // Now; in a moment; and by a clock that was set back.
    for at in [now, now + Duration::from_secs(1), now - Duration::from_secs(3600)] {
        let candidate = look(at);
        assert!(!candidate.was_known());
        bench.admit(&candidate).unwrap();
    }
    assert_eq!(bench.notes().len(), 1);
    bench.admit(&look(now + Duration::from_secs(10))).unwrap();
    assert!(look(now).was_known());
    // Nor is one of which the system tells nothing: its size is not that of what comes out.
    let odd = SystemTime::now() + Duration::from_secs(10);
    let odd =
        Candidate::<Size>::find_at(Path::new("/proc/version"), bench.engine.cache.as_ref(), odd).unwrap();
    assert!(odd.unnoted().is_none());
}

#[test]
fn attack_a_file_that_shows_no_change_gives_no_other_bytes() {
    let bench = Bench::new();
    bench.put("two", &component("two"));
    // As if `two` had been changed through a mapping, behind the system's back.
    let mut known = bench.look("file").known().unwrap();
    let signature = fs::read_to_string(bench.path("file.sig")).unwrap();
    bench.sign("two", &signature);
    bench.note("two", &known);
    let two = bench.look("two");
    assert_eq!(two.digest(), Digest::of(&component("one")));
    assert_eq!(bench.admit(&two).unwrap().0, Digest::of(&component("one")));
    assert!(matches!(two.bytes(), Err(ComponentError::Changed { .. })));
    assert!(!bench.knows("two"), "the note is gone");
    // Nor are they compiled where nothing is kept.
    known.digest = Digest::of(b"never compiled");
    bench.note("two", &known);
    assert!(matches!(bench.admit(&bench.look("two")), Err(ComponentError::Changed { .. })));
}

#[test]
fn attack_a_note_fits_one_key_one_slot_one_world_and_one_program() {
    let bench = Bench::new();
    let note = bench.notes().remove(0);
    let whole = fs::read(&note).unwrap();
    for bytes in [vec![0; whole.len()], whole[1..].to_vec(), Vec::new()] {
        fs::write(&note, bytes).unwrap();
        assert!(!bench.knows("file"));
    }
    fs::write(&note, &whole).unwrap();
    assert!(bench.knows("file"));
    // A note that another world made.
    let world = "other";
    let known = bench.look("file").known().unwrap();
    bench.engine.cache.as_ref().unwrap().note(world, &bench.identity("file"), &known);
    let foreign = bench.path("cache").join(slot(world, &bench.identity("file")).unwrap());
    fs::rename(foreign, &note).unwrap();
    assert!(!bench.knows("file"));
    fs::write(&note, &whole).unwrap();
    // The note on one file in the slot of another.
    bench.put("two", &component("two"));
    fs::copy(&note, bench.path("cache").join(slot(SIZE.name, &bench.identity("two")).unwrap())).unwrap();
    assert!(!bench.knows("two"));
    // Another build of Remit may find other things; and the file may have lost its content since another boot.
    let (this, now) = (program().unwrap().clone(), identity::boot().unwrap());
    let looked = bench.look("file").known().unwrap();
    let file = bench.identity("file");
    let mut written = Note { program: this.clone(), boot: String::new(), file, known: looked };
    for (program, boot, known) in
        [(bench.identity("two"), now, false), (this.clone(), "an earlier one", false), (this, now, true)]
    {
        (written.program, written.boot) = (program, boot.to_owned());
        let name = note.file_name().unwrap().to_str().unwrap();
        let text = serde_json::to_vec(&written).unwrap();
        let sealed = cache(&bench.dir).key.seal(context(SIZE.name, name).as_bytes(), &text).unwrap();
        fs::write(&note, sealed.as_bytes()).unwrap();
        assert_eq!(bench.knows("file"), known, "{boot}");
    }
    // A folder that someone prepared elsewhere.
    fs::write(&note, &whole).unwrap();
    assert!(bench.knows("file"));
    fs::remove_file(bench.path("cache.key")).unwrap();
    assert!(cache(&bench.dir).known::<Size>(SIZE.name, &bench.identity("file")).is_none());
}

#[test]
fn attack_who_is_trusted_is_looked_at_each_time() {
    let bench = Bench::new();
    assert!(bench.knows("file"));
    let other = SigningKey::generate().unwrap();
    for publishers in [vec![], vec![other.verifying_key()]] {
        let admitted = bench.admit_by(&bench.look("file"), publishers);
        assert_eq!(refused(admitted), SignatureError::Untrusted);
    }
    bench.admit(&bench.look("file")).unwrap();
    // Nor does the next one's trust rest on the last one's signature.
    let both = || vec![other.verifying_key(), bench.publisher.verifying_key()];
    bench.sign("file", &blob::sign_blob(&other, &component("one")).unwrap());
    let (_, publisher) = bench.admit_by(&bench.look("file"), both()).unwrap();
    assert_eq!(publisher, other.verifying_key().id());
    assert_eq!(refused(bench.admit(&bench.look("file"))), SignatureError::Untrusted);
    assert!(bench.admit_by(&bench.look("file"), both()).is_ok());
}

#[test]
fn attack_another_signature_is_verified() {
    let bench = Bench::new();
    let good = fs::read_to_string(bench.path("file.sig")).unwrap();
    let of_another = blob::sign_blob(&bench.publisher, &component("two")).unwrap();
    for (signature, why) in [
        (String::new(), SignatureError::Missing),
        ("\n".to_owned(), SignatureError::Missing),
        (of_another, SignatureError::Untrusted),
        (good[..good.len() - 8].to_owned(), SignatureError::Untrusted),
    ] {
        bench.sign("file", &signature);
        let known = bench.look("file");
        assert!(known.was_known());
        assert_eq!(refused(bench.admit(&known)), why);
    }
    bench.sign("file", "no base64!");
    assert!(matches!(refused(bench.admit(&bench.look("file"))), SignatureError::Malformed(_)));
    // A later signature, which holds: it is the known one from then on.
    let again = blob::sign_blob(&bench.publisher, &component("one")).unwrap();
    bench.sign("file", &again);
    let candidate = bench.look("file");
    assert!(candidate.unnoted().is_some());
    bench.admit(&candidate).unwrap();
    assert!(bench.look("file").unnoted().is_none());
}

#[test]
fn a_copy_of_the_hosts_own_is_known_at_once() {
    let bench = Bench::new();
    let candidate = bench.look("file");
    fs::copy(bench.path("file"), bench.path("kept")).unwrap();
    bench.engine.remember_copy(&candidate, &File::open(bench.path("kept")).unwrap());
    assert!(bench.engine.find::<Size>(&bench.path("kept")).unwrap().was_known());
}

/// On an image times are constants: another one in its place would look the same.
#[test]
fn a_file_on_a_read_only_file_system_is_always_read() {
    const PLACE: &str = "REMIT_TEST_READ_ONLY";
    let name = "notes::tests::a_file_on_a_read_only_file_system_is_always_read";
    let put = |dir: &Path| fs::write(dir.join("file"), component("one")).unwrap();
    // Whether it is noted, seen long after it was written.
    let noted = |place: &Path, cache: &Cache| {
        let late = SystemTime::now() + Duration::from_secs(60);
        Candidate::<Size>::find_at(&place.join("file"), Some(cache), late).unwrap().unnoted().is_some()
    };
    let dir = tempfile::tempdir().unwrap();
    if let Some(place) = std::env::var_os(PLACE) {
        assert!(!noted(Path::new(&place), &cache(&dir)));
        return;
    }
    put(dir.path());
    assert!(noted(dir.path(), &cache(&dir)));
    let mounts = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script]);
        command.arg(std::env::current_exe().unwrap()).arg(dir.path()).arg(name).env(PLACE, dir.path());
        command.status().is_ok_and(|status| status.success())
    };
    if !mounts("true") {
        // This machine lets nobody but root mount anything, not even for themselves.
        return;
    }
    assert!(mounts(r#"mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$0" --exact "$2""#));
}
