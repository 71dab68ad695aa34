//! Gathering: what is read of a workload, within limits, and put into one archive.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use remit_gate::Failure;
use remit_trust::Digest;

use super::config::EvidenceConfig;
use super::place::{Gathered, Part};
use super::{files, processes};
use crate::network::Target;
use crate::network::namespace::{Namespace, of_target};
use crate::network::nft::{Nft, Within};

/// What the kernel says of a namespace's network, each in a file below `/proc/self/net`.
const NETWORK: [&str; 14] = [
    "tcp",
    "tcp6",
    "udp",
    "udp6",
    "raw",
    "raw6",
    "packet",
    "unix",
    "route",
    "ipv6_route",
    "arp",
    "if_inet6",
    "fib_trie",
    "dev",
];

/// An archive that is being made.
pub(super) struct Archive {
    tar: tar::Builder<Vec<u8>>,
    parts: Vec<Part>,
    missing: Vec<String>,
    /// How many bytes of content it still takes.
    left: u64,
    until: Instant,
    at: Timestamp,
}

impl Archive {
    pub(super) fn new(most: u64, time: Duration) -> Self {
        Self {
            tar: tar::Builder::new(Vec::new()),
            parts: Vec::new(),
            missing: Vec::new(),
            left: most,
            until: Instant::now() + time,
            at: Timestamp::now(),
        }
    }

    /// How many bytes it still takes.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Whether the time is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Notes what could not be had.
    pub(super) fn lacks(&mut self, what: &str, why: impl std::fmt::Display) {
        self.missing.push(remit_text::short_line(&format!("{what}: {why}"), 300).into_owned());
    }

    /// Adds a part, as much of it as there is room for. `cut_off` says what the caller has left out already.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8], cut_off: Option<String>) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let (bytes, cut_off) = match bytes.get(..room) {
            Some(fits) if fits.len() < bytes.len() => {
                (fits, Some(format!("the first {room} of {} bytes: the archive is full", bytes.len())))
            }
            _ => (bytes, cut_off),
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o400);
        header.set_mtime(self.at.as_second().unsigned_abs());
        if let Err(error) = self.tar.append_data(&mut header, name.trim_start_matches('/'), bytes) {
            return self.lacks(name, error);
        }
        self.left -= bytes.len() as u64;
        let (sha256, size) = (Digest::of(bytes), bytes.len() as u64);
        self.parts.push(Part { name: name.to_owned(), sha256, size, cut_off });
    }

    pub(super) fn finish(self) -> Result<Gathered, Failure> {
        let Self { tar, parts, missing, at, .. } = self;
        let bytes =
            tar.into_inner().map_err(|error| Failure::Unavailable(format!("the archive: {error}")))?;
        Ok(Gathered { bytes, parts, missing, at })
    }
}

/// Gathers all that an entry says of a workload.
pub(super) async fn gather(entry: &EvidenceConfig, target: &Target) -> Result<Gathered, Failure> {
    let namespace = of_target(target, entry.netns.as_deref())?;
    let time = entry.time.unsigned_abs();
    let mut archive = Archive::new(entry.size_mib * 1024 * 1024, time);
    let reader = Nft { program: "nft".into(), time_limit: time };
    let mut sockets = String::new();
    for file in NETWORK {
        let name = format!("network/{file}");
        match reader.read(Within::This(&namespace), &[&format!("/proc/self/net/{file}")]).await {
            Ok(bytes) => {
                if ["tcp", "tcp6", "udp", "udp6"].contains(&file) {
                    sockets.push_str(&String::from_utf8_lossy(&bytes));
                }
                archive.add(&name, &bytes, None);
            }
            Err(failure) => archive.lacks(&name, failure),
        }
    }
    match reader.rules(Within::This(&namespace)).await {
        Ok(rules) => archive.add("network/rules.nft", &rules, None),
        Err(failure) => archive.lacks("network/rules.nft", failure),
    }
    let (entry, target) = (entry.clone(), target.clone());
    let work = move || gather_here(&entry, &target, &namespace, &sockets, archive);
    let gathered = tokio::task::spawn_blocking(work).await;
    gathered.unwrap_or_else(|_| Err(Failure::Unavailable("gathering evidence did not finish".to_owned())))
}

/// What blocks a thread: processes and files.
fn gather_here(
    entry: &EvidenceConfig,
    target: &Target,
    namespace: &Namespace,
    sockets: &str,
    mut archive: Archive,
) -> Result<Gathered, Failure> {
    processes::gather(target, namespace, sockets, &mut archive)?;
    files::gather(entry, &mut archive);
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_takes_what_it_has_room_for_and_says_so() {
        let mut archive = Archive::new(10, Duration::from_secs(60));
        archive.add("a", b"12345678", None);
        archive.add("/b", b"12345678", None);
        archive.add("c", b"", Some("the end".to_owned()));
        archive.lacks("d", "it is gone\u{1b}[2J");
        let gathered = archive.finish().unwrap();
        let told: Vec<_> = gathered.parts.iter().map(|part| (part.size, part.cut_off.clone())).collect();
        let full = Some("the first 2 of 8 bytes: the archive is full".to_owned());
        assert_eq!(told, [(8, None), (2, full), (0, Some("the end".to_owned()))]);
        assert_eq!(gathered.parts[1].sha256, Digest::of(b"12"));
        assert!(gathered.missing[0].starts_with("d: it is gone") && !gathered.missing[0].contains('\u{1b}'));
        let mut read = tar::Archive::new(&gathered.bytes[..]);
        let names: Vec<_> =
            read.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
