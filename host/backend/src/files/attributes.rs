//! What belongs to a file or a directory besides its content: owner, group, mode, extended attributes with the ACLs
//! among them, and the flags of `chattr`. Its times are not of it.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use remit_trust::Digest;
use rustix::fs::{IFlags, Stat};
use rustix::io::Errno;

use super::limits::{MAX_XATTRS, Odd};
use super::sys::{self, Broke};

/// The access ACL, and the one that a directory gives to what is made in it.
const ACL: &str = "system.posix_acl_access";
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// What a program may do that its file has this of.
const CAPABILITY: &str = "security.capability";

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;

/// The flags that a person sets; the others are the filesystem's own business.
const FLAGS: IFlags = IFlags::APPEND
    .union(IFlags::COMPRESSED)
    .union(IFlags::DIRSYNC)
    .union(IFlags::IMMUTABLE)
    .union(IFlags::JOURNALING)
    .union(IFlags::NOATIME)
    .union(IFlags::NOCOW)
    .union(IFlags::NODUMP)
    .union(IFlags::NOTAIL)
    .union(IFlags::PROJECT_INHERIT)
    .union(IFlags::SECURE_REMOVAL)
    .union(IFlags::SYNC)
    .union(IFlags::TOPDIR)
    .union(IFlags::UNRM);

/// Everything of a file or a directory that an undo must bring back besides the content.
#[derive(Clone, PartialEq, Eq)]
pub struct Attributes {
    /// The user it belongs to.
    pub owner: u32,
    /// The group it belongs to.
    pub group: u32,
    /// Its permission bits, the set-user-id, set-group-id and sticky bits among them.
    pub mode: u32,
    /// Extended attributes, by name. Who is not root does not see those of `trusted.`
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// As `chattr` sets them; none where the filesystem has none, or where they are what it makes them.
    pub flags: Option<u32>,
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, group, mode, xattrs, flags } = self;
        write!(f, "{owner}:{group} {mode:04o} {:?} {flags:?}", xattrs.keys())
    }
}

/// Whether the kernel gives this one to what is new, by its own rules: what was not asked to have it may have it.
pub(super) fn is_given(name: &str) -> bool {
    name == "security.selinux"
        || name == "security.apparmor"
        || name.starts_with("security.SMACK64")
        || is_of_content(name)
}

/// Whether it is a signature or digest of the content, which the kernel makes anew.
fn is_of_content(name: &str) -> bool {
    matches!(name, "security.ima" | "security.evm")
}

impl Attributes {
    /// What is new in a directory gets, by the rules of the kernel: the group of a set-group-id directory, and its
    /// default ACL.
    #[must_use]
    pub fn new_in(parent: &Self, mode: u32, directory: bool) -> Self {
        let mut new = Self {
            owner: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
            mode,
            xattrs: BTreeMap::new(),
            flags: None,
        };
        if parent.mode & SET_GROUP != 0 {
            new.group = parent.group;
            if directory {
                new.mode |= SET_GROUP;
            }
        }
        if let Some(default) = parent.xattrs.get(DEFAULT_ACL) {
            if let Some(Inherited { access, bits }) = inherited(default, mode) {
                new.mode = new.mode & !0o777 | bits;
                if let Some(access) = access {
                    new.xattrs.insert(ACL.to_owned(), access);
                }
            }
            if directory {
                new.xattrs.insert(DEFAULT_ACL.to_owned(), default.clone());
            }
        }
        new
    }

    /// What a file of these keeps when other content takes its place.
    #[must_use]
    pub fn with_other_content(mut self) -> Self {
        self.xattrs.retain(|name, _| !is_of_content(name));
        self
    }

    /// Whether a program in this file would run as another user, or with more privileges than its user has.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        self.mode & (SET_USER | SET_GROUP) != 0 || self.xattrs.contains_key(CAPABILITY)
    }

    /// Why the file or directory cannot be changed by anyone; none if it can.
    #[must_use]
    pub fn locked(&self) -> Option<&'static str> {
        let flags = IFlags::from_bits_retain(self.flags?);
        if flags.contains(IFlags::IMMUTABLE) {
            Some("is immutable (`chattr +i`)")
        } else if flags.contains(IFlags::APPEND) {
            Some("can only be appended to (`chattr +a`)")
        } else {
            None
        }
    }

    /// The digest of each extended attribute.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        self.xattrs.iter().map(|(name, value)| (name.clone(), Digest::of(value))).collect()
    }
}

/// Reads them. The inner error is that they cannot be recorded.
pub(super) fn read(of: BorrowedFd<'_>, stat: &Stat) -> Result<Result<Attributes, Odd>, Errno> {
    let xattrs = match xattrs(of)? {
        Ok(xattrs) => xattrs,
        Err(odd) => return Ok(Err(odd)),
    };
    Ok(Ok(Attributes {
        owner: stat.st_uid,
        group: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        xattrs,
        flags: flags(of).map(|flags| (flags & FLAGS).bits()),
    }))
}

/// Where a filesystem has none, asking fails in its own way.
fn flags(of: BorrowedFd<'_>) -> Option<IFlags> {
    rustix::fs::ioctl_getflags(of).ok()
}

fn xattrs(of: BorrowedFd<'_>) -> Result<Result<BTreeMap<String, Vec<u8>>, Odd>, Errno> {
    // An attribute can be added between the call for the size and the call for the list.
    for _ in 0..3 {
        match xattrs_once(of) {
            Err(Errno::RANGE | Errno::NODATA) => {}
            read => return read,
        }
    }
    Err(Errno::AGAIN)
}

fn xattrs_once(of: BorrowedFd<'_>) -> Result<Result<BTreeMap<String, Vec<u8>>, Odd>, Errno> {
    let size = match rustix::fs::flistxattr_query(of) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Ok(BTreeMap::new())),
        size => size?,
    };
    if size > MAX_XATTRS {
        return Ok(Err(Odd::Attributes));
    }
    let mut list = vec![0; size];
    let size = rustix::fs::flistxattr(of, &mut list[..])?;
    list.truncate(size);
    let (mut xattrs, mut together) = (BTreeMap::new(), size);
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(name) = std::str::from_utf8(name) else { return Ok(Err(Odd::Attributes)) };
        let size = rustix::fs::fgetxattr_query(of, name)?;
        together += size;
        if together > MAX_XATTRS {
            return Ok(Err(Odd::Attributes));
        }
        let mut value = vec![0; size];
        if size > 0 {
            let size = rustix::fs::fgetxattr(of, name, &mut value[..])?;
            value.truncate(size);
        }
        xattrs.insert(name.to_owned(), value);
    }
    Ok(Ok(xattrs))
}

/// Sets the attributes of a draft, which no other process knows, and checks that it has them. The owner is set before
/// the set-user-id bit and before file capabilities, so that at no moment one user has a privilege of another.
pub(super) fn give(to: BorrowedFd<'_>, wanted: &Attributes) -> Result<(), Broke> {
    let has = now(to)?;
    if let Some(flags) = wanted.flags.filter(|flags| Some(*flags) != has.flags) {
        let own = self::flags(to).unwrap_or(IFlags::empty()) - FLAGS;
        sys::set_flags(to, own | IFlags::from_bits_retain(flags))?;
    }
    if (has.owner, has.group) != (wanted.owner, wanted.group) {
        sys::chown(to, wanted.owner, wanted.group)?;
    }
    for name in has.xattrs.keys().filter(|name| !wanted.xattrs.contains_key(*name) && !is_given(name)) {
        sys::remove_xattr(to, name)?;
    }
    // What the directory gave must not keep its owner from setting the others; nor must the ACL, which is a mode too.
    let own = has.mode & 0o100 | 0o600;
    if has.mode & 0o7777 != own {
        sys::chmod(to, own)?;
    }
    let (acls, others): (Vec<_>, Vec<_>) =
        wanted.xattrs.iter().partition(|(name, _)| name.starts_with("system."));
    for (name, value) in others.into_iter().chain(acls) {
        if has.xattrs.get(name) != Some(value) {
            sys::set_xattr(to, name, value)?;
        }
    }
    sys::chmod(to, wanted.mode)?;
    let has = now(to)?;
    // A filesystem, or the kernel for who is not root, may drop some of it without a word.
    let lost = |what: &str| Err(Broke::NotTaken(what.to_owned()));
    if (has.owner, has.group) != (wanted.owner, wanted.group) {
        return lost("owner");
    }
    if has.mode != wanted.mode {
        return lost("mode");
    }
    if wanted.flags.is_some() && has.flags != wanted.flags {
        return lost("flags");
    }
    if let Some((name, _)) = wanted.xattrs.iter().find(|(name, value)| has.xattrs.get(*name) != Some(value)) {
        return lost(name);
    }
    match has.xattrs.keys().find(|name| !wanted.xattrs.contains_key(*name) && !is_given(name)) {
        Some(name) => lost(name),
        None => Ok(()),
    }
}

fn now(of: BorrowedFd<'_>) -> Result<Attributes, Broke> {
    let read = rustix::fs::fstat(of).and_then(|stat| read(of, &stat)).map_err(Broke::read)?;
    read.map_err(|odd| Broke::NotTaken(format!("it {odd}")))
}

/// Why a file with these attributes cannot be made in a directory; none if it can. This is tried on an unnamed file
/// that is removed at once. The outer error is that no file at all can be made there.
pub(super) fn cannot_be_given(directory: impl AsFd, wanted: &Attributes) -> Result<Option<String>, Errno> {
    let mut wanted = wanted.clone();
    // A file has none, and where the other ACL can be set this one can.
    wanted.xattrs.remove(DEFAULT_ACL);
    let draft = match sys::nameless(directory.as_fd()) {
        Ok(draft) => draft,
        // The filesystem has no such files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => return Ok(by_rule(&wanted)),
        Err(error) => return Err(error),
    };
    Ok(give(draft.as_fd(), &wanted).err().map(|broke| broke.to_string()))
}

/// What [`cannot_be_given`] answers where it cannot be tried on a file.
fn by_rule(wanted: &Attributes) -> Option<String> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return None;
    }
    let mut groups = rustix::process::getgroups().unwrap_or_default();
    groups.push(rustix::process::getegid());
    if wanted.owner != user.as_raw() || !groups.iter().any(|group| group.as_raw() == wanted.group) {
        let (owner, group) = (wanted.owner, wanted.group);
        return Some(format!("only root can give it the owner {owner}:{group}"));
    }
    let name =
        wanted.xattrs.keys().find(|name| name.starts_with("security.") || name.starts_with("trusted."))?;
    Some(format!("only root can give it the attribute {name}"))
}

/// What a default ACL makes of a mode.
struct Inherited {
    /// The access ACL, unless it says no more than the mode.
    access: Option<Vec<u8>>,
    bits: u32,
}

/// `posix_acl_create` of the kernel: each class gets what both the default ACL and the mode allow. None for an ACL of
/// another form.
fn inherited(default: &[u8], mode: u32) -> Option<Inherited> {
    const USER: u16 = 0x01;
    const GROUP: u16 = 0x04;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;
    let (version, entries) = default.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != 2 || entries.len() % 8 != 0 {
        return None;
    }
    let mut access = version.to_vec();
    let tag_of = |entry: &[u8]| u16::from_le_bytes([entry[0], entry[1]]);
    let masked = entries.chunks_exact(8).any(|entry| tag_of(entry) == MASK);
    let mut bits = 0;
    for entry in entries.chunks_exact(8) {
        let mut allowed = u16::from_le_bytes([entry[2], entry[3]]);
        let shift = match tag_of(entry) {
            USER => Some(6),
            GROUP if !masked => Some(3),
            MASK => Some(3),
            OTHER => Some(0),
            _ => None,
        };
        if let Some(shift) = shift {
            allowed &= u16::try_from(mode >> shift & 7).unwrap_or(0);
            bits |= u32::from(allowed) << shift;
        }
        access.extend_from_slice(&entry[..2]);
        access.extend_from_slice(&allowed.to_le_bytes());
        access.extend_from_slice(&entry[4..]);
    }
    let more = entries.chunks_exact(8).any(|entry| !matches!(tag_of(entry), USER | GROUP | OTHER));
    Some(Inherited { access: more.then_some(access), bits })
}
