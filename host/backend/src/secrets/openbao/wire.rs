//! The JSON of the Vault API, KV version 2. Parsers answer `None` to whatever is not of that form;
//! serde's own words could quote a value, so nobody gets to see them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::secrets::fields::Fields;
use crate::secrets::store::{Identity, Metadata, Version, VersionState};

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

fn data<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice::<Data<T>>(body).ok().map(|outer| outer.data)
}

/// The server's `errors` and `warnings`.
pub(super) fn remarks(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Remarks {
        #[serde(default)]
        errors: Option<Vec<String>>,
        #[serde(default)]
        warnings: Option<Vec<String>>,
    }
    let found = serde_json::from_slice::<Remarks>(body).ok();
    found.into_iter().flat_map(|found| [found.errors, found.warnings]).flatten().flatten().collect()
}

/// One version, as `metadata` and `data` describe it.
#[derive(Deserialize)]
struct About {
    #[serde(default)]
    created_time: Option<Timestamp>,
    /// Empty, when it was deleted, or when the server will delete it by itself.
    #[serde(default)]
    deletion_time: String,
    destroyed: bool,
    #[serde(default)]
    version: u64,
}

/// An answer that is not what was asked for: what was wanted, in words.
pub(super) type Wanted = &'static str;

impl About {
    /// The version's state, and when the server will delete it, at the moment `now` of the server's own clock.
    ///
    /// A deletion is a time, and whether it has come is the server's to say, at each read: so says its source.
    /// Ours may differ. The header `Date` has whole seconds, and so a version counts as deleted in the second
    /// of its deletion.
    fn state(&self, now: Option<Timestamp>) -> Result<(VersionState, Option<Timestamp>), Wanted> {
        if self.destroyed {
            return Ok((VersionState::Destroyed, None));
        }
        if self.deletion_time.is_empty() {
            return Ok((VersionState::Enabled, None));
        }
        let deleted: Timestamp = self.deletion_time.parse().map_err(|_| METADATA)?;
        let now = now.ok_or("the time (a `Date` header), which tells whether a version is deleted")?;
        Ok(if deleted.as_second() <= now.as_second() {
            (VersionState::Disabled, None)
        } else {
            (VersionState::Enabled, Some(deleted))
        })
    }
}

const METADATA: Wanted = "a secret's metadata";

/// A secret, as seen at the moment `now` of the server's clock.
pub(super) fn metadata(body: &[u8], now: Option<Timestamp>) -> Result<Metadata, Wanted> {
    #[derive(Deserialize)]
    struct Found {
        /// To the nanosecond: no later secret of this path has it.
        #[serde(default)]
        created_time: String,
        current_version: u64,
        /// Null, where there is none: of some servers.
        versions: Option<BTreeMap<String, About>>,
    }
    let found: Found = data(body).ok_or(METADATA)?;
    let created = |about: &About| u64::try_from(about.created_time?.as_millisecond()).ok();
    let known = found.versions.unwrap_or_default();
    let mut versions = Vec::with_capacity(known.len());
    for (number, about) in &known {
        let (state, expires) = about.state(now)?;
        let number = number.parse().map_err(|_| METADATA)?;
        versions.push(Version { number, created: created(about).ok_or(METADATA)?, state, expires });
    }
    versions.sort_unstable_by_key(|version| version.number);
    let identity = match found.created_time {
        created if !created.is_empty() => Some(Identity::new(created)),
        // What has no version cannot be confused with another.
        _ if versions.is_empty() && found.current_version == 0 => None,
        _ => return Err(METADATA),
    };
    Ok(Metadata { identity, current: found.current_version, versions })
}

/// What a read of one version found.
pub(super) struct Read {
    pub(super) version: u64,
    /// Or the names of the fields that are not text.
    pub(super) fields: Result<Fields, Vec<String>>,
}

pub(super) fn fields(body: &[u8]) -> Option<Read> {
    #[derive(Deserialize)]
    struct Found<'a> {
        #[serde(borrow)]
        data: BTreeMap<String, &'a RawValue>,
        metadata: About,
    }
    let found: Found<'_> = data(body)?;
    let (mut fields, mut others) = (Fields::default(), Vec::new());
    for (name, raw) in found.data {
        match serde_json::from_str::<String>(raw.get()) {
            Ok(value) => fields.insert(name, value),
            Err(_) => others.push(name),
        }
    }
    let fields = if others.is_empty() { Ok(fields) } else { Err(others) };
    Some(Read { version: found.metadata.version, fields })
}

/// Names of fields for a person: not more of them, and no longer ones, than can be read.
pub(super) fn names(fields: &[String]) -> String {
    let shown = fields.iter().take(8).map(|name| {
        let name: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        format!("`{name}`")
    });
    let mut shown = shown.collect::<Vec<_>>().join(", ");
    if fields.len() > 8 {
        let _ = write!(shown, " and {} more", fields.len() - 8);
    }
    shown
}

/// Why a version that exists cannot be read, from the body of a 404.
pub(super) fn withdrawn(body: &[u8]) -> Option<VersionState> {
    #[derive(Deserialize)]
    struct Found {
        metadata: About,
    }
    let about = data::<Found>(body)?.metadata;
    // The status already says that it is deleted.
    Some(if about.destroyed { VersionState::Destroyed } else { VersionState::Disabled })
}

/// The body of a check-and-set write.
pub(super) fn write(expected_current: u64, fields: &Fields) -> Zeroizing<Vec<u8>> {
    let fields = fields.to_secret();
    let head = format!("{{\"options\":{{\"cas\":{expected_current}}},\"data\":");
    Zeroizing::new([head.as_bytes(), fields.expose(), b"}"].concat())
}

/// The number in the answer to a write.
pub(super) fn written(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Found {
        version: u64,
    }
    data::<Found>(body).map(|found| found.version)
}

/// The body that names one version.
pub(super) fn versions(version: u64) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("{{\"versions\":[{version}]}}").into_bytes())
}

/// The body that asks what the token may do with `paths`.
pub(super) fn paths(paths: &[String]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::json!({ "paths": paths }).to_string().into_bytes())
}

/// Which of `paths` the token may `act` on, in their order.
pub(super) fn capabilities(body: &[u8], paths: &[(String, &str)]) -> Option<Vec<bool>> {
    let found: BTreeMap<String, Vec<String>> = data(body)?;
    paths
        .iter()
        .map(|(path, act)| Some(found.get(path)?.iter().any(|can| can == act || can == "root")))
        .collect()
}

#[derive(Deserialize)]
pub(super) struct Health {
    pub(super) initialized: bool,
    pub(super) sealed: bool,
    #[serde(deserialize_with = "short")]
    pub(super) version: String,
}

/// Text of the server's that a person will see: short and plain.
fn short<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    Ok(text.chars().filter(char::is_ascii_graphic).take(40).collect())
}

pub(super) fn health(body: &[u8]) -> Option<Health> {
    serde_json::from_slice(body).ok()
}

/// The token's policies and how long it lives, in words.
pub(super) fn token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Found {
        ttl: u64,
        #[serde(default)]
        expire_time: Option<String>,
        #[serde(default)]
        renewable: bool,
        #[serde(default)]
        policies: Vec<String>,
    }
    let found: Found = data(body)?;
    let mut words = if found.expire_time.is_none() && found.ttl == 0 {
        "without expiry".to_owned()
    } else {
        let (hours, minutes, seconds) = (found.ttl / 3600, found.ttl / 60 % 60, found.ttl % 60);
        let renewable = if found.renewable { ", renewable" } else { "" };
        match (hours, minutes) {
            (0, 0) => format!("valid for {seconds}s{renewable}"),
            (0, _) => format!("valid for {minutes}m {seconds}s{renewable}"),
            _ => format!("valid for {hours}h {minutes}m{renewable}"),
        }
    };
    if found.policies.iter().any(|policy| policy == "root") {
        let _ = write!(words, " (a root token: use one with a narrow policy)");
    }
    Some(words)
}

/// The type of a mounted engine, and its version.
pub(super) fn mount(body: &[u8]) -> Option<(String, Option<String>)> {
    #[derive(Deserialize)]
    struct Found {
        #[serde(rename = "type", deserialize_with = "short")]
        kind: String,
        #[serde(default)]
        options: Option<BTreeMap<String, String>>,
    }
    let found: Found = data(body)?;
    Some((found.kind, found.options.and_then(|mut options| options.remove("version"))))
}
