//! What a server keeps of a password instead of the password: a verifier of SCRAM-SHA-256 (RFC 5802, RFC 7677). The host makes
//! it itself, so that the server never has the password.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_gate::Failure;
use remit_trust::SecretText;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// As many rounds, and bytes of salt, as `PostgreSQL` itself takes.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
const SALT: usize = 16;
/// More rounds than anybody asks for would only keep the host busy.
const MOST_ROUNDS: u32 = 1_000_000;

/// What a server checks a password with: `SCRAM-SHA-256$4096:SALT$STORED:SERVER`, or another form that an older server made.
/// Passwords can be tried against it, so that it is a secret too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier(SecretText);

impl Verifier {
    /// As a server keeps it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretText::new(text))
    }

    /// A fresh one of a password: two of the same password differ.
    pub fn of(password: &SecretText) -> Result<Self, Failure> {
        if password.expose().is_empty() {
            return Err(Failure::Invalid("an empty password is none".to_owned()));
        }
        if password.expose().contains('\0') {
            return Err(Failure::Invalid("a password cannot have the character NUL".to_owned()));
        }
        let mut salt = [0; SALT];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_| Failure::Unavailable("the system's random source failed".to_owned()))?;
        let (stored, server) = keys(password, &salt, ROUNDS);
        let [salt, stored, server] =
            [&salt[..], &stored[..], &server[..]].map(|bytes| STANDARD.encode(bytes));
        Ok(Self::new(format!("SCRAM-SHA-256${ROUNDS}:{salt}${stored}:{server}")))
    }

    /// Whether it is one of this password; none if it is of another form than this host makes.
    #[must_use]
    pub fn opens(&self, password: &SecretText) -> Option<bool> {
        let rest = self.0.expose().strip_prefix("SCRAM-SHA-256$")?;
        let (parameters, both) = rest.split_once('$')?;
        let (rounds, salt) = parameters.split_once(':')?;
        let rounds = rounds.parse().ok().filter(|rounds: &NonZeroU32| rounds.get() <= MOST_ROUNDS)?;
        let salt = STANDARD.decode(salt).ok()?;
        let stored = STANDARD.decode(both.split_once(':')?.0).ok()?;
        Some(keys(password, &salt, rounds).0.ct_eq(&stored).into())
    }

    /// The text. Each use is a place to look at twice.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// `StoredKey` and `ServerKey` of RFC 5802.
fn keys(password: &SecretText, salt: &[u8], rounds: NonZeroU32) -> (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>) {
    // What cannot be prepared is taken as it is, as servers and their clients do.
    let prepared = stringprep::saslprep(password.expose()).map_or_else(
        |_| Zeroizing::new(password.expose().to_owned()),
        |prepared| Zeroizing::new(prepared.into_owned()),
    );
    let mut salted = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, prepared.as_bytes(), &mut *salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &*salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let of = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    (of(stored.as_ref()), of(hmac::sign(&key, b"Server Key").as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    /// The example of RFC 7677.
    #[test]
    fn keys_are_those_of_the_standard() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let (stored, server) = keys(&secret("pencil"), &salt, ROUNDS);
        assert_eq!(STANDARD.encode(&stored), "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=");
        assert_eq!(STANDARD.encode(&server), "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
    }

    #[test]
    fn a_verifier_opens_for_its_password_only() {
        let verifier = Verifier::of(&secret("I\u{AD}X")).unwrap();
        // Prepared, the one is the other.
        assert_eq!(verifier.opens(&secret("IX")), Some(true));
        assert_eq!(verifier.opens(&secret("ix")), Some(false));
        assert_ne!(verifier, Verifier::of(&secret("IX")).unwrap(), "each has a salt of its own");
        for other in
            ["", "md5abc", "SCRAM-SHA-256$4096:!$a:b", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$4096"]
        {
            assert_eq!(Verifier::new(other.to_owned()).opens(&secret("IX")), None, "{other}");
        }
        for none in ["", "a\0b"] {
            assert!(matches!(Verifier::of(&secret(none)), Err(Failure::Invalid(_))));
        }
        assert!(!format!("{verifier:?}").contains("SCRAM"));
    }
}
