//! What of WASI a script can use, by the functions of its first preview.
#![allow(unsafe_code, reason = "WASI is called by pointers")]

use std::mem::MaybeUninit;

/// Why a call failed.
type Code = u16;

const NOT_FOUND: Code = 44;
/// The first descriptor that can be a directory.
const FIRST: u32 = 3;
const TRUNCATE: u16 = 1 << 3;
const CREATE: u16 = 1;
const DIRECTORY: u16 = 1 << 1;
const APPEND: u16 = 1;
const READ: u64 = 1 << 1 | 1 << 2 | 1 << 5;
const WRITE: u64 = 1 << 6 | 1 << 2 | 1 << 5 | 1 << 4;
const READ_FOLDER: u64 = 1 << 14;

#[repr(C)]
struct Piece {
    at: *const u8,
    length: usize,
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(to: *mut u8, length: usize) -> Code;
    fn clock_time_get(clock: u32, precision: u64, to: *mut u64) -> Code;
    fn fd_prestat_get(fd: u32, to: *mut [u32; 2]) -> Code;
    fn fd_prestat_dir_name(fd: u32, to: *mut u8, length: usize) -> Code;
    fn path_open(
        fd: u32,
        follow: u32,
        path: *const u8,
        length: usize,
        how: u16,
        rights: u64,
        inherited: u64,
        flags: u16,
        to: *mut u32,
    ) -> Code;
    fn fd_close(fd: u32) -> Code;
    fn fd_sync(fd: u32) -> Code;
    fn fd_read(fd: u32, pieces: *const Piece, count: usize, done: *mut usize) -> Code;
    fn fd_write(fd: u32, pieces: *const Piece, count: usize, done: *mut usize) -> Code;
    fn fd_readdir(fd: u32, to: *mut u8, length: usize, cookie: u64, used: *mut usize) -> Code;
    fn path_filestat_get(fd: u32, follow: u32, path: *const u8, length: usize, to: *mut [u64; 8]) -> Code;
    fn path_create_directory(fd: u32, path: *const u8, length: usize) -> Code;
    fn path_remove_directory(fd: u32, path: *const u8, length: usize) -> Code;
    fn path_unlink_file(fd: u32, path: *const u8, length: usize) -> Code;
    fn path_rename(
        fd: u32,
        from: *const u8,
        length: usize,
        to_fd: u32,
        to: *const u8,
        to_length: usize,
    ) -> Code;
}

fn ok(code: Code) -> Result<(), Code> {
    if code == 0 { Ok(()) } else { Err(code) }
}

pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    // SAFETY: the pointer is to as many bytes as are asked for.
    unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
    u64::from_le_bytes(bytes)
}

pub(crate) fn clock() -> u64 {
    let mut now = 0;
    // SAFETY: the pointer is to one number.
    unsafe { clock_time_get(0, 1, &raw mut now) };
    now
}

pub(crate) fn print(line: &str) -> Result<(), Code> {
    write_all(1, &format!("{line}\n"))
}

/// The directory that a path begins with, and the rest.
fn at(path: &str) -> Result<(u32, &str), Code> {
    for fd in FIRST.. {
        let mut found = [0; 2];
        // SAFETY: the pointer is to two words, which is what is written.
        ok(unsafe { fd_prestat_get(fd, &raw mut found) }).map_err(|_| NOT_FOUND)?;
        let mut name = vec![0; found[1] as usize];
        // SAFETY: the pointer is to as many bytes as the name was said to have.
        ok(unsafe { fd_prestat_dir_name(fd, name.as_mut_ptr(), name.len()) })?;
        let name = String::from_utf8_lossy(&name);
        if let Some(rest) = path.strip_prefix(&*name) {
            match rest.strip_prefix('/') {
                Some(rest) => return Ok((fd, rest)),
                None if rest.is_empty() => return Ok((fd, ".")),
                None => {}
            }
        }
    }
    Err(NOT_FOUND)
}

/// Opens what is there, and closes it whatever comes of `work`.
fn with<T>(
    path: &str,
    (how, rights, flags): (u16, u64, u16),
    work: impl FnOnce(u32) -> Result<T, Code>,
) -> Result<T, Code> {
    let (folder, rest) = at(path)?;
    let mut fd = 0;
    // SAFETY: the path is as long as it says, and the last pointer is to one word.
    ok(unsafe { path_open(folder, 0, rest.as_ptr(), rest.len(), how, rights, 0, flags, &raw mut fd) })?;
    let done = work(fd);
    // SAFETY: no pointer.
    let closed = ok(unsafe { fd_close(fd) });
    done.and_then(|done| closed.map(|()| done))
}

pub(crate) fn read(path: &str) -> Result<String, Code> {
    with(path, (0, READ, 0), |fd| {
        let mut content = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let mut done = 0;
            let pieces = [Piece { at: piece.as_mut_ptr(), length: piece.len() }];
            // SAFETY: one piece, of bytes that are ours and mutable.
            ok(unsafe { fd_read(fd, pieces.as_ptr(), 1, &raw mut done) })?;
            if done == 0 {
                return Ok(String::from_utf8_lossy(&content).into_owned());
            }
            content.extend_from_slice(&piece[..done]);
        }
    })
}

fn write_all(fd: u32, mut text: &str) -> Result<(), Code> {
    while !text.is_empty() {
        let mut done = 0;
        let pieces = [Piece { at: text.as_ptr(), length: text.len() }];
        // SAFETY: one piece, which is only read.
        ok(unsafe { fd_write(fd, pieces.as_ptr(), 1, &raw mut done) })?;
        text = text.get(done..).unwrap_or_default();
    }
    Ok(())
}

pub(crate) fn write(path: &str, text: &str, append: bool) -> Result<(), Code> {
    let (how, flags) = if append { (CREATE, APPEND) } else { (CREATE | TRUNCATE, 0) };
    with(path, (how, WRITE, flags), |fd| {
        write_all(fd, text)?;
        // SAFETY: no pointer.
        ok(unsafe { fd_sync(fd) })
    })
}

pub(crate) fn list(path: &str) -> Result<Vec<String>, Code> {
    /// Of the next one, the inode, the length of the name, the kind: three words of eight bytes.
    const HEAD: usize = 24;
    with(path, (DIRECTORY, READ_FOLDER, 0), |fd| {
        let mut space = vec![0; 16 * 1024];
        let mut used = 0;
        // SAFETY: the pointer is to as many bytes as are offered.
        ok(unsafe { fd_readdir(fd, space.as_mut_ptr(), space.len(), 0, &raw mut used) })?;
        let mut names = Vec::new();
        let mut rest = &space[..used];
        while let Some(length) = rest.get(16..20) {
            let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
            let Some(name) = rest.get(HEAD..HEAD + length) else { break };
            names.push(String::from_utf8_lossy(name).into_owned());
            rest = &rest[HEAD + length..];
        }
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    })
}

pub(crate) fn size(path: &str) -> Result<u64, Code> {
    let (folder, rest) = at(path)?;
    let mut found = MaybeUninit::<[u64; 8]>::zeroed();
    // SAFETY: the path is as long as it says, and what is written are eight words of eight bytes.
    ok(unsafe { path_filestat_get(folder, 0, rest.as_ptr(), rest.len(), found.as_mut_ptr()) })?;
    // SAFETY: numbers, and zero from the beginning.
    Ok(unsafe { found.assume_init() }[4])
}

pub(crate) fn remove(path: &str) -> Result<(), Code> {
    let (folder, rest) = at(path)?;
    // SAFETY: the path is as long as it says.
    ok(unsafe { path_unlink_file(folder, rest.as_ptr(), rest.len()) })
}

pub(crate) fn rename(from: &str, to: &str) -> Result<(), Code> {
    let ((from, rest), (to, new)) = (at(from)?, at(to)?);
    // SAFETY: both paths are as long as they say.
    ok(unsafe { path_rename(from, rest.as_ptr(), rest.len(), to, new.as_ptr(), new.len()) })
}

pub(crate) fn make_folder(path: &str) -> Result<(), Code> {
    let (folder, rest) = at(path)?;
    // SAFETY: the path is as long as it says.
    ok(unsafe { path_create_directory(folder, rest.as_ptr(), rest.len()) })
}

pub(crate) fn remove_folder(path: &str) -> Result<(), Code> {
    let (folder, rest) = at(path)?;
    // SAFETY: the path is as long as it says.
    ok(unsafe { path_remove_directory(folder, rest.as_ptr(), rest.len()) })
}
