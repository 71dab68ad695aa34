//! Whether a file is still the one that was read before, by what the system says of it.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::fs::StatVfsMountFlags;
use serde::{Deserialize, Serialize};

/// How old a change must be so that the next one gets another time: file systems round times to two seconds at worst, and
/// the kernel's clock ticks every few milliseconds.
const SETTLED: Duration = Duration::from_secs(3);

/// The identifier of this boot of the machine. After a loss of power, a file can have its old times and other bytes, so
/// nothing noted during an earlier boot counts; nor does anything where the identifier is not known.
pub(crate) fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let read = || remit_file::plain(path, remit_file::Kind::Kept).ok()?.into_text().ok();
    BOOT.get_or_init(|| read().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())).as_deref()
}

/// What the system says of a file. Only root can write a file and leave all of it as it was: every write, and every
/// setting back of `modified` (mtime), moves `changed` (ctime), which no user can set.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileIdentity {
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

    /// Whether the identity tells this file from every other. Not on a read-only file system: images are made with
    /// constant times (squashfs, ostree, Nix), and the next image mounted at the same place can look the same.
    pub(crate) fn is_unique(file: &File) -> bool {
        rustix::fs::fstatvfs(file).is_ok_and(|fs| !fs.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// The size of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The file's device and inode, which stay the same when it is written.
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Whether any write after `now` will change the identity. A file that was changed just now can be changed again
    /// within the same tick of the clock, and look the same; git calls this "racily clean".
    pub(crate) fn settled(&self, now: SystemTime) -> bool {
        let (seconds, _) = self.changed;
        let changed = u64::try_from(seconds).ok().map(Duration::from_secs);
        let age =
            changed.and_then(|changed| now.duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_sub(changed));
        // One second more, because `changed` was rounded down to seconds.
        age.is_some_and(|age| age >= SETTLED + Duration::from_secs(1))
    }
}
