//! Where new secret values come from: the system's random source, never an action.

use remit_gate::Failure;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

/// How new values look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Generator {
    /// Characters in a value.
    pub length: usize,
    /// Which characters.
    pub alphabet: Alphabet,
}

/// The characters a value is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alphabet {
    /// `A-Z a-z 0-9`.
    Alphanumeric,
    /// `0-9 a-f`.
    Hex,
    /// `A-Z a-z 0-9 - _`.
    UrlSafe,
    /// Exactly these ASCII characters.
    Of(String),
}

impl Default for Generator {
    /// 32 alphanumeric characters: 190 bits.
    fn default() -> Self {
        Self { length: 32, alphabet: Alphabet::Alphanumeric }
    }
}

impl Generator {
    fn characters(&self) -> &[u8] {
        match &self.alphabet {
            Alphabet::Alphanumeric => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            Alphabet::Hex => b"0123456789abcdef",
            Alphabet::UrlSafe => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            Alphabet::Of(text) => text.as_bytes(),
        }
    }

    /// What is wrong with it, if something is.
    pub fn check(&self) -> Result<(), String> {
        let characters = self.characters();
        let mut sorted = characters.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != characters.len() || !characters.iter().all(u8::is_ascii_graphic) {
            return Err("its alphabet must be different printable ASCII characters".to_owned());
        }
        if self.length > 4096 {
            return Err("its length must be at most 4096".to_owned());
        }
        // Doubling the alphabet adds a bit to each character: whole bits are a safe lower bound.
        let bits = characters.len().checked_ilog2().unwrap_or(0) as usize * self.length;
        if bits < 96 {
            return Err(format!("it makes values of about {bits} bits, which can be guessed; 96 are needed"));
        }
        Ok(())
    }

    /// A fresh value, each character equally likely.
    pub fn generate(&self) -> Result<String, Failure> {
        let characters = self.characters();
        let random = SystemRandom::new();
        // Bytes at or above the largest multiple would favour the first characters: they are thrown away.
        let fair = 256 - 256 % characters.len().max(1);
        let mut value = String::with_capacity(self.length);
        let mut bytes = [0; 64];
        while value.len() < self.length {
            random
                .fill(&mut bytes)
                .map_err(|_| Failure::Unavailable("the system gave no randomness".to_owned()))?;
            let usable = bytes.iter().map(|b| usize::from(*b)).filter(|b| *b < fair);
            value.extend(usable.map(|b| char::from(characters[b % characters.len()])).take(self.length - value.len()));
        }
        Ok(value)
    }
}
