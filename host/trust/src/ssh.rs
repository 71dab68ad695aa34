//! OpenSSH's keys and signatures: <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig>, and for
//! keys in hardware `PROTOCOL.u2f` beside it.

use std::env;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use ssh_encoding::{Decode as _, Encode as _};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, Mpint, PublicKey, Signature, SshSig};

use crate::{Digest, KeyError, SignatureError};

/// What signatures by SSH keys are for, in the words of `ssh-keygen -Y sign -n`: one made for anything else does
/// not count here.
pub const SSH_NAMESPACE: &str = "remit";

/// A public key as OpenSSH writes it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SshKey {
    key: KeyData,
    wire: Vec<u8>,
    comment: String,
}

/// The key itself, where it is not in hardware.
pub(crate) enum Point<'a> {
    P256(&'a [u8]),
    Ed25519(&'a [u8]),
}

fn unusable(shown: &str, why: impl Into<String>) -> KeyError {
    KeyError::Unusable { shown: shown.to_owned(), why: why.into() }
}

impl SshKey {
    pub(crate) fn from_line(text: &str, shown: &str) -> Result<Self, KeyError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(unusable(shown, "neither PEM nor one line of an OpenSSH public key"));
        };
        let key = PublicKey::from_openssh(line)
            .map_err(|error| unusable(shown, format!("neither PEM nor an OpenSSH public key ({error})")))?;
        Self::of(key.key_data().clone(), key.comment(), shown)
    }

    pub(crate) fn of(key: KeyData, comment: &str, shown: &str) -> Result<Self, KeyError> {
        match key.algorithm() {
            Algorithm::Ed25519
            | Algorithm::SkEd25519
            | Algorithm::SkEcdsaSha2NistP256
            | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 } => {}
            other => {
                return Err(unusable(
                    shown,
                    format!(
                        "an SSH key of type {other}; use ed25519 or ecdsa-sha2-nistp256, in hardware too"
                    ),
                ));
            }
        }
        let mut wire = Vec::new();
        key.encode(&mut wire).map_err(|error| unusable(shown, error.to_string()))?;
        Ok(Self { key, wire, comment: comment.to_owned() })
    }

    /// As it goes over the wire.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    pub(crate) fn to_line(&self) -> String {
        // It was read from such a line, or from a key file: both can be written.
        PublicKey::new(self.key.clone(), self.comment.clone()).to_openssh().unwrap_or_default() + "\n"
    }

    pub(crate) fn point(&self) -> Option<Point<'_>> {
        match &self.key {
            KeyData::Ed25519(key) => Some(Point::Ed25519(&key.0)),
            KeyData::Ecdsa(key) => Some(Point::P256(key.as_sec1_bytes())),
            _ => None,
        }
    }

    /// Checks a signature in the form of `ssh-keygen -Y sign`, not armoured.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let malformed = |error: &dyn std::fmt::Display| SignatureError::Malformed(error.to_string());
        let mut rest = signature;
        let sig = SshSig::decode(&mut rest).map_err(|error| malformed(&error))?;
        if sig.namespace() != SSH_NAMESPACE {
            return Err(SignatureError::Namespace {
                found: sig.namespace().escape_debug().take(40).collect(),
            });
        }
        if *sig.public_key() != self.key || sig.signature().algorithm() != self.key.algorithm() {
            return Err(SignatureError::Untrusted);
        }
        // The decoder is lenient about lengths: only the one way to write it is taken.
        if !rest.is_empty() || self.written(&sig) != signature {
            return Err(malformed(&"not in its one form"));
        }
        if !sig.reserved().is_empty() {
            return Err(malformed(&"it holds something that this version does not know"));
        }
        let signed =
            SshSig::signed_data(SSH_NAMESPACE, sig.hash_alg(), message).map_err(|e| malformed(&e))?;
        let check = |algorithm: &'static dyn VerificationAlgorithm, point: &[u8], text: &[u8], is: &[u8]| {
            UnparsedPublicKey::new(algorithm, point).verify(text, is).map_err(|_| SignatureError::Untrusted)
        };
        let is = sig.signature().as_bytes();
        match &self.key {
            KeyData::Ed25519(key) => check(&ED25519, &key.0, &signed, is),
            KeyData::Ecdsa(key) => check(&ECDSA_P256_SHA256_FIXED, key.as_sec1_bytes(), &signed, &fixed(is)?),
            KeyData::SkEd25519(key) => {
                let (is, text) = in_hardware(key.application(), &signed, is)?;
                check(&ED25519, &key.public_key().0, &text, is)
            }
            KeyData::SkEcdsaSha2NistP256(key) => {
                let (is, text) = in_hardware(key.application(), &signed, is)?;
                check(&ECDSA_P256_SHA256_FIXED, key.ec_point().as_bytes(), &text, &fixed(is)?)
            }
            _ => Err(SignatureError::Untrusted),
        }
    }

    /// How a signature by this key is written.
    fn written(&self, sig: &SshSig) -> Vec<u8> {
        let algorithm = sig.signature().algorithm();
        let data = sig.signature().as_bytes();
        // A key in hardware says behind its signature whether a person was there, and counts.
        let behind =
            if matches!(algorithm, Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) { 5 } else { 0 };
        let (data, behind) = data.split_at(data.len().saturating_sub(behind));
        let signature = [&string(algorithm.as_str().as_bytes()), &string(data), behind].concat();
        [
            &b"SSHSIG"[..],
            &SshSig::VERSION.to_be_bytes(),
            &string(&self.wire),
            &string(sig.namespace().as_bytes()),
            &string(sig.reserved()),
            &string(sig.hash_alg().as_str().as_bytes()),
            &string(&signature),
        ]
        .concat()
    }

    /// Asks the agent that holds the private half.
    pub(crate) fn sign_by_agent(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |why: String| KeyError::Agent { why };
        let socket = env::var_os("SSH_AUTH_SOCK")
            .ok_or_else(|| failed("there is none (SSH_AUTH_SOCK is not set)".to_owned()))?;
        let signed = SshSig::signed_data(SSH_NAMESPACE, HashAlg::Sha512, message)
            .map_err(|error| failed(error.to_string()))?;
        let answer = ask(&socket, &[&SIGN[..], &string(&self.wire), &string(&signed), &[0; 4]].concat())
            .map_err(|error| failed(format!("{}: {error}", socket.to_string_lossy())))?;
        let Some((&SIGNED, mut answer)) = answer.split_first() else {
            return Err(failed("it does not hold this key, or was told not to sign".to_owned()));
        };
        let signature = answer_of(&mut answer)
            .and_then(|blob| Signature::try_from(blob).ok())
            .ok_or_else(|| failed("its answer is no signature".to_owned()))?;
        self.envelop(signature).map_err(|error| failed(error.to_string()))
    }

    /// A bare signature over [`SshSig::signed_data`], in the form that travels.
    pub(crate) fn envelop(&self, signature: Signature) -> ssh_key::Result<Vec<u8>> {
        let sig = SshSig::new(self.key.clone(), SSH_NAMESPACE, HashAlg::Sha512, signature)?;
        Ok(self.written(&sig))
    }
}

/// SSH writes the two numbers of an ECDSA signature without leading zeros; the arithmetic wants 32 bytes each.
fn fixed(mut signature: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let malformed = || SignatureError::Malformed("not an ECDSA signature".to_owned());
    let mut out = Vec::with_capacity(64);
    for _ in 0..2 {
        let number = Mpint::decode(&mut signature).map_err(|_| malformed())?;
        let bytes = number.as_positive_bytes().filter(|bytes| bytes.len() <= 32).ok_or_else(malformed)?;
        out.resize(out.len() + 32 - bytes.len(), 0);
        out.extend_from_slice(bytes);
    }
    Ok(out)
}

/// What hardware signs: the application, whether a person touched it, a counter, and the digest of the text.
fn in_hardware<'a>(
    application: &str,
    signed: &[u8],
    signature: &'a [u8],
) -> Result<(&'a [u8], Vec<u8>), SignatureError> {
    let malformed = || SignatureError::Malformed("not a signature by hardware".to_owned());
    let (signature, trailer) =
        signature.split_at_checked(signature.len().saturating_sub(5)).ok_or_else(malformed)?;
    let present = trailer.first().ok_or_else(malformed)? & 1 == 1;
    if !present {
        return Err(SignatureError::NobodyPresent);
    }
    let application = Digest::of(application.as_bytes());
    let text = [application.as_bytes(), trailer, &Digest::of(signed).as_bytes()[..]].concat();
    Ok((signature, text))
}

/// The label of a signature in `ssh-keygen`'s armour.
const ARMOUR: &str = "SSH SIGNATURE";

/// An armoured signature, as `ssh-keygen -Y sign` writes it, made bare.
pub(crate) fn unarmoured(text: &str) -> Result<Vec<u8>, SignatureError> {
    let malformed = |why: String| SignatureError::Malformed(why);
    let block = pem::parse(text).map_err(|error| malformed(error.to_string()))?;
    if block.tag() == ARMOUR {
        Ok(block.into_contents())
    } else {
        Err(malformed("no SSH signature".to_owned()))
    }
}

/// The other way, for `ssh-keygen -Y verify`; none for a signature that is not by an SSH key.
pub(crate) fn armoured(signature: &[u8]) -> Option<String> {
    let block = || pem::Pem::new(ARMOUR, signature);
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    signature.starts_with(b"SSHSIG").then(|| pem::encode_config(&block(), config))
}

/// `SSH_AGENTC_SIGN_REQUEST` and its answer (<https://datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent/>).
const SIGN: [u8; 1] = [13];
const SIGNED: u8 = 14;
/// No answer of an agent is longer.
const LONGEST: u32 = 256 * 1024;
/// A person may have to look for the key and touch it.
const PATIENCE: Duration = Duration::from_secs(120);

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

fn answer_of<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (string, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(string)
}

fn ask(socket: &std::ffi::OsStr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut agent = UnixStream::connect(socket)?;
    agent.set_read_timeout(Some(PATIENCE))?;
    agent.write_all(&string(request))?;
    let mut length = [0; 4];
    agent.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(std::io::Error::other("its answer is too long"));
    }
    let mut answer = vec![0; length as usize];
    agent.read_exact(&mut answer)?;
    Ok(answer)
}
