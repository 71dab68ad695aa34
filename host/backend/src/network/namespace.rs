//! Network namespaces: which there are, and which one a name means right now.

use std::os::fd::{AsRawFd as _, OwnedFd};

use remit_file::Kind;
use remit_gate::Failure;
use rustix::fs::{CWD, Mode, OFlags, fstat, fstatfs, openat};
use rustix::io::Errno;

use super::target::Target;

/// What `fstatfs` says of a namespace: `NSFS_MAGIC` of `linux/magic.h`.
const NSFS: u64 = 0x6e73_6673;

/// A network namespace that is held open: it cannot be another one by the time that it is used.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: OwnedFd,
    /// Its number, which no other namespace has while this one exists.
    pub(crate) id: u64,
}

impl Namespace {
    /// The namespace that this host is in.
    pub(crate) fn own() -> Result<Self, Failure> {
        Self::open("/proc/self/ns/net")
    }

    /// One by its name below `/run/netns`.
    pub(crate) fn named(name: &str) -> Result<Self, Failure> {
        Self::open(&format!("/run/netns/{name}"))
    }

    /// The one that a process is in.
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        Self::open(&format!("/proc/{pid}/ns/net"))
    }

    /// The one with this number: of a name or of a process. None if nothing has it any more: it is then gone, or nobody can reach it.
    pub(crate) fn numbered(id: u64) -> Result<Option<Self>, Failure> {
        let own = Self::own()?;
        if own.id == id {
            return Ok(Some(own));
        }
        let names = entries("/run/netns")?.into_iter().map(|name| format!("/run/netns/{name}"));
        let processes = processes()?.into_iter().map(|pid| format!("/proc/{pid}/ns/net"));
        // What ends meanwhile has it no more.
        Ok(names.chain(processes).filter_map(|path| Self::open(&path).ok()).find(|found| found.id == id))
    }

    fn open(path: &str) -> Result<Self, Failure> {
        let failed = |errno: Errno| match errno {
            Errno::NOENT | Errno::SRCH => Failure::NotFound(format!("there is no network namespace {path}")),
            Errno::ACCESS | Errno::PERM => {
                Failure::Denied(format!("the host may not open {path}: {errno}; it needs to be root"))
            }
            other => Failure::Unavailable(format!("{path}: {other}")),
        };
        let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
            .map_err(failed)?;
        // The type of `f_type` differs between architectures.
        if u64::try_from(fstatfs(&file).map_err(failed)?.f_type).ok() != Some(NSFS) {
            return Err(Failure::NotFound(format!("{path} is no network namespace")));
        }
        let id = fstat(&file).map_err(failed)?.st_ino;
        Ok(Self { file, id })
    }

    /// A path by which another process of this user enters exactly this namespace.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}

/// The processes that there are.
pub(crate) fn processes() -> Result<Vec<u32>, Failure> {
    Ok(entries("/proc")?.iter().filter_map(|name| name.parse().ok()).collect())
}

fn entries(folder: &str) -> Result<Vec<String>, Failure> {
    match remit_file::list(folder.as_ref(), Kind::Kept) {
        Ok(entries) => Ok(entries.into_iter().map(|entry| entry.name).collect()),
        Err(error) if error.is_missing() => Ok(Vec::new()),
        Err(error) => Err(Failure::Unavailable(error.to_string())),
    }
}

/// Where control groups of version 2 are below `/sys/fs/cgroup`: there, or in `unified/` beside those of version 1. None if there are
/// none.
pub(crate) fn control_groups() -> Option<&'static str> {
    ["", "unified/"].into_iter().find(|below| number(&format!("{below}cgroup.controllers")).is_ok())
}

/// The number of a file below `/sys/fs/cgroup`.
fn number(path: &str) -> Result<u64, Errno> {
    Ok(rustix::fs::stat(format!("/sys/fs/cgroup/{path}"))?.st_ino)
}

/// The number of a control group.
pub(crate) fn control_group(path: &str) -> Result<u64, Failure> {
    let Some(below) = control_groups() else {
        return Err(Failure::Invalid(
            "this machine has no control groups of version 2 in /sys/fs/cgroup".to_owned(),
        ));
    };
    match number(&format!("{below}{path}")) {
        // Only a directory with this file is a control group.
        Ok(id) if number(&format!("{below}{path}/cgroup.procs")).is_ok() => Ok(id),
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {
            Err(Failure::NotFound(format!("there is no control group {path}")))
        }
        Err(errno) => Err(Failure::Unavailable(format!("the control group {path}: {errno}"))),
    }
}

/// Whether a control group is this host's own, or has it below.
pub(crate) fn holds_this_host(path: &str) -> Result<bool, Failure> {
    let own = remit_file::plain("/proc/self/cgroup".as_ref(), Kind::Kept)
        .map_err(|e| Failure::Unavailable(e.to_string()))?;
    let own = own.text().map_err(|e| Failure::Unavailable(e.to_string()))?.to_owned();
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return Ok(false) };
    Ok(own == path || own.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
}

/// The namespace that a target is in: its own, or that of the place, which has a name or is the host's.
pub(crate) fn of_target(target: &Target, place: Option<&str>) -> Result<Namespace, Failure> {
    match (target, place) {
        (Target::Namespace(name), _) => Namespace::named(name),
        (Target::Process(pid), _) => Namespace::of(*pid),
        (_, Some(name)) => Namespace::named(name),
        (_, None) => Namespace::own(),
    }
}
