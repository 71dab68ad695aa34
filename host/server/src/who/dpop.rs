//! Proofs of possession (`DPoP`, RFC 9449): whoever has only overheard a token cannot use it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use remit_trust::Digest;
use serde::Deserialize;

use remit_trust::jws::{Jwk, Unverified};

/// How old a proof may be, and by how much the clock of who made it may be ahead.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// How many proofs are remembered. While that many were used lately, calls are refused, so that none can be used twice.
const MOST: usize = 200_000;
/// How long it is at least from one sweep of what is remembered to the next.
const SWEPT: SignedDuration = SignedDuration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
}

/// The claims of a proof. Others are ignored, as RFC 9449 says.
#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    ath: String,
}

/// The proofs that were used in the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Used(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// When each was used.
    at: HashMap<Digest, Timestamp>,
    /// When those were last forgotten that are too old to be accepted.
    swept: Timestamp,
}

/// A proof that is good for its call. It is used when it is [noted](Used::note), and not before: a call that is refused for another
/// reason uses up neither the proof nor the room to remember it.
#[must_use]
pub(crate) struct Unused(Digest);

/// Why a good proof is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotNoted {
    /// It was used before.
    Used,
    /// As many were used lately as are remembered.
    Full,
}

/// Of a proof that comes a second time.
pub(crate) const USED: &str = "it was used before: make one for each call";

impl Used {
    /// Notes that a proof is used now.
    pub(crate) fn note(&self, proof: Unused, now: Timestamp) -> Result<(), NotNoted> {
        let mut noted = self.noted();
        // All of them are looked at, so not for every call while it is full.
        if noted.at.len() >= MOST && now.duration_since(noted.swept).abs() >= SWEPT {
            noted.swept = now;
            noted.at.retain(|_, at| now.duration_since(*at) <= FRESH + FRESH);
        }
        if noted.at.contains_key(&proof.0) {
            return Err(NotNoted::Used);
        }
        if noted.at.len() >= MOST {
            return Err(NotNoted::Full);
        }
        noted.at.insert(proof.0, now);
        Ok(())
    }

    fn has(&self, proof: &Digest) -> bool {
        self.noted().at.contains_key(proof)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that a proof must be for.
pub(crate) struct Call<'a> {
    /// The HTTP method of the call.
    pub(crate) method: &'a str,
    /// Its URL, without query and fragment.
    pub(crate) url: &'a str,
    /// The token that comes with it.
    pub(crate) token: &'a str,
    /// The thumbprint of the key that the token is bound to.
    pub(crate) thumbprint: &'a str,
}

/// Checks that a proof is for one call and was not used.
pub(crate) fn check(proof: &str, call: &Call<'_>, used: &Used) -> Result<Unused, String> {
    let parsed = Unverified::<Header>::parse(proof)?;
    let header = &parsed.header;
    if header.typ != "dpop+jwt" {
        return Err("its `typ` is not `dpop+jwt`".to_owned());
    }
    if matches!(header.jwk, Jwk::Rsa { .. }) {
        return Err("its key is neither P-256 nor Ed25519".to_owned());
    }
    let claims: Claims = parsed.verify(&header.alg, &header.jwk)?;
    if claims.htm != call.method {
        return Err(format!("it is for {}, and this call is {}", claims.htm.escape_debug(), call.method));
    }
    let url = claims.htu.split(['?', '#']).next().unwrap_or_default();
    if url != call.url {
        return Err(format!("it is for {}, and this call is to {}", url.escape_debug(), call.url));
    }
    if claims.ath != URL_SAFE_NO_PAD.encode(Digest::of(call.token.as_bytes()).as_bytes()) {
        return Err("it is for another token".to_owned());
    }
    let now = Timestamp::now();
    let made = Timestamp::from_second(claims.iat).map_err(|_| "its `iat` is no time".to_owned())?;
    if now.duration_since(made).abs() > FRESH {
        return Err(format!("it was made at {made}, and it is {now}: set the clock right"));
    }
    if claims.jti.is_empty() || claims.jti.len() > 256 {
        return Err("its `jti` is empty or longer than 256 bytes".to_owned());
    }
    if header.jwk.thumbprint() != call.thumbprint {
        return Err("it is by another key than the token is bound to".to_owned());
    }
    let proof = Digest::of(format!("{} {}", call.thumbprint, claims.jti).as_bytes());
    if used.has(&proof) { Err(USED.to_owned()) } else { Ok(Unused(proof)) }
}

/// Whether a proof is for a call with this method, URL, token and thumbprint of the token's key, if it was not used before. A
/// server looks by itself; this is for tests and fuzzers.
pub fn check_proof(proof: &str, [method, url, token, thumbprint]: [&str; 4]) -> Result<(), String> {
    check(proof, &Call { method, url, token, thumbprint }, &Used::default()).map(drop)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use base64::Engine as _;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
    use serde_json::{Value, json};

    use super::*;

    const URL: &str = "https://remit.example/api/v1/runs";
    const TOKEN: &str = "the token";

    fn encode(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whoever makes proofs.
    struct Maker {
        jwk: Value,
        sign: Box<dyn Fn(&[u8]) -> Vec<u8>>,
    }

    impl Maker {
        fn p256() -> Self {
            let random = SystemRandom::new();
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap();
            let point = pair.public_key().as_ref().to_vec();
            let jwk =
                json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])});
            Self { jwk, sign: Box::new(move |text| pair.sign(&random, text).unwrap().as_ref().to_vec()) }
        }

        fn ed25519() -> Self {
            let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap();
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())});
            Self { jwk, sign: Box::new(move |text| pair.sign(text).as_ref().to_vec()) }
        }

        fn header(&self) -> Value {
            let alg = if self.jwk["kty"] == "EC" { "ES256" } else { "EdDSA" };
            json!({"typ": "dpop+jwt", "alg": alg, "jwk": self.jwk})
        }

        fn token(&self, header: &str, claims: &str) -> String {
            let signed = format!("{}.{}", encode(header), encode(claims));
            format!("{signed}.{}", encode((self.sign)(signed.as_bytes())))
        }

        fn thumbprint(&self) -> String {
            serde_json::from_value::<Jwk>(self.jwk.clone()).unwrap().thumbprint()
        }

        fn try_it(&self, header: &str, claims: &str) -> Result<(), String> {
            let thumbprint = self.thumbprint();
            let call = Call { method: "GET", url: URL, token: TOKEN, thumbprint: &thumbprint };
            check(&self.token(header, claims), &call, &Used::default()).map(drop)
        }
    }

    fn claims() -> Value {
        json!({
            "jti": "1",
            "htm": "GET",
            "htu": URL,
            "iat": Timestamp::now().as_second(),
            "ath": encode(Digest::of(TOKEN.as_bytes()).as_bytes()),
        })
    }

    #[test]
    fn a_thumbprint_is_that_of_rfc_7638() {
        // RFC 8037, appendix A.3.
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "any"});
        let jwk: Jwk = serde_json::from_value(jwk).unwrap();
        assert_eq!(jwk.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_good_proof_is_accepted_once() {
        for maker in [Maker::p256(), Maker::ed25519()] {
            let (used, thumbprint) = (Used::default(), maker.thumbprint());
            let call = Call { method: "GET", url: URL, token: TOKEN, thumbprint: &thumbprint };
            let mut claims = claims();
            claims["htu"] = format!("{URL}?limit=1#x").into();
            let proof = maker.token(&maker.header().to_string(), &claims.to_string());
            // Of two at once, one is accepted.
            let now = Timestamp::now();
            let [first, second] = [(); 2].map(|()| check(&proof, &call, &used).expect("it is good"));
            assert_eq!(used.note(first, now), Ok(()));
            assert_eq!(used.note(second, now), Err(NotNoted::Used));
            assert!(check(&proof, &call, &used).err().unwrap().contains("used before"));
        }
    }

    #[test]
    fn as_many_proofs_as_there_is_room_for_are_remembered_until_none_is_good() {
        let (used, now) = (Used::default(), Timestamp::now());
        let proof = |n: usize| Unused(Digest::of(&n.to_le_bytes()));
        for n in 0..MOST {
            used.note(proof(n), now).unwrap();
        }
        assert_eq!(used.note(proof(MOST), now), Err(NotNoted::Full));
        assert_eq!(used.note(proof(0), now + FRESH + FRESH), Err(NotNoted::Used));
        let later = now + FRESH + FRESH + SWEPT + SWEPT;
        assert_eq!(used.note(proof(MOST), later), Ok(()));
        assert_eq!(used.noted().at.len(), 1);
    }

    #[test]
    fn every_other_proof_is_refused() {
        let maker = Maker::p256();
        let good = maker.header().to_string();
        assert_eq!(maker.try_it(&good, &claims().to_string()), Ok(()));
        let now = Timestamp::now().as_second();
        let claims_with = |name: &str, value: Value| {
            let mut claims = claims();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value;
            }
            claims.to_string()
        };
        let bad_claims = [
            ("htm", json!("POST")),
            ("htm", json!("get")),
            ("htm", Value::Null),
            ("htu", json!("https://remit.example/api/v1/runs/")),
            ("htu", json!("http://remit.example/api/v1/runs")),
            ("htu", json!("https://evil.example/api/v1/runs")),
            ("htu", Value::Null),
            ("ath", json!("")),
            ("ath", json!(encode(Digest::of(b"another").as_bytes()))),
            ("ath", Value::Null),
            ("iat", json!(now - 120)),
            ("iat", json!(now + 120)),
            ("iat", json!("now")),
            ("iat", Value::Null),
            ("iat", json!(i64::MAX)),
            ("jti", json!("")),
            ("jti", json!("a".repeat(257))),
            ("jti", Value::Null),
        ];
        for (name, value) in bad_claims {
            assert!(maker.try_it(&good, &claims_with(name, value.clone())).is_err(), "{name} {value}");
        }
        let twice = claims().to_string().replacen('{', "{\"htm\":\"GET\",", 1);
        assert!(maker.try_it(&good, &twice).is_err(), "a claim is there twice");
        let header_with = |name: &str, value: Value| {
            let mut header = maker.header();
            header[name] = value;
            header.to_string()
        };
        let mut private = maker.jwk.clone();
        private["d"] = "AAAA".into();
        let mut off = maker.jwk.clone();
        off["crv"] = "P-384".into();
        let bad_headers = [
            ("typ", json!("jwt")),
            ("typ", Value::Null),
            ("alg", json!("none")),
            ("alg", json!("HS256")),
            ("alg", json!("EdDSA")),
            ("alg", json!("es256")),
            ("jwk", private),
            ("jwk", off),
            ("jwk", Value::Null),
            ("jwk", Maker::p256().jwk),
            ("jwk", json!({"kty": "oct", "k": "AAAA"})),
            ("crit", json!(["x"])),
        ];
        for (name, value) in bad_headers {
            assert!(
                maker.try_it(&header_with(name, value.clone()), &claims().to_string()).is_err(),
                "{name} {value}"
            );
        }
        // Of somebody else's key, in every part true.
        let other = Maker::p256();
        let thumbprint = maker.thumbprint();
        let call = Call { method: "GET", url: URL, token: TOKEN, thumbprint: &thumbprint };
        let proof = other.token(&other.header().to_string(), &claims().to_string());
        assert!(check(&proof, &call, &Used::default()).err().unwrap().contains("another key"));
        for mangled in ["", ".", "..", "a.b", "a.b.c.d", "a.b.c", "\u{e9}.a.b"] {
            assert!(check(mangled, &call, &Used::default()).is_err(), "{mangled}");
        }
        assert!(check(&"a".repeat(100_000), &call, &Used::default()).is_err());
    }
}
