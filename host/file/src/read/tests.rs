use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(read: Result<T, FileError>, says: &str) {
    use miette::Diagnostic as _;
    let error = read.unwrap_err();
    assert!(error.to_string().contains(says), "no `{says}` in: {error}");
    assert!(error.help().is_some());
}

#[test]
fn what_is_no_file_is_named_and_hangs_nobody() {
    let place = Place::new();
    let since = Instant::now();
    let fifo = place.fifo("fifo");
    for read in [plain, trusted] {
        refused(read(&fifo, Kind::Policy), "it is a pipe; a policy must be a file here");
        refused(read(Path::new("/dev/null"), Kind::Policy), "a device");
    }
    refused(given(&fifo, Kind::Scope), "nobody writes into it");
    for read in [given, plain, trusted] {
        refused(read(place.0.path(), Kind::Key), "it is a folder, not a key");
        refused(read(Path::new("/dev/zero"), Kind::Key), "it is a device, not a key");
        let error = read(&place.0.path().join("none"), Kind::Key).unwrap_err();
        assert!(error.is_missing() && error.to_string().contains("none: No such file"), "{error}");
    }
    let circle = place.0.path().join("circle");
    symlink("circle", &circle).unwrap();
    refused(plain(&circle, Kind::Signature), "circle");
    let socket = place.0.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    refused(given(&socket, Kind::Key), "it is a socket, not a key");
    assert!(since.elapsed() < 3 * COMES, "it waited");
}

#[test]
fn a_named_pipe_is_read_once_whoever_comes_first() {
    let place = Place::new();
    let fifo = place.fifo("fifo");
    let mut late = Command::new("sh")
        .arg("-c")
        // Opened late, written in two parts, with a pause in which nothing comes.
        .arg("sleep 0.2; { printf one; sleep 0.3; printf two; } > \"$0\"")
        .arg(&fifo)
        .spawn()
        .unwrap();
    assert_eq!(given(&fifo, Kind::Scope).unwrap().text().unwrap(), "onetwo");
    assert!(late.wait().unwrap().success());
}

#[test]
fn a_pipe_without_a_name_is_read_to_its_end() {
    let mut writer =
        Command::new("sh").args(["-c", "sleep 1.5; printf all"]).stdout(Stdio::piped()).spawn().unwrap();
    let out = writer.stdout.take().unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&out)));
    // However long its writer is silent: it is this session's own.
    assert_eq!(given(&path, Kind::Key).unwrap().text().unwrap(), "all");
    writer.wait().unwrap();
}

#[test]
fn sizes_are_of_the_kind() {
    let place = Place::new();
    let most = usize::try_from(Kind::Key.limit()).unwrap();
    assert_eq!(plain(&place.file("key", vec![b'x'; most]), Kind::Key).unwrap().bytes().len(), most);
    refused(plain(&place.file("more", vec![b'x'; most + 1]), Kind::Key), "larger than a key can be (64 KiB)");
    // What has no end either.
    let large = place.file("sparse", "");
    File::options().write(true).open(&large).unwrap().set_len(3 << 30).unwrap();
    refused(plain(&large, Kind::Signature), "larger than a signature can be");
    assert!(plain(&large, Kind::Component).unwrap_err().is_too_large());
    let fifo = place.fifo("fifo");
    let mut endless = Command::new("sh").arg("-c").arg("cat /dev/zero > \"$0\"").arg(&fifo).spawn().unwrap();
    refused(given(&fifo, Kind::Key), "larger than a key can be");
    endless.wait().unwrap();
    // The kernel tells no length of these.
    assert!(!plain(Path::new("/proc/self/status"), Kind::Kept).unwrap().bytes().is_empty());
}

#[test]
fn text_is_utf8_and_what_is_not_is_named() {
    let place = Place::new();
    let text = |bytes: &[u8]| plain(&place.file("text", bytes), Kind::Scope).unwrap().into_text();
    assert_eq!(text("a = \"é\"\r\nb\r\n".as_bytes()).unwrap(), "a = \"é\"\r\nb\r\n");
    assert_eq!(text(b"").unwrap(), "");
    refused(text(b"\xef\xbb\xbfa"), "byte order mark");
    for utf16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"a\0=\0", b"\0a\0="] {
        refused(text(utf16), "UTF-16");
    }
    refused(text(b"abc\xff"), "not text in UTF-8 (byte 3)");
    for kind in [Kind::Key, Kind::Input, Kind::Component, Kind::Plan] {
        refused(plain(&place.file("empty", ""), kind), "it is empty");
    }
    refused(given(Path::new("/dev/null"), Kind::Key), "it is empty");
    assert_eq!(given(Path::new("/dev/null"), Kind::Scope).unwrap().into_text().unwrap(), "");
}

#[test]
fn what_is_trusted_is_nobody_elses_to_write() {
    let place = Place::new();
    let file = place.file("remit.toml", "x");
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let read = |path: &Path| trusted(path, Kind::Configuration);
    set(place.0.path(), 0o700);
    set(&file, 0o664);
    read(&file).unwrap();
    // Nobody else comes into a temporary folder: what they could do there, they cannot.
    set(&file, 0o666);
    read(&file).unwrap();
    set(place.0.path(), 0o755);
    refused(read(&file), "every user can write it (mode 0666)");
    // What is judged is what is read: behind a link, as in a projected volume, too.
    fs::create_dir(place.0.path().join("..2026")).unwrap();
    let real = place.file("..2026/x", "x");
    symlink("..2026", place.0.path().join("..data")).unwrap();
    symlink("..data/x", place.0.path().join("x")).unwrap();
    set(&real, 0o644);
    read(&place.0.path().join("x")).unwrap();
    set(&real, 0o646);
    refused(read(&place.0.path().join("x")), "every user can write it");
    judge_here(&place, &file);
}

/// Only root can give a file away.
fn judge_here(place: &Place, file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    if std::os::unix::fs::chown(file, Some(12345), None).is_ok() {
        refused(trusted(file, Kind::Configuration), "it belongs to the user 12345");
        plain(file, Kind::Configuration).unwrap();
        trust::judge_folder(place.0.path()).unwrap();
        std::os::unix::fs::chown(place.0.path(), Some(12345), None).unwrap();
        refused(trust::judge_folder(place.0.path()), "it belongs to the user 12345");
    }
}
