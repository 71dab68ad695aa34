//! The processes of a workload: what they are, which program each runs, and what it has open. Never their environment, which is where
//! secrets are given to programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use remit_file::Kind;
use remit_gate::Failure;
use remit_trust::Digest;
use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use serde::Serialize;

use super::collect::Archive;
use super::files;
use crate::network::Target;
use crate::network::namespace::{Namespace, processes};

/// How many processes there may be, and how many of its open files are listed of each.
const MOST: usize = 2_000;
const MOST_OPEN: usize = 1_024;
/// The largest program whose digest is made, in bytes.
const LARGEST: u64 = 1 << 30;

/// A process, as the archive has it.
#[derive(Debug, Default, Serialize)]
struct Process {
    pid: u32,
    parent: Option<u32>,
    name: String,
    state: String,
    uids: String,
    gids: String,
    /// In ticks of the kernel's clock since it started.
    started: Option<u64>,
    cgroup: String,
    /// What it was started with.
    command: Vec<String>,
    folder: Option<String>,
    program: Option<String>,
    program_sha256: Option<Digest>,
    /// What it has open: files by their paths, sockets by their numbers in `network/`.
    open: BTreeMap<String, String>,
}

/// Adds `processes.json`: the processes of a workload. `sockets` are the lines of its namespace's TCP and UDP.
pub(super) fn gather(
    target: &Target,
    namespace: &Namespace,
    sockets: &str,
    archive: &mut Archive,
) -> Result<(), Failure> {
    let of_address = match target {
        Target::Address(address) => crate::network::inodes(sockets, *address),
        _ => BTreeSet::new(),
    };
    let (mut found, mut digests) = (Vec::new(), BTreeMap::new());
    let mut cut_off = None;
    for pid in processes()? {
        if archive.is_over() || found.len() == MOST {
            cut_off =
                Some(format!("{} processes: the time was over, or there are more than {MOST}", found.len()));
            break;
        }
        let Some(status) = text(pid, "status") else { continue };
        let belongs = match target {
            Target::Namespace(_) | Target::Process(_) => {
                Namespace::of(pid).is_ok_and(|own| own.id == namespace.id)
            }
            Target::Uid(uid) => field(&status, "Uid").split_whitespace().any(|one| one.parse() == Ok(*uid)),
            Target::Cgroup(path) => {
                let groups = text(pid, "cgroup").unwrap_or_default();
                let group = group(&groups);
                group == *path || group.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
            Target::Address(_) => {
                open(pid).values().filter_map(|file| socket(file)).any(|one| of_address.contains(&one))
            }
        };
        if belongs {
            found.push(look(pid, &status, &mut digests));
        }
    }
    match serde_json::to_vec_pretty(&found) {
        Ok(json) => archive.add("processes.json", &json, cut_off),
        Err(error) => archive.lacks("processes.json", error),
    }
    Ok(())
}

type Digests = BTreeMap<(u64, u64), Option<Digest>>;

fn look(pid: u32, status: &str, digests: &mut Digests) -> Process {
    let command = bytes(pid, "cmdline").unwrap_or_default();
    let words = command.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Process {
        pid,
        parent: field(status, "PPid").parse().ok(),
        name: field(status, "Name").to_owned(),
        state: field(status, "State").to_owned(),
        uids: field(status, "Uid").to_owned(),
        gids: field(status, "Gid").to_owned(),
        started: started(&text(pid, "stat").unwrap_or_default()),
        cgroup: group(&text(pid, "cgroup").unwrap_or_default()).to_owned(),
        command: words.map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
        folder: link(pid, "cwd"),
        program: link(pid, "exe"),
        program_sha256: program(pid, digests),
        open: open(pid),
    }
}

/// The digest of the program that a process runs, also of one that was deleted since.
fn program(pid: u32, digests: &mut Digests) -> Option<Digest> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat(CWD, format!("/proc/{pid}/exe"), flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok()?;
    let made = || files::digest(file, LARGEST).ok().flatten();
    *digests.entry((meta.dev(), meta.ino())).or_insert_with(made)
}

/// What a process has open, by the number that it has for it.
fn open(pid: u32) -> BTreeMap<String, String> {
    let folder = format!("/proc/{pid}/fd");
    let entries = remit_file::list(folder.as_ref(), Kind::Kept).unwrap_or_default();
    let open = entries.into_iter().take(MOST_OPEN);
    open.filter_map(|entry| Some((entry.name.clone(), link(pid, &format!("fd/{}", entry.name))?))).collect()
}

/// The number of a socket: `socket:[1058]`.
fn socket(file: &str) -> Option<u64> {
    file.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn bytes(pid: u32, file: &str) -> Option<Vec<u8>> {
    let content = remit_file::plain(format!("/proc/{pid}/{file}").as_ref(), Kind::Kept).ok()?;
    Some(content.bytes().to_vec())
}

fn text(pid: u32, file: &str) -> Option<String> {
    bytes(pid, file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn link(pid: u32, file: &str) -> Option<String> {
    let target = readlinkat(CWD, format!("/proc/{pid}/{file}"), Vec::new()).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// A field of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| *found == name).map_or("", |(_, value)| value.trim())
}

/// The control group of version 2, without the slash that it begins with.
fn group(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default()
}

/// When a process started, of `/proc/PID/stat`: the twenty-second field, where the second may have spaces and brackets.
fn started(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn this_process_is_found_without_its_environment() {
        let mut archive = Archive::new(1 << 20, Duration::from_secs(60));
        let own = Namespace::own().unwrap();
        gather(&Target::Process(std::process::id()), &own, "", &mut archive).unwrap();
        let gathered = archive.finish().unwrap();
        assert_eq!(gathered.parts[0].name, "processes.json");
        let mut read = tar::Archive::new(&gathered.bytes[..]);
        let mut json = String::new();
        std::io::Read::read_to_string(&mut read.entries().unwrap().next().unwrap().unwrap(), &mut json)
            .unwrap();
        let found: serde_json::Value = serde_json::from_str(&json).unwrap();
        let own = found.as_array().unwrap().iter().find(|one| one["pid"] == std::process::id()).unwrap();
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(own["program_sha256"], Digest::of(&program).to_string());
        assert!(own["started"].as_u64() > Some(0) && own["parent"].as_u64() > Some(0), "{own}");
        let secret = remit_text::env::var("PATH").unwrap().into_string().unwrap();
        assert!(!json.contains(&secret), "what was given by the environment is in no part");
    }

    #[test]
    fn a_name_with_brackets_is_a_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000 2";
        assert_eq!(started(stat), Some(4711));
        assert_eq!(group("1:cpu:/x\n0::/system.slice/a.service\n"), "system.slice/a.service");
        assert_eq!((socket("socket:[12]"), socket("/dev/null")), (Some(12), None));
    }
}
