//! Attacks on what is noted of component files.

use std::fs;
use std::time::{Duration, SystemTime};

use remit_trust::{SignatureError, SigningKey, blob};

use super::*;
use crate::{Admitted, Publishers};

fn action(name: &str) -> Vec<u8> {
    let text = format!(
        r#"(component ${name}
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "run") (param i32 i32) (result i32) unreachable)
                (func (export "verify") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m))
            (func $run (param "input" string) (result (result string (error string)))
                (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (func $verify (param "input" string) (param "output" string) (result (result (error string)))
                (canon lift (core func $i "verify") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (instance $it (export "run" (func $run)) (export "verify" (func $verify)))
            (export "remit:action/remediation@0.1.0" (instance $it)))"#
    );
    wat::parse_str(text).unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
    publisher: SigningKey,
    sandbox: Sandbox,
}

impl Bench {
    /// An action, admitted once, when its file had long been there.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::new(Some(cache(&dir))).unwrap();
        let bench = Self { dir, publisher: SigningKey::generate().unwrap(), sandbox };
        bench.put("action", &action("one"));
        let first = bench.look("action");
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

    fn look(&self, name: &str) -> Candidate {
        let later = SystemTime::now() + Duration::from_secs(3600);
        Candidate::find_at(&self.path(name), self.sandbox.cache.as_ref(), later).unwrap()
    }

    fn knows(&self, name: &str) -> bool {
        self.look(name).was_known()
    }

    fn trusted(&self) -> Publishers {
        Publishers(vec![self.publisher.verifying_key()])
    }

    fn admit(&self, candidate: &Candidate) -> Result<Admitted, AdmissionError> {
        self.sandbox.admit(candidate, &self.trusted(), None)
    }

    fn notes(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path("cache")).unwrap().flatten().map(|file| file.path());
        files.filter(|file| file.extension().is_some_and(|ending| ending == "note")).collect()
    }

    fn identity(&self, name: &str) -> Identity {
        Identity::of(&File::open(self.path(name)).unwrap()).unwrap()
    }
}

fn cache(dir: &tempfile::TempDir) -> Cache {
    Cache::open(&dir.path().join("cache"), &dir.path().join("cache.key")).unwrap()
}

/// The clock that files are dated by moves on.
fn tick() {
    std::thread::sleep(Duration::from_millis(20));
}

fn refused(result: Result<Admitted, AdmissionError>) -> SignatureError {
    match result {
        Err(AdmissionError::Publisher { source, .. }) => source,
        // An empty file is none.
        Err(AdmissionError::File(error)) if error.to_string().contains(".sig: it is empty") => {
            SignatureError::Missing
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn what_was_read_once_is_known() {
    let bench = Bench::new();
    let (known, read) = (bench.look("action"), Candidate::read(&bench.path("action")).unwrap());
    assert!(known.was_known() && !read.was_known());
    assert_eq!(known.digest(), read.digest());
    let (admitted, otherwise) = (bench.admit(&known).unwrap(), bench.admit(&read).unwrap());
    assert_eq!(admitted.publisher, otherwise.publisher);
    assert_eq!(format!("{:?}", admitted.inspection()), format!("{:?}", otherwise.inspection()));
    assert_eq!(known.bytes().unwrap(), read.bytes().unwrap());
    // A second name of the same file tells nothing else; that there is one changed the file's times.
    tick();
    fs::hard_link(bench.path("action"), bench.path("other")).unwrap();
    assert!(!bench.knows("action"));
    bench.admit(&bench.look("action")).unwrap();
    assert!(bench.knows("action") && bench.knows("other"));
    assert_eq!(refused(bench.admit(&bench.look("other"))), SignatureError::Missing);
}

#[test]
fn what_is_offered_is_looked_at_each_time() {
    let imports = |name: &str| crate::Import { name: name.to_owned(), interface: None };
    let text = serde_json::to_string(&[imports("remit:host/log@0.1.0"), imports("a:b/c@1.0.0")]).unwrap();
    let read: Vec<crate::Import> = serde_json::from_str(&text).unwrap();
    assert!(read[0].interface.is_some() && read[1].interface.is_none());
}

#[test]
fn attack_a_changed_file_is_not_the_known_one() {
    let bench = Bench::new();
    let path = bench.path("action");
    let whole = fs::read(&path).unwrap();
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    let mut flipped = whole.clone();
    let end = flipped.len() - 1;
    flipped[end] ^= 1;
    for bytes in [flipped, whole[..end].to_vec(), action("two"), [whole.clone(), vec![0]].concat()] {
        tick();
        fs::write(&path, &bytes).unwrap();
        // Whoever changes it also sets back what can be set back.
        File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
        let now = bench.look("action");
        assert!(!now.was_known());
        assert_eq!(now.digest(), Digest::of(&bytes));
        assert_eq!(refused(bench.admit(&now)), SignatureError::Untrusted);
    }
    assert_eq!(bench.notes().len(), 1, "what is refused is not noted");
}

#[test]
fn attack_another_file_is_not_the_known_one() {
    let bench = Bench::new();
    let path = bench.path("action");
    // A copy with the same times, in its place or beside it; a link to another.
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    fs::copy(&path, bench.path("copy")).unwrap();
    File::options().write(true).open(bench.path("copy")).unwrap().set_modified(times).unwrap();
    assert!(!bench.knows("copy"));
    fs::rename(bench.path("copy"), &path).unwrap();
    assert!(!bench.knows("action"));
    fs::write(bench.path("two"), action("two")).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(bench.path("two"), &path).unwrap();
    let now = bench.look("action");
    assert_eq!(now.digest(), Digest::of(&action("two")));
    assert_eq!(refused(bench.admit(&now)), SignatureError::Untrusted);
}

#[test]
fn attack_a_file_is_swapped_after_it_was_opened() {
    let bench = Bench::new();
    let known = bench.look("action");
    fs::rename(bench.path("action"), bench.path("away")).unwrap();
    fs::write(bench.path("action"), action("two")).unwrap();
    assert_eq!(known.bytes().unwrap(), action("one"));
}

#[test]
fn attack_a_file_that_changed_just_now_is_not_noted() {
    let bench = Bench::new();
    bench.put("fresh", &action("two"));
    let look = |at| Candidate::find_at(&bench.path("fresh"), bench.sandbox.cache.as_ref(), at).unwrap();
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
    let odd = Candidate::find_at(Path::new("/proc/version"), bench.sandbox.cache.as_ref(), odd).unwrap();
    assert!(odd.unnoted().is_none());
}

#[test]
fn attack_a_file_that_shows_no_change_gives_no_other_bytes() {
    let bench = Bench::new();
    bench.put("two", &action("two"));
    // As if `two` had been changed through a mapping, behind the system's back.
    let mut known = bench.look("action").known().unwrap();
    let signature = fs::read_to_string(bench.path("action.sig")).unwrap();
    bench.sign("two", &signature);
    bench.sandbox.cache.as_ref().unwrap().note(&bench.identity("two"), &known);
    let two = bench.look("two");
    assert_eq!(two.digest(), Digest::of(&action("one")));
    assert_eq!(bench.admit(&two).unwrap().digest, Digest::of(&action("one")));
    assert!(matches!(two.bytes(), Err(AdmissionError::Changed { .. })));
    assert!(!bench.knows("two"), "the note is gone");
    // Nor are they compiled where nothing is kept.
    known.digest = Digest::of(b"never compiled");
    bench.sandbox.cache.as_ref().unwrap().note(&bench.identity("two"), &known);
    assert!(matches!(bench.admit(&bench.look("two")), Err(AdmissionError::Changed { .. })));
}

#[test]
fn attack_a_note_is_of_one_key_one_place_and_one_program() {
    let bench = Bench::new();
    let note = bench.notes().remove(0);
    let whole = fs::read(&note).unwrap();
    for bytes in [vec![0; whole.len()], whole[1..].to_vec(), Vec::new()] {
        fs::write(&note, bytes).unwrap();
        assert!(!bench.knows("action"));
    }
    fs::write(&note, &whole).unwrap();
    assert!(bench.knows("action"));
    // The note on one file in the place of that on another.
    bench.put("two", &action("two"));
    fs::copy(&note, bench.path("cache").join(slot(&bench.identity("two")).unwrap())).unwrap();
    assert!(!bench.knows("two"));
    // Another build of Remit may have looked for other things; and since a start of the machine the file may have lost
    // what was in it.
    let (this, now) = (program().unwrap().clone(), identity::boot().unwrap());
    let looked = bench.look("action").known().unwrap();
    let file = bench.identity("action");
    let mut written = Note { program: this.clone(), boot: String::new(), file, known: looked };
    for (program, boot, known) in
        [(bench.identity("two"), now, false), (this.clone(), "an earlier one", false), (this, now, true)]
    {
        (written.program, written.boot) = (program, boot.to_owned());
        let name = note.file_name().unwrap().to_str().unwrap();
        let text = serde_json::to_vec(&written).unwrap();
        let sealed = cache(&bench.dir).key.seal(context(name).as_bytes(), &text).unwrap();
        fs::write(&note, sealed.as_bytes()).unwrap();
        assert_eq!(bench.knows("action"), known, "{boot}");
    }
    // A folder that someone prepared elsewhere.
    fs::write(&note, &whole).unwrap();
    assert!(bench.knows("action"));
    fs::remove_file(bench.path("cache.key")).unwrap();
    assert!(cache(&bench.dir).known(&bench.identity("action")).is_none());
}

#[test]
fn attack_who_is_trusted_is_looked_at_each_time() {
    let bench = Bench::new();
    assert!(bench.knows("action"));
    let other = SigningKey::generate().unwrap();
    for publishers in [vec![], vec![other.verifying_key()]] {
        let admitted = bench.sandbox.admit(&bench.look("action"), &Publishers(publishers), None);
        assert_eq!(refused(admitted), SignatureError::Untrusted);
    }
    bench.admit(&bench.look("action")).unwrap();
    // Nor does the next one's trust rest on the last one's signature.
    let both = Publishers(vec![other.verifying_key(), bench.publisher.verifying_key()]);
    bench.sign("action", &blob::sign_blob(&other, &action("one")).unwrap());
    let admitted = bench.sandbox.admit(&bench.look("action"), &both, None).unwrap();
    assert_eq!(admitted.publisher, Some(other.verifying_key().id()));
    assert_eq!(refused(bench.admit(&bench.look("action"))), SignatureError::Untrusted);
    assert!(bench.sandbox.admit(&bench.look("action"), &both, None).is_ok());
}

#[test]
fn attack_another_signature_is_verified() {
    let bench = Bench::new();
    let good = fs::read_to_string(bench.path("action.sig")).unwrap();
    let of_another = blob::sign_blob(&bench.publisher, &action("two")).unwrap();
    for (signature, why) in [
        (String::new(), SignatureError::Missing),
        ("\n".to_owned(), SignatureError::Missing),
        (of_another, SignatureError::Untrusted),
        (good[..good.len() - 8].to_owned(), SignatureError::Untrusted),
    ] {
        bench.sign("action", &signature);
        let known = bench.look("action");
        assert!(known.was_known());
        assert_eq!(refused(bench.admit(&known)), why);
    }
    bench.sign("action", "no base64!");
    assert!(matches!(refused(bench.admit(&bench.look("action"))), SignatureError::Malformed(_)));
    // A later signature, which holds: it is the known one from then on.
    let again = blob::sign_blob(&bench.publisher, &action("one")).unwrap();
    bench.sign("action", &again);
    let candidate = bench.look("action");
    assert!(candidate.unnoted().is_some());
    bench.admit(&candidate).unwrap();
    assert!(bench.look("action").unnoted().is_none());
}

#[test]
fn a_copy_of_the_hosts_own_is_known_at_once() {
    let bench = Bench::new();
    let candidate = bench.look("action");
    fs::copy(bench.path("action"), bench.path("kept")).unwrap();
    bench.sandbox.remember_copy(&candidate, &File::open(bench.path("kept")).unwrap());
    assert!(bench.sandbox.find(&bench.path("kept")).unwrap().was_known());
}

/// On an image times are constants: another one in its place would look the same.
#[test]
fn what_lies_where_nothing_is_written_is_always_read() {
    const PLACE: &str = "REMIT_TEST_READ_ONLY";
    let name = "notes::tests::what_lies_where_nothing_is_written_is_always_read";
    let put = |dir: &Path| fs::write(dir.join("action"), action("one")).unwrap();
    // Whether it is noted, seen long after it was written.
    let noted = |place: &Path, cache: &Cache| {
        let late = SystemTime::now() + Duration::from_secs(60);
        Candidate::find_at(&place.join("action"), Some(cache), late).unwrap().unnoted().is_some()
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
