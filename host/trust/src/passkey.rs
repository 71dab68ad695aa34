//! Passkeys: keys that sign in a browser (<https://www.w3.org/TR/webauthn-3/>), with signatures in the form that `ssh-keygen -Y
//! verify` takes: "webauthn signatures" in `PROTOCOL.u2f` of OpenSSH.
//!
//! A browser signs what the authenticator says of the signing, and a JSON text that has a challenge and the origin of the page. Here
//! the challenge is all that an SSH key would have signed, so that the signature is over the document and for Remit. Everything that
//! the browser returned is in the signature: whoever has that and the public key checks it without Remit.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssh_key::public::{KeyData, SkEcdsaSha2NistP256};
use ssh_key::{HashAlg, PublicKey, SshSig};

use crate::ssh::{SSH_NAMESPACE, SshKey, string, string_of};
use crate::{Digest, KeyId, SignatureError, VerifyingKey};

/// The algorithm of a signature that a browser made with a key of the type `sk-ecdsa-sha2-nistp256@openssh.com`.
const ALGORITHM: &[u8] = b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
const MAGIC: &[u8] = b"SSHSIG";

// The flags of authenticator data: WebAuthn, section 6.1.
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const MAY_BE_COPIED: u8 = 0x08;
const IS_COPIED: u8 = 0x10;
const HAS_CREDENTIAL: u8 = 0x40;
const HAS_EXTENSIONS: u8 = 0x80;

/// Where passkeys sign: `[passkeys]` of `principals.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passkeys {
    /// The relying-party id: the domain that the keys are for.
    pub rp: String,
    /// The origins of the pages on which a signature may be made: `https://remit.example`.
    pub origins: BTreeSet<String>,
}

impl Passkeys {
    /// What is wrong with them; none if nothing is.
    pub(crate) fn wrong(&self) -> Option<String> {
        let shown = |text: &str| text.escape_debug().take(80).collect::<String>();
        if !is_domain(&self.rp) {
            return Some(format!(
                "[passkeys]: `{}` is no `rp`: write a domain in lower case, such as remit.example",
                shown(&self.rp)
            ));
        }
        if self.origins.is_empty() {
            return Some("[passkeys] needs `origins`: the pages on which passkeys may sign".to_owned());
        }
        self.origins.iter().find(|origin| !is_origin_of(origin, &self.rp)).map(|origin| {
            format!(
                "[passkeys]: `{}` is no origin of {}: write https://NAME[:PORT] with that domain or one below it (http:// for localhost only), and no slash at the end",
                shown(origin),
                self.rp
            )
        })
    }
}

pub(crate) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A browser takes no address in place of a domain.
    text.len() <= 253 && text.split('.').all(label) && !text.ends_with(|c: char| c.is_ascii_digit())
}

/// Whether a page of this origin may use keys of this domain: what browsers demand.
fn is_origin_of(origin: &str, rp: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == port);
    let secure =
        scheme == "https" || scheme == "http" && (host == "localhost" || host.ends_with(".localhost"));
    let below = host.strip_suffix(rp).is_some_and(|above| above.is_empty() || above.ends_with('.'));
    secure && is_domain(host) && below && port.is_none_or(is_port)
}

/// On which pages a passkey signs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pages {
    /// On those that browsers let use it. Only for somebody who has the public key and not the rules.
    #[default]
    OfItsDomain,
    /// On these.
    Named(Arc<BTreeSet<String>>),
}

/// What a browser returns of a signature (`AuthenticatorAssertionResponse`). Nothing is checked yet.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// What the authenticator says of the signing.
    pub authenticator_data: Vec<u8>,
    /// The text with challenge and origin.
    pub client_data: Vec<u8>,
    /// The signature over both, in ASN.1 DER.
    pub signature: Vec<u8>,
}

/// What the rules say of a passkey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) pages: Pages,
    /// Whether it never leaves its device.
    pub(crate) device_bound: bool,
}

/// A signature by a passkey that holds under the key that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyUse {
    /// The id of the key.
    pub key: KeyId,
    /// How often the key has signed, as it counts: 0 if it does not count.
    pub counter: u32,
    /// The digest of the signature.
    pub signature: Digest,
}

/// The challenge with which a browser signs a message: what an SSH key signs of it.
#[must_use]
pub fn passkey_challenge(message: &[u8]) -> Vec<u8> {
    // The namespace is never empty, so this never fails.
    SshSig::signed_data(SSH_NAMESPACE, HashAlg::Sha512, message).unwrap_or_default()
}

fn malformed(why: &str) -> SignatureError {
    SignatureError::Malformed(why.to_owned())
}

fn refused(why: impl Into<String>) -> SignatureError {
    SignatureError::Passkey(why.into())
}

/// What is signed with a passkey, in the parts that OpenSSH writes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts<'a> {
    /// The public key on the wire.
    public: &'a [u8],
    namespace: &'a [u8],
    reserved: &'a [u8],
    hash: &'a [u8],
    /// The two numbers of the signature, 32 bytes each.
    numbers: Vec<u8>,
    flags: u8,
    counter: u32,
    origin: &'a [u8],
    client_data: &'a [u8],
    extensions: &'a [u8],
}

/// An SSH number (RFC 4251, `mpint`) of at most 32 bytes.
fn number(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let sign: &[u8] = if bytes.get(start).is_some_and(|byte| *byte > 0x7f) { &[0] } else { &[] };
    string(&[sign, &bytes[start..]].concat())
}

impl<'a> Parts<'a> {
    /// Whether these are the bytes of such a signature, whole or not.
    fn is_one(signature: &[u8]) -> bool {
        let mut rest = signature.strip_prefix(MAGIC).and_then(|rest| rest.get(4..)).unwrap_or_default();
        let last = (0..5).map(|_| string_of(&mut rest)).last().flatten();
        last.and_then(|mut signature| string_of(&mut signature)) == Some(ALGORITHM)
    }

    /// Reads a signature. There is one spelling of each.
    fn read(signature: &'a [u8]) -> Result<Self, SignatureError> {
        let parts = Self::parse(signature).ok_or_else(|| malformed("not a whole signature by a passkey"))?;
        if parts.written() == signature {
            return Ok(parts);
        }
        Err(malformed("not in canonical form"))
    }

    fn parse(signature: &'a [u8]) -> Option<Self> {
        let mut rest = signature.strip_prefix(MAGIC)?;
        if rest.split_off(..4)? != SshSig::VERSION.to_be_bytes() {
            return None;
        }
        let [public, namespace, reserved, hash, inner] = [(); 5].map(|()| string_of(&mut rest));
        let mut inner = inner?;
        if !rest.is_empty() || string_of(&mut inner)? != ALGORITHM {
            return None;
        }
        let mut pair = string_of(&mut inner)?;
        let mut numbers = Vec::with_capacity(64);
        for _ in 0..2 {
            let number = string_of(&mut pair)?;
            let number = number.strip_prefix(&[0]).unwrap_or(number);
            numbers.resize(numbers.len() + 32_usize.checked_sub(number.len())?, 0);
            numbers.extend_from_slice(number);
        }
        let flags = *inner.split_off_first()?;
        let counter = inner.split_off(..4)?.try_into().ok()?;
        let [origin, client_data, extensions] = [(); 3].map(|()| string_of(&mut inner));
        (pair.is_empty() && inner.is_empty()).then_some(Self {
            public: public?,
            namespace: namespace?,
            reserved: reserved?,
            hash: hash?,
            numbers,
            flags,
            counter: u32::from_be_bytes(counter),
            origin: origin?,
            client_data: client_data?,
            extensions: extensions?,
        })
    }

    fn written(&self) -> Vec<u8> {
        let pair: Vec<u8> = self.numbers.chunks(32).flat_map(number).collect();
        let inner = [
            &string(ALGORITHM)[..],
            &string(&pair),
            &[self.flags],
            &self.counter.to_be_bytes(),
            &string(self.origin),
            &string(self.client_data),
            &string(self.extensions),
        ]
        .concat();
        [
            MAGIC,
            &SshSig::VERSION.to_be_bytes(),
            &string(self.public),
            &string(self.namespace),
            &string(self.reserved),
            &string(self.hash),
            &string(&inner),
        ]
        .concat()
    }

    /// Checks the signature over a message, by a key that signs on those pages.
    fn check(&self, key: &SkEcdsaSha2NistP256, terms: &Terms, message: &[u8]) -> Result<(), SignatureError> {
        if self.namespace != SSH_NAMESPACE.as_bytes() {
            let found = String::from_utf8_lossy(self.namespace).escape_debug().take(40).collect();
            return Err(SignatureError::Namespace { found });
        }
        if !self.reserved.is_empty() {
            return Err(malformed(
                "its reserved field is not empty, which this version of remit does not know",
            ));
        }
        // The authenticator signs its own data: the digest of the domain, flags, counter, extensions; and the digest of the text.
        let domain = Digest::of(key.application().as_bytes());
        let said = Digest::of(self.client_data);
        let counter = self.counter.to_be_bytes();
        let signed =
            [domain.as_bytes(), &[self.flags][..], &counter, self.extensions, said.as_bytes()].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.ec_point().as_bytes())
            .verify(&signed, &self.numbers)
            .map_err(|_| SignatureError::Untrusted)?;
        self.check_flags(terms.device_bound)?;
        self.check_client_data(message)?;
        let origin = std::str::from_utf8(self.origin).unwrap_or_default();
        let known = match &terms.pages {
            Pages::OfItsDomain => is_origin_of(origin, key.application()),
            Pages::Named(origins) => origins.contains(origin),
        };
        if known {
            return Ok(());
        }
        let shown: String = origin.escape_debug().take(80).collect();
        Err(refused(format!("it was made on a page of {shown}, where nobody signs for this home")))
    }

    fn check_flags(&self, device_bound: bool) -> Result<(), SignatureError> {
        let has = |flag| self.flags & flag != 0;
        if !has(PRESENT) {
            return Err(SignatureError::NobodyPresent);
        }
        if !has(VERIFIED) {
            return Err(refused(
                "the device did not check who used it: a PIN, a finger or a face is needed each time",
            ));
        }
        if has(HAS_CREDENTIAL) {
            return Err(refused("it is of the making of a key, and of no use of it"));
        }
        if has(HAS_EXTENSIONS) == self.extensions.is_empty() || has(IS_COPIED) && !has(MAY_BE_COPIED) {
            return Err(refused("what the device says of it contradicts itself"));
        }
        if device_bound && has(MAY_BE_COPIED) {
            return Err(refused(
                "principals.toml says that its key stays in one device, and the device says that it can be copied",
            ));
        }
        Ok(())
    }

    /// Checks what the browser signed: a text that begins in one way only, so that it need not be parsed to be compared
    /// (`WebAuthn`, section 5.8.1.1), and is read as well.
    fn check_client_data(&self, message: &[u8]) -> Result<(), SignatureError> {
        let hash = match self.hash {
            b"sha256" => HashAlg::Sha256,
            b"sha512" => HashAlg::Sha512,
            _ => return Err(malformed("its hash is neither sha256 nor sha512")),
        };
        let signed = SshSig::signed_data(SSH_NAMESPACE, hash, message)
            .map_err(|error| SignatureError::Malformed(error.to_string()))?;
        let challenge = URL_SAFE_NO_PAD.encode(signed);
        let text = std::str::from_utf8(self.client_data);
        let text = text.map_err(|_| refused("what the browser signed is no text"))?;
        let said: ClientData = remit_text::json::read(text)
            .map_err(|mistake| refused(format!("what the browser signed cannot be read: {mistake}")))?;
        if said.kind != "webauthn.get" {
            return Err(refused("it is no signature: the browser did something else with the key"));
        }
        if said.challenge != challenge {
            return Err(refused("it was made over something else"));
        }
        if said.origin.as_bytes() != self.origin {
            return Err(refused("it names another page than the one where it was made"));
        }
        if said.cross_origin || said.top_origin.is_some() {
            return Err(refused("it was made on a page inside a page of another site"));
        }
        let origin = &said.origin;
        let begins = format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{origin}""#);
        let rest = text.strip_prefix(&begins);
        if rest.is_some_and(|rest| rest.starts_with([',', '}'])) && !origin.contains(['"', '\\']) {
            return Ok(());
        }
        Err(refused("what the browser signed is not written as browsers write it"))
    }
}

/// What the browser signed. Browsers may add more members, so that programs do not compare the whole.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
    #[serde(default, rename = "topOrigin")]
    top_origin: Option<Value>,
}

/// Checks a signature by a passkey. What is no signature made in a browser is not accepted of it.
pub(crate) fn verify(
    key: &SkEcdsaSha2NistP256,
    wire: &[u8],
    terms: &Terms,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    if !Parts::is_one(signature) {
        return Err(SignatureError::Untrusted);
    }
    let parts = Parts::read(signature)?;
    if parts.public != wire {
        return Err(SignatureError::Untrusted);
    }
    parts.check(key, terms, message)
}

/// The key of a public key on the wire, and its id.
fn key_of(wire: &[u8]) -> Option<(SkEcdsaSha2NistP256, KeyId)> {
    let key = PublicKey::from_bytes(wire).ok()?.key_data().clone();
    let KeyData::SkEcdsaSha2NistP256(of) = key.clone() else { return None };
    let key = SshKey::of(key, b"").ok().filter(|key| key.wire() == wire && key.passkey().is_some())?;
    Some((of, VerifyingKey::of_ssh(key).id()))
}

/// The id of the passkey that a signature says it is by. Nothing is checked.
pub(crate) fn claimed(signature: &[u8]) -> Option<KeyId> {
    if !Parts::is_one(signature) {
        return None;
    }
    let mut rest = signature.get(MAGIC.len() + 4..)?;
    Some(key_of(string_of(&mut rest)?)?.1)
}

/// The use of a passkey that a signature over a message proves, by the public key that is in it; none for any other signature.
pub(crate) fn used(message: &[u8], signature: &[u8]) -> Option<PasskeyUse> {
    let parts = Parts::read(signature).ok()?;
    let (of, key) = key_of(parts.public)?;
    parts.check(&of, &Terms::default(), message).ok()?;
    Some(PasskeyUse { key, counter: parts.counter, signature: Digest::of(signature) })
}

/// The signature in SSH's form that a browser's answer is, by this key. Not checked yet.
pub(crate) fn envelop(
    key: &SkEcdsaSha2NistP256,
    wire: &[u8],
    assertion: &Assertion,
) -> Result<Vec<u8>, SignatureError> {
    let cut = || malformed("the browser's answer is cut short");
    let mut data = &assertion.authenticator_data[..];
    let domain = data.split_off(..32).ok_or_else(cut)?;
    if domain != Digest::of(key.application().as_bytes()).as_bytes() {
        return Err(refused(format!("it was made for another domain than {}", key.application())));
    }
    let flags = *data.split_off_first().ok_or_else(cut)?;
    let counter = data.split_off(..4).and_then(|counter| counter.try_into().ok()).ok_or_else(cut)?;
    let said: ClientData = std::str::from_utf8(&assertion.client_data)
        .ok()
        .and_then(|text| remit_text::json::read(text).ok())
        .ok_or_else(|| refused("what the browser signed cannot be read"))?;
    let numbers = from_der(&assertion.signature).ok_or_else(|| malformed("not an ECDSA signature in DER"))?;
    let parts = Parts {
        public: wire,
        namespace: SSH_NAMESPACE.as_bytes(),
        reserved: b"",
        hash: b"sha512",
        numbers,
        flags,
        counter: u32::from_be_bytes(counter),
        origin: said.origin.as_bytes(),
        client_data: &assertion.client_data,
        extensions: data,
    };
    Ok(parts.written())
}

/// The two numbers of an ECDSA signature, 32 bytes each: `SEQUENCE { INTEGER, INTEGER }` in DER, with short lengths.
fn from_der(der: &[u8]) -> Option<Vec<u8>> {
    let [0x30, length, rest @ ..] = der else { return None };
    let mut rest = (usize::from(*length) == rest.len()).then_some(rest)?;
    let mut numbers = Vec::with_capacity(64);
    for _ in 0..2 {
        let [0x02, length, after @ ..] = rest else { return None };
        let (number, after) = after.split_at_checked(usize::from(*length))?;
        rest = after;
        let positive = match number {
            [0, first, ..] if *first > 0x7f => &number[1..],
            [first, ..] if (1..=0x7f).contains(first) => number,
            _ => return None,
        };
        numbers.resize(numbers.len() + 32_usize.checked_sub(positive.len())?, 0);
        numbers.extend_from_slice(positive);
    }
    rest.is_empty().then_some(numbers)
}

/// The public key in OpenSSH's form of a passkey for this domain, of its uncompressed point; none if that is none.
pub(crate) fn of_point(point: &[u8], rp: &str) -> Option<SshKey> {
    let wire = [&b"sk-ecdsa-sha2-nistp256@openssh.com"[..], b"nistp256", point, rp.as_bytes()];
    let wire: Vec<u8> = wire.iter().flat_map(|part| string(part)).collect();
    let key = PublicKey::from_bytes(&wire).ok()?;
    is_domain(rp).then(|| SshKey::of(key.key_data().clone(), b"").ok())?
}
