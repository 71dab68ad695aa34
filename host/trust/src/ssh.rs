//! OpenSSH keys and signatures: <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig>, and `PROTOCOL.u2f`
//! in the same folder for hardware keys.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_text::env;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use ssh_encoding::{Decode as _, Encode as _};
use ssh_key::private::KeypairData;
use ssh_key::public::{KeyData, SkEcdsaSha2NistP256};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, Mpint, PublicKey, Signature, SshSig};

use crate::passkey::{self, Assertion, Terms};
use crate::{Digest, KeyError, SignatureError};

/// The namespace of SSH signatures (`ssh-keygen -Y sign -n`). Signatures for another namespace are refused.
pub const SSH_NAMESPACE: &str = "remit";

/// A public key in OpenSSH's format.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SshKey {
    key: KeyData,
    wire: Vec<u8>,
    comment: String,
    /// Of a passkey, how it must sign.
    terms: Terms,
}

/// The point of a public key that is not in hardware.
pub(crate) enum Point<'a> {
    P256(&'a [u8]),
    Ed25519(&'a [u8]),
}

impl SshKey {
    /// Reads `TYPE BASE64 COMMENT`. The comment has no meaning and may be in any encoding.
    pub(crate) fn from_line(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err("neither PEM nor one line of an OpenSSH public key".to_owned());
        };
        let mut words = line.splitn(3, u8::is_ascii_whitespace);
        let (kind, text) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let none = || "neither PEM nor an OpenSSH public key (type, base64, comment)".to_owned();
        let wire = STANDARD.decode(text).map_err(|_| none())?;
        let key = PublicKey::from_bytes(&wire).map_err(|_| none())?;
        if key.algorithm().as_str().as_bytes() != kind {
            return Err(none());
        }
        Self::of(key.key_data().clone(), words.next().unwrap_or_default())
    }

    pub(crate) fn of(key: KeyData, comment: &[u8]) -> Result<Self, String> {
        match key.algorithm() {
            Algorithm::Ed25519
            | Algorithm::SkEd25519
            | Algorithm::SkEcdsaSha2NistP256
            | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 } => {}
            other => {
                return Err(format!(
                    "an SSH key of type {other}; use ed25519 or ecdsa-sha2-nistp256, in hardware too"
                ));
            }
        }
        let mut wire = Vec::new();
        key.encode(&mut wire).map_err(|error| error.to_string())?;
        let comment = std::str::from_utf8(comment.trim_ascii()).unwrap_or_default();
        let comment = comment.replace(char::is_control, " ");
        Ok(Self { key, wire, comment, terms: Terms::default() })
    }

    /// The passkey that this is: a key for a domain. Those for SSH are for an application such as `ssh:`.
    pub(crate) fn passkey(&self) -> Option<&SkEcdsaSha2NistP256> {
        match &self.key {
            KeyData::SkEcdsaSha2NistP256(key) if passkey::is_domain(key.application()) => Some(key),
            _ => None,
        }
    }

    /// The same, which as a passkey must sign like that.
    pub(crate) fn under(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    pub(crate) fn named(mut self, comment: &str) -> Self {
        self.comment = comment.replace(char::is_control, " ");
        self
    }

    /// The signature that a browser's answer is.
    pub(crate) fn envelop_assertion(&self, assertion: &Assertion) -> Result<Vec<u8>, SignatureError> {
        let key = self.passkey().ok_or(SignatureError::Untrusted)?;
        passkey::envelop(key, &self.wire, assertion)
    }

    /// The key in SSH's binary encoding.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    pub(crate) fn to_line(&self) -> String {
        // The key was read from a line or a key file, so it can be written.
        PublicKey::new(self.key.clone(), self.comment.clone()).to_openssh().unwrap_or_default() + "\n"
    }

    pub(crate) fn point(&self) -> Option<Point<'_>> {
        match &self.key {
            KeyData::Ed25519(key) => Some(Point::Ed25519(&key.0)),
            KeyData::Ecdsa(key) => Some(Point::P256(key.as_sec1_bytes())),
            _ => None,
        }
    }

    /// Checks a signature in the binary format of `ssh-keygen -Y sign`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        if let Some(key) = self.passkey() {
            return passkey::verify(key, &self.wire, &self.terms, message, signature);
        }
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
        // The decoder accepts several encodings of lengths. Only the canonical one is accepted here.
        if !rest.is_empty() || self.written(&sig) != signature {
            return Err(malformed(&"not in canonical form"));
        }
        if !sig.reserved().is_empty() {
            return Err(malformed(
                &"its reserved field is not empty, which this version of remit does not know",
            ));
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

    /// The canonical encoding of a signature by this key.
    fn written(&self, sig: &SshSig) -> Vec<u8> {
        let algorithm = sig.signature().algorithm();
        let data = sig.signature().as_bytes();
        // A hardware key appends a flag for the touch and a counter.
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

    /// Has the ssh-agent sign, which has the private half.
    pub(crate) fn sign_by_agent(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let variable = "SSH_AUTH_SOCK";
        let socket = env::var(variable).ok_or_else(|| KeyError::Agent {
            why: format!("there is none ({})", env::why_none(variable)),
            help: START,
        })?;
        let broken = |why: String| KeyError::Agent { why, help: BROKEN };
        let signed = SshSig::signed_data(SSH_NAMESPACE, HashAlg::Sha512, message)
            .map_err(|error| broken(error.to_string()))?;
        let request = [&SIGN[..], &string(&self.wire), &string(&signed), &[0; 4]].concat();
        let answer = ask(socket, request, PATIENCE)?;
        let Some((&SIGNED, mut answer)) = answer.split_first() else {
            return Err(KeyError::Agent {
                why: "it does not have this key, is locked, or the person refused".to_owned(),
                help: HOLDS,
            });
        };
        let signature = string_of(&mut answer)
            .and_then(|blob| Signature::try_from(blob).ok())
            .ok_or_else(|| broken("its answer is not a signature".to_owned()))?;
        self.envelop(signature).map_err(|error| broken(error.to_string()))
    }

    /// Wraps a bare signature over [`SshSig::signed_data`] into the format of `ssh-keygen -Y sign`.
    pub(crate) fn envelop(&self, signature: Signature) -> ssh_key::Result<Vec<u8>> {
        let sig = SshSig::new(self.key.clone(), SSH_NAMESPACE, HashAlg::Sha512, signature)?;
        Ok(self.written(&sig))
    }
}

/// Converts an ECDSA signature: SSH writes its two numbers without leading zeros, ring expects 32 bytes each.
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

/// The signature and the bytes that a hardware key signs: the digest of the application, the flag for the touch, a counter,
/// and the digest of the text.
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

/// The keys in an OpenSSH private key; none if it is encrypted. Its comment may be in any encoding.
pub(crate) fn private_key(bytes: &[u8]) -> Result<Option<(KeypairData, SshKey)>, String> {
    let damaged = || "a damaged OpenSSH private key".to_owned();
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0").ok_or_else(damaged)?;
    let [cipher, _kdf, _options] = [(); 3].map(|()| string_of(&mut rest));
    if cipher.ok_or_else(damaged)? != b"none" {
        return Ok(None);
    }
    let one = rest.split_off(..4).ok_or_else(damaged)?;
    let (public, private) = (string_of(&mut rest), string_of(&mut rest));
    let (Some(public), Some(mut private), [0, 0, 0, 1], []) = (public, private, one, rest) else {
        return Err(damaged());
    };
    // The same random number twice, which shows after decryption that the passphrase was right. Not needed here.
    let _check = private.split_off(..8).ok_or_else(damaged)?;
    let pair = KeypairData::decode(&mut private).map_err(|error| format!("{} ({error})", damaged()))?;
    let key = KeyData::try_from(&pair).map_err(|error| error.to_string())?;
    let key = SshKey::of(key, string_of(&mut private).unwrap_or_default())?;
    if key.wire != public {
        return Err(damaged());
    }
    Ok(Some((pair, key)))
}

/// `SSH_AGENTC_SIGN_REQUEST` and its answer (<https://datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent/>).
const SIGN: [u8; 1] = [13];
const SIGNED: u8 = 14;
/// The maximum length of an agent's answer in bytes.
const LONGEST: u32 = 256 * 1024;
/// How long to wait for the agent: a person may have to find the hardware key and touch it.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// Reads an SSH string from the beginning of `rest`.
pub(crate) fn string_of<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (string, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(string)
}

const START: &str = "start one (`eval $(ssh-agent)`) and give it the key (`ssh-add KEY`)";
const HOLDS: &str = "`ssh-add -l` lists what it holds, `ssh-add KEY` gives it a key, `ssh-add -X` unlocks it";
const BROKEN: &str =
    "see whether `ssh-add -l` answers; another agent is started by `eval $(ssh-agent)`, then `ssh-add KEY`";

/// After this time, a person is told that the agent has not answered yet.
const SOON: Duration = Duration::from_secs(1);

static WAITING: OnceLock<fn()> = OnceLock::new();

/// Sets the function that tells a person that an ssh-agent has not answered yet. It may wait for a touch or a confirmation.
pub fn when_an_agent_waits(tell: fn()) {
    let _ = WAITING.set(tell);
}

/// Sends a request to an agent and waits for the answer. The time limit is for the whole answer, even if the agent sends it
/// byte by byte.
fn ask(socket: OsString, request: Vec<u8>, patience: Duration) -> Result<Vec<u8>, KeyError> {
    let shown = socket.to_string_lossy().into_owned();
    let (answer, answers) = mpsc::channel();
    // After the time limit, nobody waits for this thread.
    thread::spawn(move || answer.send(converse(&socket, &request)));
    let soon = SOON.min(patience);
    let answer = answers.recv_timeout(soon).or_else(|_| {
        if let Some(tell) = WAITING.get() {
            tell();
        }
        answers.recv_timeout(patience.saturating_sub(soon))
    });
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err((why, help))) => Err(KeyError::Agent { why: format!("{shown}: {why}"), help }),
        Err(_) => Err(KeyError::Agent {
            why: format!("{shown}: no answer within {} seconds", patience.as_secs()),
            help: BROKEN,
        }),
    }
}

type Failed = (String, &'static str);

fn converse(socket: &OsStr, request: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut agent =
        UnixStream::connect(socket).map_err(|error| (format!("nothing listens there ({error})"), START))?;
    let broken = |error: std::io::Error| (format!("it broke off ({error})"), BROKEN);
    agent.write_all(&string(request)).map_err(broken)?;
    let mut length = [0; 4];
    agent.read_exact(&mut length).map_err(broken)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(("its answer is too long".to_owned(), BROKEN));
    }
    let mut answer = vec![0; length as usize];
    agent.read_exact(&mut answer).map_err(broken)?;
    Ok(answer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    /// What is said of an agent that does `act` with whoever calls.
    fn told(patience: Duration, act: fn(UnixStream)) -> (String, Duration) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let agent = UnixListener::bind(&path).unwrap();
        thread::spawn(move || act(agent.accept().unwrap().0));
        let began = Instant::now();
        let answer = ask(path.into_os_string(), vec![1], patience);
        (answer.map_or_else(|error| error.to_string(), |bytes| format!("{bytes:?}")), began.elapsed())
    }

    #[test]
    fn an_agent_is_not_waited_for_for_ever() {
        static TOLD: AtomicUsize = AtomicUsize::new(0);
        let patience = Duration::from_millis(600);
        let silent: fn(UnixStream) = |_agent| thread::sleep(Duration::from_secs(3_600));
        // A byte now and then is no answer either.
        let slow: fn(UnixStream) = |mut agent| {
            agent.write_all(&[0, 0, 1, 0]).unwrap();
            while agent.write_all(&[0]).is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        };
        when_an_agent_waits(|| {
            TOLD.fetch_add(1, Ordering::Relaxed);
        });
        for act in [silent, slow] {
            let (told, took) = told(patience, act);
            assert!(told.contains("no answer within"), "{told}");
            assert!((patience..patience * 10).contains(&took), "{took:?}");
        }
        assert!(TOLD.load(Ordering::Relaxed) >= 2);
    }

    #[test]
    fn what_an_agent_says_is_its_answer_however_it_comes() {
        let long = Duration::from_secs(60);
        let slow = |mut agent: UnixStream| {
            for byte in [0, 0, 0, 3, 7, 8, 9, 99] {
                agent.write_all(&[byte]).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        };
        assert_eq!(told(long, slow).0, "[7, 8, 9]");
        let huge = |mut agent: UnixStream| {
            agent.write_all(&(LONGEST + 1).to_be_bytes()).unwrap();
            thread::sleep(Duration::from_secs(3_600));
        };
        assert!(told(long, huge).0.ends_with("its answer is too long"));
        let most = |mut agent: UnixStream| {
            agent.write_all(&LONGEST.to_be_bytes()).unwrap();
            agent.write_all(&vec![7; LONGEST as usize]).unwrap();
        };
        assert_eq!(told(long, most).0, format!("{:?}", vec![7; 262_144]));
        let dies = |mut agent: UnixStream| agent.write_all(&[0, 0]).unwrap();
        assert!(told(long, dies).0.contains("it broke off ("));
        let nobody = ask("/nowhere/agent".into(), vec![1], long).unwrap_err().to_string();
        assert!(nobody.contains("/nowhere/agent: nothing listens there"), "{nobody}");
    }
}
