//! The names that journal entries are filed under.

use std::cell::Cell;
use std::thread::LocalKey;

use remit_trust::Digest;

/// The length of every prefix.
const PREFIX: usize = 4;
/// The length of a name: the prefix and the 26 characters of a ULID.
const LENGTH: usize = PREFIX + 26;

/// The name that a record is filed under, as text without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Filed {
    text: [u8; LENGTH],
    length: usize,
}

impl Filed {
    /// A fixed word instead of a name; at most as long as a name, the rest is cut.
    pub(crate) fn word(word: &'static str) -> Self {
        let length = word.len().min(LENGTH);
        let mut text = [0; LENGTH];
        text[..length].copy_from_slice(&word.as_bytes()[..length]);
        Self { text, length }
    }

    /// A prefix and the beginning of a digest. Two digests with one name are nothing that anybody could make happen to others:
    /// that takes about 2^104 tries.
    pub(crate) fn digest(prefix: &str, digest: &Digest) -> Self {
        let mut text = [0; LENGTH];
        let name = format!("{prefix}{}", hex::encode(digest.as_bytes()));
        text.copy_from_slice(&name.as_bytes()[..LENGTH]);
        Self { text, length: LENGTH }
    }

    /// The name with this prefix and digits, if the text is one.
    pub(crate) fn read(prefix: &str, text: &str) -> Option<Self> {
        let digits = text.strip_prefix(prefix)?;
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let text = <[u8; LENGTH]>::try_from(text.as_bytes()).ok()?;
        digits.bytes().all(digit).then_some(Self { text, length: LENGTH })
    }

    pub(crate) fn as_str(&self) -> &str {
        // All constructors write ASCII.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// Defines a name: a prefix and a ULID in lower case. It has one spelling, and sorts by time of creation.
macro_rules! named {
    (#[doc = $doc:literal] $name:ident, $prefix:literal, $error:ident, $what:literal, $code:path, $help:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ulid::Ulid);

        #[doc = concat!("Text that is not the name of ", $what, ".")]
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
        #[error("`{0}` is not the name of {what}", what = $what)]
        #[diagnostic(code($code), help($help))]
        pub struct $error(String);

        impl $name {
            /// The time of creation, by the clock of the host that made it.
            #[must_use]
            pub fn made(&self) -> jiff::Timestamp {
                let millis = i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX);
                jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
            }

            /// A new, unique name.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "each call gives another value")]
            pub fn new() -> Self {
                Self(ulid::Ulid::generate())
            }
        }

        impl $name {
            /// The last name that this thread wrote; most often the next one is the same.
            fn last() -> &'static LocalKey<Cell<Option<(ulid::Ulid, Filed)>>> {
                thread_local! {
                    static LAST: Cell<Option<(ulid::Ulid, Filed)>> = const { Cell::new(None) };
                }
                &LAST
            }

            /// The name as text, without an allocation.
            pub(crate) fn filed(&self) -> Filed {
                if let Some((last, filed)) = Self::last().get()
                    && last == self.0
                {
                    return filed;
                }
                let mut text = [0; LENGTH];
                text[..PREFIX].copy_from_slice($prefix.as_bytes());
                let mut ulid = [0; LENGTH - PREFIX];
                self.0.array_to_str(&mut ulid).make_ascii_lowercase();
                text[PREFIX..].copy_from_slice(&ulid);
                let filed = Filed { text, length: LENGTH };
                Self::last().set(Some((self.0, filed)));
                filed
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.filed().as_str())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                if let Some((last, filed)) = Self::last().get()
                    && filed.as_str() == text
                {
                    return Ok(Self(last));
                }
                let refuse = || $error(text.escape_debug().take(80).collect());
                let ulid = ulid::Ulid::from_string(text.strip_prefix($prefix).ok_or_else(refuse)?)
                    .map_err(|_| refuse())?;
                let name = Self(ulid);
                // The decoder also accepts upper case and similar letters, so the spelling is compared.
                if name.filed().as_str() == text { Ok(name) } else { Err(refuse()) }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.filed().as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("the name of ", $what))
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }
    };
}
named! {
    /// The name of one run: `run-` and a ULID in lower case. Sorts by time of creation.
    RunId, "run-", RunIdError, "a run", usage::run,
    "a run is named like run-01jd2m4k9x8s7t6v5w4y3z2a1b; `remit runs` lists them"
}

named! {
    /// The name of one request: `req-` and a ULID in lower case. Sorts by time of creation.
    RequestId, "req-", RequestIdError, "a request", usage::request,
    "a request is named like req-01jd2m4k9x8s7t6v5w4y3z2a1b; `remit requests` lists them"
}
