//! Fresh values for secrets: from the system's random source, never from an action.

use remit_gate::Failure;
use remit_trust::SecretText;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";
const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Printable ASCII without space, quotes, backquote and backslash: what needs no escape in most files.
const PRINTABLE: &str =
    "!#$%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz{|}~";

const DEFAULT_LENGTH: usize = 32;
const MAX_LENGTH: usize = 4096;
const MIN_BITS: f64 = 64.0;

/// Makes fresh values of one shape.
///
/// In `remit.toml`: `length` (characters, default 32), and either `alphabet` (`alphanumeric`, the
/// default; `printable`, `hex` or `base64url`) or `characters` (exactly these). Less than 64 bits of
/// entropy is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "GeneratorConfig")]
pub struct Generator {
    length: usize,
    characters: Vec<char>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GeneratorConfig {
    length: Option<usize>,
    alphabet: Option<Alphabet>,
    characters: Option<String>,
}

/// The characters that a generated value is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alphabet {
    /// Letters and digits of ASCII.
    Alphanumeric,
    /// Printable ASCII without space, quotes, backquote and backslash.
    Printable,
    /// Lower-case hex digits.
    Hex,
    /// Letters, digits, `-` and `_`.
    Base64url,
}

impl Alphabet {
    /// Its characters.
    #[must_use]
    pub fn characters(self) -> &'static str {
        match self {
            Self::Alphanumeric => ALPHANUMERIC,
            Self::Printable => PRINTABLE,
            Self::Hex => HEX,
            Self::Base64url => BASE64URL,
        }
    }
}

impl TryFrom<GeneratorConfig> for Generator {
    type Error = String;

    fn try_from(config: GeneratorConfig) -> Result<Self, String> {
        let characters = match (config.alphabet, config.characters) {
            (Some(_), Some(_)) => return Err("set `alphabet` or `characters`, not both".to_owned()),
            (_, Some(characters)) => characters,
            (alphabet, None) => alphabet.unwrap_or(Alphabet::Alphanumeric).characters().to_owned(),
        };
        Self::new(config.length.unwrap_or(DEFAULT_LENGTH), &characters)
    }
}

impl Default for Generator {
    /// 32 letters and digits: 190 bits.
    fn default() -> Self {
        Self { length: DEFAULT_LENGTH, characters: ALPHANUMERIC.chars().collect() }
    }
}

impl Generator {
    /// A generator of values that are `length` of these `characters`; the error says what is wrong.
    pub fn new(length: usize, characters: &str) -> Result<Self, String> {
        let characters: Vec<char> = characters.chars().collect();
        let mut unique = characters.clone();
        unique.sort_unstable();
        unique.dedup();
        if unique.len() != characters.len() {
            return Err("a character occurs twice in `characters`, which would favour it".to_owned());
        }
        if characters.iter().any(|c| c.is_control()) {
            return Err("`characters` has a control character".to_owned());
        }
        if characters.len() > 256 {
            return Err("`characters` has more than 256 characters".to_owned());
        }
        if length > MAX_LENGTH {
            return Err(format!("`length` is {length}, at most {MAX_LENGTH} is accepted"));
        }
        let generator = Self { length, characters };
        let bits = generator.entropy();
        if bits < MIN_BITS {
            return Err(format!(
                "{length} of {} characters is {bits:.0} bits of entropy, at least 64 are needed: raise `length`",
                generator.characters.len()
            ));
        }
        Ok(generator)
    }

    /// Bits of entropy of one value.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "both are at most 4096")]
    pub fn entropy(&self) -> f64 {
        if self.characters.is_empty() {
            0.0
        } else {
            self.length as f64 * (self.characters.len() as f64).log2()
        }
    }

    /// A fresh value, each character equally likely.
    pub fn generate(&self) -> Result<SecretText, Failure> {
        let count = self.characters.len();
        // Bytes from here on would make the first characters likelier than the rest.
        let fair = 256 - 256 % count;
        let random = SystemRandom::new();
        let mut value = Zeroizing::new(String::with_capacity(self.length * 4));
        let mut bytes = Zeroizing::new([0; 64]);
        let mut made = 0;
        while made < self.length {
            random.fill(&mut *bytes).map_err(|_| {
                Failure::Unavailable("the system gave no randomness for a fresh value".to_owned())
            })?;
            let usable = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
            for byte in usable.take(self.length - made) {
                value.push(self.characters[byte % count]);
                made += 1;
            }
        }
        Ok(SecretText::new(std::mem::take(&mut *value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Generator, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn shapes() {
        for (text, characters, length) in [
            ("", ALPHANUMERIC, 32),
            ("alphabet = 'hex'\nlength = 64", HEX, 64),
            ("alphabet = 'base64url'", BASE64URL, 32),
            ("alphabet = 'printable'\nlength = 20", PRINTABLE, 20),
            ("characters = 'aäb€'\nlength = 40", "aäb€", 40),
        ] {
            let value = parse(text).unwrap().generate().unwrap();
            assert_eq!(value.expose().chars().count(), length, "{text}");
            assert!(value.expose().chars().all(|c| characters.contains(c)), "{text}");
        }
        assert!(!PRINTABLE.contains(['"', '\'', '`', '\\', ' ']));
        assert_eq!(PRINTABLE.len(), 94 - 4);
    }

    #[test]
    fn weak_or_odd_is_refused() {
        for (text, why) in [
            ("length = 10", "60 bits"),
            ("length = 0", "0 bits"),
            ("characters = ''", "0 bits"),
            ("characters = 'a'", "0 bits"),
            ("characters = 'aab'\nlength = 64", "twice"),
            ("characters = \"ab\\n\"\nlength = 64", "control"),
            ("characters = 'ab'\nalphabet = 'hex'", "not both"),
            ("length = 5000", "at most"),
            ("lenght = 50", "unknown field"),
            ("alphabet = 'words'", "unknown variant"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn every_character_is_as_likely() {
        // 62 does not divide 256: a plain modulo would make the first eight a quarter likelier.
        let generator = Generator::new(4096, ALPHANUMERIC).unwrap();
        let mut counts = std::collections::HashMap::new();
        for _ in 0..50 {
            for c in generator.generate().unwrap().expose().chars() {
                *counts.entry(c).or_insert(0_u32) += 1;
            }
        }
        let expected = f64::from(4096 * 50_u32) / 62.0;
        let chi: f64 = counts.values().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        // 61 degrees of freedom: mean 61, standard deviation 11. The modulo bias would give over 1,000.
        assert!(counts.len() == 62 && chi < 200.0, "chi² {chi}");
    }

    #[test]
    fn values_differ() {
        let generator = Generator::default();
        assert_ne!(generator.generate().unwrap(), generator.generate().unwrap());
    }

    proptest::proptest! {
        #[test]
        fn accepted_means_enough_entropy(length in 0_usize..200, size in 0_usize..90) {
            let characters = &PRINTABLE[..size];
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let enough = size > 0 && length as f64 * (size as f64).log2() >= 64.0;
            match Generator::new(length, characters) {
                Ok(generator) => {
                    proptest::prop_assert!(enough);
                    let value = generator.generate().unwrap();
                    proptest::prop_assert_eq!(value.expose().len(), length);
                    proptest::prop_assert!(value.expose().chars().all(|c| characters.contains(c)));
                }
                Err(_) => proptest::prop_assert!(!enough),
            }
        }
    }
}
