//! Why a file cannot be read or written, and what to do about it.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::path::Path;

use miette::Diagnostic;

use crate::Kind;

/// An error about one file. It says which file, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    shown: String,
    kind: Kind,
    pub(crate) problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The system reported an error while reading or writing.
    Read(Told),
    Write(Told),
    Folder,
    /// It is a folder or a device, and only a file makes sense.
    Pipe,
    NobodyWrites,
    Silent,
    NobodyReads,
    Device,
    Disk,
    Socket,
    TooLarge,
    Empty,
    Bom,
    Utf16,
    /// It is not UTF-8 from this byte on.
    NotText(usize),
    /// It belongs to another user.
    Foreign(u32),
    /// Other users can write it.
    Writable(u32),
    /// The content is wrong.
    Other {
        why: String,
        help: String,
    },
}

/// The system's [`Error`] in a form that can be compared and cloned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    kind: ErrorKind,
    raw: Option<i32>,
    words: String,
}

impl From<&Error> for Told {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind(), raw: error.raw_os_error(), words: error.to_string() }
    }
}

impl From<Error> for Told {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        match error.system() {
            Some(Told { raw: Some(raw), .. }) => Self::from_raw_os_error(*raw),
            Some(told) => Self::new(told.kind, told.words.clone()),
            None => Self::other(error.why()),
        }
    }
}

impl FileError {
    pub(crate) fn new(shown: impl Into<String>, kind: Kind, problem: Problem) -> Self {
        Self { shown: shown.into(), kind, problem }
    }

    /// The error for a file that could not be read.
    #[must_use]
    pub fn reading(path: &Path, kind: Kind, why: &Error) -> Self {
        Self::new(path.display().to_string(), kind, Problem::Read(why.into()))
    }

    /// The error for a file that could not be written.
    #[must_use]
    pub fn writing(path: &Path, kind: Kind, why: &Error) -> Self {
        Self::new(path.display().to_string(), kind, Problem::Write(why.into()))
    }

    /// The error for a file whose content is wrong.
    #[must_use]
    pub fn unusable(path: &Path, kind: Kind, why: impl Into<String>, help: impl Into<String>) -> Self {
        let problem = Problem::Other { why: why.into(), help: help.into() };
        Self::new(path.display().to_string(), kind, problem)
    }

    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.system().is_some_and(|told| told.kind == ErrorKind::NotFound)
    }

    /// Whether the file could not be created because it exists.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.system().is_some_and(|told| told.kind == ErrorKind::AlreadyExists)
    }

    /// Whether it is larger than its kind may be.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.problem, Problem::TooLarge)
    }

    /// The name of the file, as errors show it.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What is wrong, without the file's name.
    #[must_use]
    pub fn why(&self) -> String {
        let name = self.kind.name();
        match &self.problem {
            Problem::Read(told) | Problem::Write(told) => told.words.clone(),
            Problem::Other { why, .. } => why.clone(),
            Problem::Folder => format!("it is a folder, not {name}"),
            Problem::Pipe => format!("it is a pipe; {name} must be a file here"),
            Problem::NobodyWrites => "it is a named pipe, and nobody writes into it".to_owned(),
            Problem::Silent => "it is a named pipe, and whoever has it open writes nothing".to_owned(),
            Problem::NobodyReads => "it is a named pipe, and nobody reads it".to_owned(),
            Problem::Device => format!("it is a device, not {name}"),
            Problem::Disk => "it is a disk; what is on it would be lost".to_owned(),
            Problem::Socket => format!("it is a socket, not {name}"),
            Problem::TooLarge => {
                format!("it is larger than {name} can be ({})", bytes(self.kind.limit()))
            }
            Problem::Empty => "it is empty".to_owned(),
            Problem::Bom => "it begins with a byte order mark (BOM)".to_owned(),
            Problem::Utf16 => "it is in UTF-16, not in UTF-8".to_owned(),
            Problem::NotText(at) => format!("it is not text in UTF-8 (byte {at})"),
            Problem::Foreign(owner) => format!("it belongs to {}, who could change it", user(*owner)),
            Problem::Writable(mode) => format!("every user can write it (mode {mode:04o})"),
        }
    }

    fn system(&self) -> Option<&Told> {
        match &self.problem {
            Problem::Read(told) | Problem::Write(told) => Some(told),
            _ => None,
        }
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1_048_576 => format!("{} KiB", count / 1024),
        _ => format!("{} MiB", count / 1_048_576),
    }
}

/// The name for a user id in an error.
fn user(id: u32) -> String {
    if id == 0 { "root".to_owned() } else { format!("the user {id}") }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.shown, self.why())
    }
}

impl std::error::Error for FileError {}

impl Diagnostic for FileError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(match &self.problem {
            // The cause is not the file that was asked for.
            Problem::Write(error) if is_of_the_disk(error) => "failed::disk",
            _ if self.kind == Kind::Kept
                && self.system().is_some_and(|told| told.kind != ErrorKind::NotFound) =>
            {
                "failed::home"
            }
            Problem::Foreign(_) => "usage::file_owner",
            Problem::Writable(_) => "usage::file_mode",
            _ => "usage::file",
        }))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let me = rustix::process::geteuid().as_raw();
        let (shown, name) = (&self.shown, self.kind.name());
        Some(Box::new(match &self.problem {
            Problem::Read(error) => system(error, me, "read"),
            Problem::Write(error) => system(error, me, "write"),
            Problem::Folder => format!("name the file that is {name}"),
            Problem::Pipe => "put a regular file in its place".to_owned(),
            Problem::NobodyWrites => {
                "start what writes into it first, or name a file; `-` is standard input".to_owned()
            }
            Problem::Silent => {
                "look at what writes into it; or write to a file first, and name that".to_owned()
            }
            Problem::NobodyReads => {
                "start what reads it first, or name a file; `-` is standard output".to_owned()
            }
            Problem::Device => "name a file, or `-` for standard input".to_owned(),
            Problem::Disk => "name a file; nothing was written".to_owned(),
            Problem::Socket => "name a file".to_owned(),
            Problem::TooLarge => format!("check that this is the file you mean; {name} is never so large"),
            Problem::Empty => {
                "check that whatever wrote it came to its end, and that this is the file you mean".to_owned()
            }
            Problem::Bom => format!("save it as UTF-8 without BOM: sed -i '1s/^\\xEF\\xBB\\xBF//' {shown}"),
            Problem::Utf16 => format!("save it as UTF-8: iconv -f UTF-16 -t UTF-8 {shown}"),
            Problem::NotText(_) => format!("check that this is {name}, and save it as UTF-8"),
            Problem::Foreign(owner) => format!(
                "run `remit` as the user whom it belongs to, or, if you know what is in it, make it yours: chown {me} {shown}{}",
                if *owner == me { " (again)" } else { "" }
            ),
            Problem::Other { help, .. } => help.clone(),
            Problem::Writable(_) => {
                format!(
                    "look at what is in it, then: chmod go-w {shown}; whoever can write it decides who may do what"
                )
            }
        }))
    }
}

/// Whether the cause is the disk, whichever file was asked for.
fn is_of_the_disk(error: &Told) -> bool {
    matches!(
        error.kind,
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::BrokenPipe
    ) || error.raw == Some(rustix::io::Errno::IO.raw_os_error())
}

fn system(error: &Told, me: u32, what: &str) -> String {
    match error.kind {
        ErrorKind::NotFound if what == "write" => "make the folder first, or correct the path".to_owned(),
        ErrorKind::NotFound => "correct the path: there is no file of this name".to_owned(),
        ErrorKind::AlreadyExists => "nothing was written: remove what is there, or choose another name".to_owned(),
        ErrorKind::PermissionDenied => {
            format!("let {} {what} it: look at its mode, and at those of the folders it lies in", user(me))
        }
        ErrorKind::NotADirectory => "correct the path: something in it is no folder".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk, then try again".to_owned(),
        ErrorKind::FileTooLarge => {
            "a limit of this system forbids files of that size: raise it (`ulimit -f`, LimitFSIZE= of systemd), then try again".to_owned()
        }
        ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only: choose another place".to_owned(),
        ErrorKind::BrokenPipe => "whoever reads it stopped before the end".to_owned(),
        ErrorKind::InvalidFilename => "choose a shorter name".to_owned(),
        _ if error.raw == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "it is a link that leads to itself: correct the link".to_owned()
        }
        _ if error.raw == Some(rustix::io::Errno::IO.raw_os_error()) => {
            "the disk fails: look at the system's log (`dmesg`)".to_owned()
        }
        _ => format!("that is why the system could not {what} it; remove the cause, then try again"),
    }
}
