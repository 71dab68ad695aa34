//! Files that the operator listed: whole, or the end of them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;

use glob::MatchOptions;
use remit_trust::Digest;
use ring::digest::{Context, SHA256};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use super::collect::Archive;
use super::config::EvidenceConfig;

pub(super) fn gather(entry: &EvidenceConfig, archive: &mut Archive) {
    let mut left = entry.most_files;
    let whole = entry.files.iter().map(|pattern| (pattern, None));
    let ends = entry.logs.iter().map(|pattern| (pattern, Some(entry.log_kib * 1024)));
    for (pattern, end) in whole.chain(ends) {
        // Wildcards do not stand for hidden files, nor for a slash.
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let Ok(paths) = glob::glob_with(pattern, options) else { continue };
        let mut any = false;
        for path in paths {
            if archive.is_over() {
                archive.lacks(pattern, "the time was over");
                return;
            }
            let path = match path {
                Ok(path) => path,
                Err(error) => {
                    archive.lacks(&error.path().display().to_string(), error.error());
                    continue;
                }
            };
            any = true;
            let shown = path.display().to_string();
            if left == 0 {
                archive.lacks(&shown, "the archive has as many files as it may have");
                return;
            }
            left -= 1;
            match read(&shown, end, archive.left()) {
                Ok((bytes, cut_off)) => {
                    let folder = if end.is_some() { "logs" } else { "files" };
                    archive.add(&format!("{folder}{shown}"), &bytes, cut_off);
                }
                Err(why) => archive.lacks(&shown, why),
            }
        }
        if !any {
            archive.lacks(pattern, "there is no such file");
        }
    }
}

/// Reads a file, or its end, and says what is left out.
fn read(path: &str, end: Option<u64>, room: u64) -> Result<(Vec<u8>, Option<String>), String> {
    let mut file = regular(path)?;
    let words = |error: std::io::Error| error.to_string();
    let size = file.metadata().map_err(words)?.len();
    let mut cut_off = None;
    if let Some(end) = end.filter(|end| *end < size) {
        file.seek(SeekFrom::Start(size - end)).map_err(words)?;
        cut_off = Some(format!("the last {end} of {size} bytes"));
    }
    // One byte more than there is room for, so that it shows.
    let mut bytes = Vec::new();
    file.take(room.saturating_add(1)).read_to_end(&mut bytes).map_err(words)?;
    Ok((bytes, cut_off))
}

/// Opens a regular file, by a path without a single link: a workload that can write in one of its folders could have anything else read.
fn regular(path: &str) -> Result<File, String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened: OwnedFd =
        openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).map_err(|errno| {
            if errno == rustix::io::Errno::LOOP {
                "its path has a link: name the file itself".to_owned()
            } else {
                errno.to_string()
            }
        })?;
    let file = File::from(opened);
    let is_file = file.metadata().map_err(|error| error.to_string())?.is_file();
    if is_file { Ok(file) } else { Err("it is no regular file".to_owned()) }
}

/// The SHA-256 of a whole file; none if it is larger than `most` bytes.
pub(super) fn digest(mut file: impl std::io::Read, most: u64) -> std::io::Result<Option<Digest>> {
    let (mut context, mut size, mut buffer) = (Context::new(&SHA256), 0_u64, vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let mut bytes = [0; 32];
            bytes.copy_from_slice(context.finish().as_ref());
            return Ok(Some(Digest::from(bytes)));
        }
        size += read as u64;
        if size > most {
            return Ok(None);
        }
        context.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_is_followed_and_of_a_log_the_end_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("log"), "0123456789").unwrap();
        symlink("/etc/passwd", path("link")).unwrap();
        symlink("/etc", path("etc")).unwrap();
        assert_eq!(read(&path("log"), None, 99).unwrap(), (b"0123456789".to_vec(), None));
        let end = (b"789".to_vec(), Some("the last 3 of 10 bytes".to_owned()));
        assert_eq!(read(&path("log"), Some(3), 99).unwrap(), end);
        assert_eq!(read(&path("log"), None, 4).unwrap().0, b"01234");
        for (name, why) in [("link", "has a link"), ("etc/passwd", "has a link"), ("none", "No such file")] {
            assert!(read(&path(name), None, 99).unwrap_err().contains(why), "{name}");
        }
        assert!(
            read(&folder.path().display().to_string(), None, 99).unwrap_err().contains("no regular file")
        );
        assert_eq!(digest(&b"abc"[..], 3).unwrap(), Some(Digest::of(b"abc")));
        assert_eq!(digest(&b"abc"[..], 2).unwrap(), None);
    }
}
