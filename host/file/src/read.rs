//! Reading files.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::error::Problem;
use crate::{FileError, Kind, trust};

/// How long to wait until somebody opens the other end of a named pipe.
pub(crate) const COMES: Duration = Duration::from_secs(1);
/// How long to wait for the next bytes from an open named pipe.
const SPEAKS: Duration = Duration::from_secs(30);
/// The time between two attempts to read.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// The kernel's number for the file system of unnamed pipes (`PIPEFS_MAGIC`).
const PIPEFS: u64 = 0x5049_5045;

/// Reads a file that a person named: a regular file, a pipe, or `-` for standard input.
pub fn given(path: &Path, kind: Kind) -> Result<Content, FileError> {
    open(path, kind)?.read()
}

/// Reads a regular file, or a link to one.
pub fn plain(path: &Path, kind: Kind) -> Result<Content, FileError> {
    open_plain(path, kind)?.read()
}

/// Reads a regular file whose content decides who may do what. It must belong to this user or to root, and others must not
/// be able to write it.
pub fn trusted(path: &Path, kind: Kind) -> Result<Content, FileError> {
    let opened = open_plain(path, kind)?;
    trust::judge(&opened.file, &opened.meta).map_err(|problem| opened.error(problem))?;
    opened.read()
}

/// Reads all of standard input.
pub fn standard_input(kind: Kind) -> Result<Content, FileError> {
    input(kind)?.read()
}

/// An open file whose form is known.
#[derive(Debug)]
pub struct Opened {
    file: File,
    meta: Metadata,
    form: Form,
    shown: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A regular file, which can be read again.
    Regular,
    /// An unnamed pipe or a terminal: a process of this session has the other end, and will close it.
    Stream,
    /// A named pipe: anybody may have the other end, or nobody.
    Named,
    /// The null device, `/dev/null`.
    Nothing,
}

/// The content of a file.
pub struct Content {
    bytes: Zeroizing<Vec<u8>>,
    /// The mode of the file or named pipe, also of one behind standard input.
    mode: Option<u32>,
    shown: String,
    kind: Kind,
}

/// Opens a file that a person named, to check it and then read it.
pub fn open(path: &Path, kind: Kind) -> Result<Opened, FileError> {
    // Read as standard input, because a socket behind `/dev/stdin` cannot be opened by name.
    if path == Path::new("-") || path == Path::new("/dev/stdin") {
        return input(kind);
    }
    look(path, kind)
}

/// Checks that a path is a regular file or a link to one, without opening it. For files that another library opens: closing
/// a file that SQLite has open in this process would release SQLite's locks.
pub fn check(path: &Path, kind: Kind) -> Result<(), FileError> {
    let failed = |problem| FileError::new(path.display().to_string(), kind, problem);
    let meta = fs::metadata(path).map_err(|error| failed(Problem::Read(error.into())))?;
    match form(&meta).map_err(failed)? {
        Form::Regular => Ok(()),
        Form::Nothing => Err(failed(Problem::Device)),
        Form::Stream | Form::Named => Err(failed(Problem::Pipe)),
    }
}

/// Opens a regular file, or a link to one.
pub fn open_plain(path: &Path, kind: Kind) -> Result<Opened, FileError> {
    let opened = look(path, kind)?;
    match opened.form {
        Form::Regular => Ok(opened),
        Form::Nothing => Err(opened.error(Problem::Device)),
        Form::Stream | Form::Named => Err(opened.error(Problem::Pipe)),
    }
}

fn input(kind: Kind) -> Result<Opened, FileError> {
    let shown = "standard input".to_owned();
    let failed = |error: io::Error| FileError::new(shown.clone(), kind, Problem::Read(error.into()));
    let file = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let meta = file.metadata().map_err(failed)?;
    if meta.is_dir() {
        return Err(FileError::new(shown, kind, Problem::Folder));
    }
    Ok(Opened { file, meta, form: Form::Stream, shown, kind })
}

fn look(path: &Path, kind: Kind) -> Result<Opened, FileError> {
    let shown = path.display().to_string();
    let failed = |problem| FileError::new(shown.clone(), kind, problem);
    // Devices are refused before opening, because opening some of them has an effect.
    form(&fs::metadata(path).map_err(|error| failed(Problem::Read(error.into())))?).map_err(failed)?;
    // Nonblocking, so that opening never waits, whatever is there by now.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)
        .map_err(|error| failed(Problem::Read(error.into())))?;
    let meta = file.metadata().map_err(|error| failed(Problem::Read(error.into())))?;
    let mut form = form(&meta).map_err(failed)?;
    if form == Form::Named && rustix::fs::fstatfs(&file).is_ok_and(|on| is_pipefs(on.f_type)) {
        form = Form::Stream;
    }
    Ok(Opened { file, meta, form, shown, kind })
}

/// The type of `f_type` differs between architectures.
fn is_pipefs(kind: impl TryInto<u64>) -> bool {
    kind.try_into().is_ok_and(|kind: u64| kind == PIPEFS)
}

fn form(meta: &Metadata) -> Result<Form, Problem> {
    let is = meta.file_type();
    if is.is_file() {
        Ok(Form::Regular)
    } else if is.is_dir() {
        Err(Problem::Folder)
    } else if is.is_fifo() {
        Ok(Form::Named)
    } else if is.is_socket() {
        Err(Problem::Socket)
    } else if is.is_char_device() && meta.rdev() == rustix::fs::makedev(1, 3) {
        Ok(Form::Nothing)
    } else {
        Err(Problem::Device)
    }
}

impl Opened {
    /// The opened file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether it is a regular file, which can be read again.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.form == Form::Regular
    }

    /// Reads all of the content, a regular file from its beginning.
    pub fn read(&self) -> Result<Content, FileError> {
        let bytes = self.bytes().map_err(|problem| self.error(problem))?;
        if bytes.is_empty() && self.kind.needs_content() {
            return Err(self.error(Problem::Empty));
        }
        let can_be_opened = self.meta.is_file() || self.form == Form::Named;
        let mode = can_be_opened.then(|| crate::acl::bits(&self.file, self.meta.mode() & 0o7777));
        Ok(Content { bytes, mode, shown: self.shown.clone(), kind: self.kind })
    }

    fn error(&self, problem: Problem) -> FileError {
        FileError::new(self.shown.clone(), self.kind, problem)
    }

    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let limit = self.kind.limit();
        let mut room = limit.min(Kind::Key.limit());
        if self.is_regular() {
            if self.meta.len() > limit {
                return Err(Problem::TooLarge);
            }
            room = self.meta.len();
            (&self.file).rewind().map_err(|error| Problem::Read(error.into()))?;
        }
        // Room for all of it and one byte more. A buffer that grows would leave copies of a secret in memory, and the extra
        // byte shows the end of the file without growing.
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(room).unwrap_or(0) + 1));
        let mut last = Instant::now();
        loop {
            let before = bytes.len();
            // The file may grow while it is read.
            let left = (limit + 1).saturating_sub(before as u64);
            let read = (&self.file).take(left).read_to_end(&mut bytes);
            if bytes.len() as u64 > limit {
                return Err(Problem::TooLarge);
            }
            if bytes.len() > before {
                last = Instant::now();
            }
            let waited = last.elapsed();
            match read {
                // Nobody has opened the other end yet.
                Ok(_) if self.form == Form::Named && bytes.is_empty() => {
                    if waited >= COMES {
                        return Err(Problem::NobodyWrites);
                    }
                }
                Ok(_) => return Ok(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.form == Form::Named && waited >= SPEAKS {
                        return Err(Problem::Silent);
                    }
                }
                Err(error) => return Err(Problem::Read(error.into())),
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl std::fmt::Debug for Content {
    /// Leaves out the bytes, which may be a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({}, {} bytes)", self.shown, self.bytes.len())
    }
}

impl Content {
    /// The name of the file, as errors show it.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The permission bits, if users other than the owner may open the file. None for an unnamed pipe, which others cannot
    /// read.
    #[must_use]
    pub fn exposed(&self) -> Option<u32> {
        self.mode.filter(|mode| mode & 0o077 != 0)
    }

    /// The content as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, by value.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes)
    }

    /// The content as text; an error if it is not UTF-8.
    pub fn text(&self) -> Result<&str, FileError> {
        text(&self.bytes).map_err(|problem| FileError::new(self.shown.clone(), self.kind, problem))
    }

    /// The same, by value.
    pub fn into_text(self) -> Result<String, FileError> {
        self.text()?;
        // Checked above to be UTF-8, so nothing is replaced.
        Ok(String::from_utf8(self.into_bytes()).unwrap_or_default())
    }
}

fn text(bytes: &[u8]) -> Result<&str, Problem> {
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => return Err(Problem::Bom),
        // With its mark, or a first letter of ASCII without one.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=255, ..] | [1..=255, 0, ..] => {
            return Err(Problem::Utf16);
        }
        _ => {}
    }
    std::str::from_utf8(bytes).map_err(|error| Problem::NotText(error.valid_up_to()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
