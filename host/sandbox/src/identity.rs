//! Which file it is, as the system tells it.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::fs::StatVfsMountFlags;
use serde::{Deserialize, Serialize};

/// How old a change must be before the next one is sure to bear another time: file systems keep times to two
/// seconds at worst, the kernel's own clock ticks every few milliseconds.
const SETTLED: Duration = Duration::from_secs(3);

/// Which start of the machine this is. What the system said of a file before it, a loss of power may have belied; where it
/// is not known, nothing said before counts.
pub(crate) fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let read = || remit_file::plain(path, remit_file::Kind::Kept).ok()?.into_text().ok();
    BOOT.get_or_init(|| read().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())).as_deref()
}

/// Nobody but root can write a file and leave all of it as it was: every write, and every setting back of the time of
/// the last write (`modified`), moves the time of the last change (`changed`), which nobody can set.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    pub(crate) fn of(file: &File) -> std::io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Whether what the system says of a file tells it from every other: not where nothing is ever written. Images are made
    /// with constant times (squashfs, ostree, Nix), and the next one at the same place may look the same in all of it.
    pub(crate) fn tells(file: &File) -> bool {
        rustix::fs::fstatvfs(file).is_ok_and(|fs| !fs.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Which file it is, whatever is in it now.
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Whether any write from `now` on will show. A file that was changed just now can be changed again within the same
    /// tick of the clock, and look the same: what git calls racily clean.
    pub(crate) fn settled(&self, now: SystemTime) -> bool {
        let (seconds, _) = self.changed;
        let changed = u64::try_from(seconds).ok().map(Duration::from_secs);
        let age =
            changed.and_then(|changed| now.duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_sub(changed));
        // One second more: the fraction of the change is not counted.
        age.is_some_and(|age| age >= SETTLED + Duration::from_secs(1))
    }
}
