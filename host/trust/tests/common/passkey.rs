//! An authenticator and a browser in software, for tests: they sign as `WebAuthn` says, or not quite.

#![allow(dead_code, clippy::unwrap_used, reason = "tests; not each file uses all of it")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use remit_trust::{Assertion, VerifyingKey, passkey_challenge};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

pub const RP: &str = "remit.example";
pub const ORIGIN: &str = "https://remit.example";

pub const PRESENT_AND_VERIFIED: u8 = 0x05;

/// A passkey for [`RP`].
pub struct Passkey {
    pair: EcdsaKeyPair,
    counter: u32,
}

/// What is signed, each part of which can be wrong.
#[derive(Clone, Debug)]
pub struct Said {
    pub rp: String,
    pub kind: String,
    pub challenge: Vec<u8>,
    pub origin: String,
    /// What comes behind the origin.
    pub rest: String,
    pub flags: u8,
    pub counter: u32,
    pub extensions: Vec<u8>,
    /// The whole text, in place of that of the parts above.
    pub text: Option<String>,
}

impl Passkey {
    pub fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self { pair: EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).unwrap(), counter: 0 }
    }

    /// The public key in SPKI, as `getPublicKey()` returns it.
    pub fn spki(&self) -> Vec<u8> {
        let prefix = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        [&prefix, self.pair.public_key().as_ref()].concat()
    }

    pub fn key(&self) -> VerifyingKey {
        VerifyingKey::of_passkey(&self.spki(), RP, "dana (passkey)").unwrap()
    }

    /// Signs a message, in which `change` makes something else of what is signed.
    pub fn answer(&mut self, message: &[u8], change: impl FnOnce(&mut Said)) -> Assertion {
        self.counter += 1;
        let mut said = Said {
            rp: RP.to_owned(),
            kind: "webauthn.get".to_owned(),
            challenge: passkey_challenge(message),
            origin: ORIGIN.to_owned(),
            rest: r#","crossOrigin":false}"#.to_owned(),
            flags: PRESENT_AND_VERIFIED,
            counter: self.counter,
            extensions: Vec::new(),
            text: None,
        };
        change(&mut said);
        let text = said.text.clone().unwrap_or_else(|| {
            let challenge = URL_SAFE_NO_PAD.encode(&said.challenge);
            format!(
                r#"{{"type":"{}","challenge":"{challenge}","origin":"{}"{}"#,
                said.kind, said.origin, said.rest
            )
        });
        let authenticator_data = [
            digest(&SHA256, said.rp.as_bytes()).as_ref(),
            &[said.flags],
            &said.counter.to_be_bytes(),
            &said.extensions,
        ]
        .concat();
        let signed = [&authenticator_data[..], digest(&SHA256, text.as_bytes()).as_ref()].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec();
        Assertion { authenticator_data, client_data: text.into_bytes(), signature }
    }

    /// A right signature over a message, in the form of `ssh-keygen -Y sign`.
    pub fn sign(&mut self, message: &[u8]) -> Vec<u8> {
        let answer = self.answer(message, |_| {});
        self.key().envelop(&answer).unwrap()
    }
}
