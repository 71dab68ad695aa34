//! Values that an action may use and never sees: their handles, and what opens them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{KeyError, SecretText};

/// What every handle begins with.
const PREFIX: &str = "sealed:";
/// What the handle of a generated value begins with. No sealed input has a name with a colon.
const GENERATED: &str = "generated:";
/// The longest name of a sealed input, in bytes.
const MAX_NAME: usize = 64;

/// The handle of a sealed input: its name, and the keyed digest that commits to its value. It tells nothing of the value to
/// anybody who does not have the key. In text: `sealed:NAME:` and 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle {
    name: String,
    commitment: [u8; 32],
}

/// The handle of a value that an action uses and never sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueHandle {
    /// Of a sealed input.
    Input(Handle),
    /// Of a value that the host generated in this run: which, counted from 1. In text: `generated:1`. It is no secret and commits
    /// to nothing: a rehearsal and each run have another value under the same handle.
    Generated(u64),
}

/// The error for text that is not a handle. It does not quote the text, which may be a secret that was given by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the handle of a sealed input or of a generated value")]
pub struct NoHandle;

impl Handle {
    /// The name of the input.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The commitment in words: `hmac-sha256:` and 64 lower-case hex digits.
    #[must_use]
    pub fn commitment(&self) -> String {
        format!("hmac-sha256:{}", self.digits())
    }

    /// The commitment as 64 lower-case hex digits.
    #[must_use]
    pub fn digits(&self) -> String {
        hex::encode(self.commitment)
    }

    /// Whether a sealed input can have this name.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        (1..=MAX_NAME).contains(&name.len()) && name.chars().all(part)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}:{}", self.name, self.digits())
    }
}

impl ValueHandle {
    /// What the value is called on record.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Input(handle) => Cow::Borrowed(handle.name()),
            Self::Generated(_) => Cow::Owned(self.to_string()),
        }
    }
}

impl fmt::Display for ValueHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(handle) => handle.fmt(f),
            Self::Generated(number) => write!(f, "{GENERATED}{number}"),
        }
    }
}

impl FromStr for ValueHandle {
    type Err = NoHandle;

    fn from_str(text: &str) -> Result<Self, NoHandle> {
        let Some(digits) = text.strip_prefix(GENERATED) else { return text.parse().map(Self::Input) };
        let handle = digits.parse().map(Self::Generated).map_err(|_| NoHandle)?;
        // A handle has one spelling.
        if handle.to_string() == text { Ok(handle) } else { Err(NoHandle) }
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.to_string()
    }
}

impl FromStr for Handle {
    type Err = NoHandle;

    fn from_str(text: &str) -> Result<Self, NoHandle> {
        let (name, digits) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':')).ok_or(NoHandle)?;
        let mut commitment = [0; 32];
        hex::decode_to_slice(digits, &mut commitment).map_err(|_| NoHandle)?;
        // Only lower-case hex is accepted, so that a handle has one spelling.
        let one_spelling = !digits.bytes().any(|b| b.is_ascii_uppercase());
        if Self::is_name(name) && one_spelling {
            Ok(Self { name: name.to_owned(), commitment })
        } else {
            Err(NoHandle)
        }
    }
}

impl TryFrom<String> for Handle {
    type Error = NoHandle;

    fn try_from(text: String) -> Result<Self, NoHandle> {
        text.parse()
    }
}

/// A value, and the random key of its commitment: what opens a [`Handle`].
pub struct Opening {
    key: Zeroizing<[u8; 32]>,
    value: SecretText,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening(..)")
    }
}

impl Opening {
    /// The largest value, in bytes.
    pub const MAX: usize = 64 * 1024;

    /// A new random key for a value.
    pub fn new(value: SecretText) -> Result<Self, KeyError> {
        let mut key = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *key).map_err(|_| KeyError::Random)?;
        Ok(Self { key, value })
    }

    /// An opening that was sent or kept: the key and the value, one after the other. None if it cannot be one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, value) = bytes.split_first_chunk::<32>()?;
        let value = std::str::from_utf8(value).ok().filter(|value| (1..=Self::MAX).contains(&value.len()))?;
        Some(Self { key: Zeroizing::new(*key), value: SecretText::new(value.to_owned()) })
    }

    /// What [`Self::from_bytes`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let value = self.value.expose().as_bytes();
        // Made as large as it gets, so that no part of it is left behind where it was before it grew.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.key.len() + value.len()));
        bytes.extend_from_slice(&*self.key);
        bytes.extend_from_slice(value);
        bytes
    }

    /// The value.
    #[must_use]
    pub fn into_value(self) -> SecretText {
        self.value
    }

    /// The handle of this value under a name, in the journal `log`.
    #[must_use]
    pub fn handle(&self, log: &str, name: &str) -> Handle {
        let mut commitment = [0; 32];
        commitment.copy_from_slice(self.mac(log, name).as_ref());
        Handle { name: name.to_owned(), commitment }
    }

    /// Whether this is what the handle commits to. It takes the same time wherever the first difference is.
    #[must_use]
    pub fn opens(&self, log: &str, handle: &Handle) -> bool {
        use subtle::ConstantTimeEq as _;
        self.mac(log, &handle.name).as_ref().ct_eq(&handle.commitment).into()
    }

    fn mac(&self, log: &str, name: &str) -> hmac::Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.key);
        let mut of = hmac::Context::with_key(&key);
        // Lengths keep two different rows of texts from being one.
        for part in ["remit-sealed-input-v1", log, name, self.value.expose()] {
            of.update(&(part.len() as u64).to_be_bytes());
            of.update(part.as_bytes());
        }
        of.sign()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn opening(value: &str) -> Opening {
        Opening::new(value.to_owned().into()).unwrap()
    }

    #[test]
    fn a_handle_is_opened_by_its_own_value_in_its_own_place_only() {
        let (one, again) = (opening("hunter2"), opening("hunter2"));
        let handle = one.handle("a/log", "token");
        assert!(one.opens("a/log", &handle));
        assert_eq!(handle.to_string().parse::<Handle>().unwrap(), handle);
        assert_eq!(
            (handle.name(), handle.commitment()),
            ("token", format!("hmac-sha256:{}", handle.digits()))
        );
        assert_eq!(handle.to_string(), format!("sealed:token:{}", handle.digits()));
        // The same value twice is two handles.
        assert_ne!(again.handle("a/log", "token"), handle);
        assert!(!again.opens("a/log", &handle) && !one.opens("b/log", &handle));
        assert_ne!(one.handle("a/log", "other").digits(), handle.digits());
        let kept = Opening::from_bytes(&one.to_bytes()).unwrap();
        assert!(kept.opens("a/log", &handle));
        let mut other = one.to_bytes();
        *other.last_mut().unwrap() ^= 1;
        assert!(!Opening::from_bytes(&other).unwrap().opens("a/log", &handle));
        // A name and a value cannot give each other letters.
        let mut moved = one.to_bytes()[..32].to_vec();
        moved.extend_from_slice(b"nhunter2");
        assert_ne!(Opening::from_bytes(&moved).unwrap().handle("a/log", "toke").digits(), handle.digits());
        assert_eq!(format!("{one:?}"), "Opening(..)");
        let json = serde_json::json!(handle.to_string());
        assert_eq!(
            (serde_json::json!(handle), serde_json::from_value(json.clone()).ok()),
            (json.clone(), Some(handle.clone()))
        );
    }

    #[test]
    fn a_value_has_one_name_on_record_and_its_handle_one_spelling() {
        let input = opening("hunter2").handle("a/log", "token");
        let (input, generated) = (ValueHandle::Input(input), ValueHandle::Generated(7));
        assert_eq!((&*input.name(), &*generated.name()), ("token", "generated:7"));
        for handle in [input, generated, ValueHandle::Generated(u64::MAX)] {
            assert_eq!(handle.to_string().parse(), Ok(handle));
        }
        for text in ["", "generated:", "generated:07", "generated:+7", "generated:7 ", "Generated:7", "token"]
        {
            assert_eq!(text.parse::<ValueHandle>(), Err(NoHandle), "{text}");
        }
    }

    #[test]
    fn what_is_no_handle_and_no_opening() {
        let good = opening("x").handle("log", "token").to_string();
        let upper = good.replace("sealed:token:", "").to_uppercase();
        for text in [
            "",
            "sealed:",
            "sealed:token",
            "sealed:token:12",
            &good[1..],
            &good[..good.len() - 1],
            &good.replace("token", ""),
            &good.replace("token", "to ken"),
            &good.replace("token", &"n".repeat(65)),
            &format!("{good}0"),
            &format!(" {good}"),
        ] {
            assert_eq!(text.parse::<Handle>(), Err(NoHandle), "{text}");
        }
        if upper.bytes().any(|b| b.is_ascii_uppercase()) {
            assert!(format!("sealed:token:{upper}").parse::<Handle>().is_err());
        }
        assert_eq!(Opening::MAX, 65_536);
        assert!(
            Opening::from_bytes(&[0; 31]).is_none()
                && Opening::from_bytes(&[0; 32]).is_none()
                && Opening::from_bytes(&[0xff; 40]).is_none()
        );
        assert!(Opening::from_bytes(&vec![b'a'; 32 + Opening::MAX]).is_some());
        assert!(Opening::from_bytes(&vec![b'a'; 33 + Opening::MAX]).is_none());
    }
}
