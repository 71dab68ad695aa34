//! `[[network]]` of `remit.toml`.

use std::path::PathBuf;

use jiff::SignedDuration;
use remit_gate::{Pattern, Resource};
use remit_text::{Mistake, Table};
use serde::Deserialize;

use super::exception::Exception;
use super::place::KIND;
use crate::BackendError;

/// The longest time limit that can be configured.
const MAX_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
/// How many exceptions there may be: `nft` is given all rules in one piece.
const MAX_ALLOW: usize = 64;

/// A place with workloads: this machine, or one network namespace of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The first segment of the paths of its workloads: `main` of `workload:main/uid/1000`.
    pub name: String,
    /// The workloads that may ever be cut, as patterns of what comes after the name: `uid/1000`, `netns/*`.
    pub workloads: Vec<String>,
    /// The namespace below `/run/netns` in which users, control groups and addresses are matched. Without one, the host's own.
    pub netns: Option<String>,
    /// What a workload that is cut may still talk with.
    #[serde(default)]
    pub allow: Vec<Exception>,
    /// The program `nft`: a name, which is looked for where a system keeps its programs, or an absolute path.
    #[serde(default = "default_nft")]
    pub nft: PathBuf,
    /// The maximum time of one run of `nft`.
    #[serde(default = "default_timeout", deserialize_with = "remit_text::duration::deserialize")]
    pub timeout: SignedDuration,
}

fn default_nft() -> PathBuf {
    "nft".into()
}

fn default_timeout() -> SignedDuration {
    SignedDuration::from_secs(5)
}

impl NetworkConfig {
    pub(super) fn read(entry: Table<'_>) -> Result<Self, Mistake> {
        entry.rest("a place of [[network]]")
    }

    /// Checks what can be checked without the system; the workloads that may be cut, as patterns of resources.
    pub(super) fn check(&self) -> Result<Vec<Pattern>, BackendError> {
        let wrong = |setting, why: &str| Err(BackendError::setting(setting, why));
        if self.name.contains('/') || Resource::new(KIND, &self.name).is_err() {
            return wrong("name", "it is one segment of a path, such as main");
        }
        if self.netns.as_ref().is_some_and(|name| name.contains('/') || Resource::new(KIND, name).is_err()) {
            return wrong("netns", "it is the name of a namespace, as `ip netns list` has it");
        }
        if self.nft.components().count() > 1 && !self.nft.is_absolute() || self.nft.as_os_str().is_empty() {
            return wrong("nft", "it is a name without a slash, or an absolute path");
        }
        if self.allow.len() > MAX_ALLOW {
            return wrong("allow", "it has more than 64 exceptions: list blocks of addresses");
        }
        if self.timeout <= SignedDuration::ZERO || self.timeout > MAX_TIMEOUT {
            return wrong("timeout", "it must be more than nothing and at most one minute");
        }
        let pattern = |text: &String| {
            let kinds = ["uid/", "cgroup/", "netns/", "pid/", "address/"];
            if !kinds.iter().any(|kind| text.starts_with(kind)) {
                let why = format!("`{text}` begins with none of {}", kinds.join(", "));
                return Err(BackendError::setting("workloads", why));
            }
            Pattern::new(&format!("{KIND}:{}/{text}", self.name))
                .map_err(|error| BackendError::setting("workloads", error.why().to_owned()))
        };
        self.workloads.iter().map(pattern).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let read = |text: &str| {
            let text = format!("[[network]]\nname = 'main'\n{text}");
            let entries = Table::parse(&text)?.entries("network")?;
            entries.into_iter().map(NetworkConfig::read).next().unwrap()
        };
        let good =
            read("workloads = ['uid/1000', 'netns/*', 'cgroup/**']\nallow = ['10.0.0.5:9000/tcp']").unwrap();
        assert_eq!(good.check().unwrap()[1].as_str(), "workload:main/netns/*");
        for (text, setting) in [
            ("workloads = ['**']", "workloads"),
            ("workloads = ['*/1000']", "workloads"),
            ("workloads = ['uid/1*']", "workloads"),
            ("workloads = []\nnetns = 'a/b'", "netns"),
            ("workloads = []\nnetns = '../x'", "netns"),
            ("workloads = []\nnft = 'bin/nft'", "nft"),
            ("workloads = []\ntimeout = '2m'", "timeout"),
        ] {
            let refused = read(text).unwrap().check().unwrap_err();
            assert!(
                matches!(refused, BackendError::Setting { setting: found, .. } if found == setting),
                "{text}"
            );
        }
        for (text, why) in [
            ("", "missing field `workloads`"),
            ("workloads = []\nallow = ['everything']", "is no exception"),
            ("workloads = []\nallowed = []", "has no key `allowed`"),
        ] {
            let told = read(text).unwrap_err().to_string();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
