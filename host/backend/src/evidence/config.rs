//! `[[evidence]]` of `remit.toml`.

use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use remit_gate::Resource;
use remit_text::{Address, Mistake, Table};
use serde::Deserialize;

use super::place::KIND;
use crate::BackendError;

/// The longest time that gathering can be given.
const MAX_TIME: SignedDuration = SignedDuration::from_secs(300);
/// The most that one archive can have, in MiB: it is in memory until it is kept.
const MAX_MIB: u64 = 512;

/// Where evidence of the workloads of one place is kept, and what is gathered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceConfig {
    /// The first segment of the paths of the workloads: the name of a `[[network]]`.
    pub name: String,
    /// The namespace below `/run/netns` in which users, control groups and addresses are looked for. Without one, the host's own.
    pub netns: Option<String>,
    /// The directory in which archives are written once; absolute.
    pub directory: Option<PathBuf>,
    /// The bucket in which archives are locked.
    pub bucket: Option<BucketConfig>,
    /// Files that are kept whole, as absolute paths with `*` for a part of a segment and `**` for any number of segments.
    #[serde(default)]
    pub files: Vec<String>,
    /// Files of which the end is kept.
    #[serde(default)]
    pub logs: Vec<String>,
    /// How much of the end of a log is kept, in KiB.
    #[serde(default = "default_log")]
    pub log_kib: u64,
    /// The most that one archive may have, in MiB.
    #[serde(default = "default_size")]
    pub size_mib: u64,
    /// How many files may be kept.
    #[serde(default = "default_files")]
    pub most_files: usize,
    /// How long gathering may take.
    #[serde(default = "default_time", deserialize_with = "remit_text::duration::deserialize")]
    pub time: SignedDuration,
}

/// A bucket of S3 with object lock.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketConfig {
    /// The service: `https://s3.eu-central-1.amazonaws.com`.
    pub origin: String,
    /// The name of the bucket.
    pub name: String,
    /// What every name in it begins with: `remit/`.
    #[serde(default)]
    pub prefix: String,
    /// The region.
    pub region: String,
    /// The identifier of the access key.
    pub access_key_id: String,
    /// The file with the secret access key, relative to Remit's home.
    pub secret_key_file: PathBuf,
    /// The CA that signed the service's certificate, in PEM, relative to Remit's home.
    pub ca_file: Option<PathBuf>,
    /// How the objects are locked.
    #[serde(default)]
    pub mode: LockMode,
    /// For how long nobody can delete them.
    #[serde(deserialize_with = "remit_text::duration::deserialize")]
    pub retention: SignedDuration,
}

/// The modes of S3's object lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockMode {
    /// Nobody can shorten it, the account's owner included.
    #[default]
    Compliance,
    /// Who has a right for that can shorten it.
    Governance,
}

impl LockMode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Compliance => "COMPLIANCE",
            Self::Governance => "GOVERNANCE",
        }
    }
}

fn default_log() -> u64 {
    1024
}

fn default_size() -> u64 {
    64
}

fn default_files() -> usize {
    200
}

fn default_time() -> SignedDuration {
    SignedDuration::from_secs(20)
}

impl EvidenceConfig {
    pub(super) fn read(entry: Table<'_>) -> Result<Self, Mistake> {
        entry.rest("a place of [[evidence]]")
    }

    /// Checks what can be checked without the system.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        let wrong = |setting, why: &str| Err(BackendError::setting(setting, why));
        let segment = |name: &str| !name.contains('/') && Resource::new(KIND, name).is_ok();
        if !segment(&self.name) {
            return wrong("name", "it is one segment of a path, such as main");
        }
        if self.netns.as_ref().is_some_and(|name| !segment(name)) {
            return wrong("netns", "it is the name of a namespace, as `ip netns list` has it");
        }
        match (&self.directory, &self.bucket) {
            (None, None) => return wrong("directory", "set it, or `bucket`: evidence is kept somewhere"),
            (Some(_), Some(_)) => return wrong("directory", "there is a `bucket` too: set one of them"),
            (Some(path), None) if !path.is_absolute() => return wrong("directory", "it is an absolute path"),
            _ => {}
        }
        if self.files.iter().chain(&self.logs).any(|pattern| {
            !Path::new(pattern).is_absolute()
                || pattern.split('/').any(|s| s == "..")
                || glob::Pattern::new(pattern).is_err()
        }) {
            return wrong("files", "each is an absolute path without `..`, with wildcards, as in `logs`");
        }
        let numbers = [self.log_kib, self.size_mib, self.most_files as u64];
        if numbers.contains(&0)
            || self.size_mib > MAX_MIB
            || self.log_kib > MAX_MIB * 1024
            || self.most_files > 10_000
        {
            return wrong("size_mib", "limits are more than nothing: at most 512 MiB, and 10,000 files");
        }
        if self.time <= SignedDuration::ZERO || self.time > MAX_TIME {
            return wrong("time", "it must be more than nothing and at most five minutes");
        }
        self.bucket.as_ref().map_or(Ok(()), BucketConfig::check)
    }
}

impl BucketConfig {
    fn check(&self) -> Result<(), BackendError> {
        let wrong = |setting, why: &str| Err(BackendError::setting(setting, why));
        if let Err(why) = Address::parse(&self.origin) {
            return wrong("bucket.origin", &why.to_string());
        }
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if self.name.is_empty() || !plain(&self.name) {
            return wrong("bucket.name", "it is a name of S3: letters, digits, `-` and `.`");
        }
        if !self.prefix.split('/').all(plain) || self.prefix.starts_with('/') || self.prefix.contains("//") {
            return wrong(
                "bucket.prefix",
                "it is letters, digits, `-`, `_`, `.` and single slashes, such as remit/",
            );
        }
        if self.region.is_empty() || !plain(&self.region) || self.access_key_id.is_empty() {
            return wrong("bucket.region", "`region` and `access_key_id` are needed to sign requests");
        }
        let (hour, years) = (SignedDuration::from_hours(1), SignedDuration::from_hours(24 * 365 * 20));
        if self.retention < hour || self.retention > years {
            return wrong("bucket.retention", "it must be at least 1h and at most 20 years");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let read = |text: &str| {
            let text = format!("[[evidence]]\nname = 'main'\n{text}");
            let entries = Table::parse(&text)?.entries("evidence")?;
            entries.into_iter().map(EvidenceConfig::read).next().unwrap()
        };
        let bucket = |more: &str| {
            format!(
                "[evidence.bucket]\norigin = 'https://s3.example.org'\nname = 'b'\nregion = 'eu'\naccess_key_id = 'A'\nsecret_key_file = 's'\n{more}"
            )
        };
        read("directory = '/var/lib/evidence'\nfiles = ['/etc/**/*.conf']").unwrap().check().unwrap();
        read(&bucket("retention = '30d'")).unwrap().check().unwrap();
        for (text, setting) in [
            (String::new(), "directory"),
            (format!("directory = '/x'\n{}", bucket("retention = '30d'")), "directory"),
            ("directory = 'x'".to_owned(), "directory"),
            ("directory = '/x'\nfiles = ['etc/passwd']".to_owned(), "files"),
            ("directory = '/x'\nlogs = ['/var/../etc/shadow']".to_owned(), "files"),
            ("directory = '/x'\nsize_mib = 0".to_owned(), "size_mib"),
            ("directory = '/x'\nsize_mib = 4096".to_owned(), "size_mib"),
            ("directory = '/x'\ntime = '1h'".to_owned(), "time"),
            ("directory = '/x'\nnetns = 'a/b'".to_owned(), "netns"),
            (bucket("retention = '1m'"), "bucket.retention"),
            (bucket("retention = '30d'\nprefix = '/x'"), "bucket.prefix"),
            (bucket("retention = '30d'").replace("https", "http"), "bucket.origin"),
        ] {
            let refused = read(&text).unwrap().check().unwrap_err();
            assert!(
                matches!(refused, BackendError::Setting { setting: found, .. } if found == setting),
                "{text}: {refused}"
            );
        }
    }
}
