//! OpenSSH's keys and signatures, made and checked by a stock `ssh-keygen`; those of keys in hardware made here as
//! `PROTOCOL.u2f` says, and checked by it too.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use remit_trust::dsse::{Envelope, pae};
use remit_trust::{KeyError, SSH_NAMESPACE, Sign as _, SignatureError, Signer, SigningKey, VerifyingKey};
use ring::digest::{SHA256, SHA512, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use serde_json::json;

const KIND: &str = "application/vnd.remit.approval+json";
const BODY: &[u8] = br#"{"request":"sha256:00"}"#;

fn run(folder: &Path, program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn done(folder: &Path, program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let output = run(folder, program, arguments, input);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Whether `ssh-keygen -Y verify` takes that armoured signature by that key over that text.
fn ssh_keygen_accepts(key: &VerifyingKey, namespace: &str, armoured: &str, text: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("allowed"), format!("dana {}", key.to_text())).unwrap();
    fs::write(at.join("sig"), armoured).unwrap();
    let arguments = ["-Y", "verify", "-f", "allowed", "-I", "dana", "-n", namespace, "-s", "sig"];
    run(at, "ssh-keygen", &arguments, text).status.success()
}

/// A key pair made by ssh-keygen, at `FOLDER/NAME` and `FOLDER/NAME.pub`.
fn ssh_keygen(folder: &Path, name: &str, kind: &[&str]) -> (Signer, VerifyingKey) {
    let arguments = [&["-q", "-N", "", "-C", "dana@desk", "-f", name, "-t"], kind].concat();
    done(folder, "ssh-keygen", &arguments, b"");
    let public = VerifyingKey::load(&folder.join(format!("{name}.pub"))).unwrap();
    (Signer::load(&folder.join(name)).unwrap(), public)
}

const KINDS: [&[&str]; 2] = [&["ed25519"], &["ecdsa", "-b", "256"]];

fn one(key: &VerifyingKey) -> &[VerifyingKey] {
    std::slice::from_ref(key)
}

#[test]
fn ours_is_accepted_by_ssh_keygen() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kind) in ["ed", "ec"].into_iter().zip(KINDS) {
        let (signer, public) = ssh_keygen(folder.path(), name, kind);
        assert!(!public.to_text().contains("BEGIN"));
        assert_eq!(signer.verifying_key().id(), public.id());
        // The numbers of an ECDSA signature are at times a byte shorter: often enough to meet that.
        for turn in 0..if kind.len() > 1 { 300 } else { 1 } {
            let body = format!("{turn}");
            let envelope = Envelope::sign(KIND, body.as_bytes(), &signer).unwrap();
            assert_eq!(
                envelope.verify(KIND, one(&public)).unwrap().signers,
                [public.id()],
                "{kind:?} {turn}"
            );
            if turn > 2 {
                continue;
            }
            let (signed, armoured) = envelope.for_ssh_keygen().unwrap();
            assert_eq!(signed, pae(KIND, body.as_bytes()));
            assert_eq!(armoured.len(), 1);
            assert!(ssh_keygen_accepts(&public, SSH_NAMESPACE, &armoured[0], &signed), "{kind:?}");
            assert!(!ssh_keygen_accepts(&public, SSH_NAMESPACE, &armoured[0], b"another"), "{kind:?}");
            assert!(!ssh_keygen_accepts(&public, "file", &armoured[0], &signed), "{kind:?}");
        }
    }
}

/// The environment of a process says which agent there is. So this is played by this test once more, as a process that a stock
/// `ssh-agent` starts, which ends with it.
#[test]
fn what_an_agent_signs_is_as_good() {
    const WITHIN: &str = "REMIT_TEST_IS_WITHIN_AN_AGENT";
    let folder = tempfile::tempdir().unwrap();
    if std::env::var_os(WITHIN).is_none() {
        let again = std::env::current_exe().unwrap();
        let again = [again.to_str().unwrap(), "--exact", "ssh::what_an_agent_signs_is_as_good"];
        let output = Command::new("ssh-agent").args(again).env(WITHIN, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    for (name, kind) in ["ed", "ec"].into_iter().zip(KINDS) {
        let (_, public) = ssh_keygen(folder.path(), name, kind);
        let signer = Signer::load(&folder.path().join(format!("{name}.pub"))).unwrap();
        let why = signer.sign(BODY).unwrap_err().to_string();
        assert!(why.contains("does not have this key"), "{why}");
        done(folder.path(), "ssh-add", &["-q", name], b"");
        let envelope = Envelope::sign(KIND, BODY, &signer).unwrap();
        assert_eq!(envelope.verify(KIND, one(&public)).unwrap().signers, [public.id()], "{kind:?}");
        let (signed, armoured) = envelope.for_ssh_keygen().unwrap();
        assert!(ssh_keygen_accepts(&public, SSH_NAMESPACE, &armoured[0], &signed), "{kind:?}");
    }
}

fn theirs(folder: &Path, key: &str, namespace: &str, text: &[u8]) -> Vec<u8> {
    done(folder, "ssh-keygen", &["-q", "-Y", "sign", "-f", key, "-n", namespace], text)
}

#[test]
fn ssh_keygen_s_is_accepted_by_us() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, kind) in ["ed", "ec"].into_iter().zip(KINDS) {
        let (_, public) = ssh_keygen(at, name, kind);
        let armoured = theirs(at, name, SSH_NAMESPACE, &pae(KIND, BODY));
        let envelope = Envelope::signed_elsewhere(KIND, BODY, &public.id(), &armoured).unwrap();
        assert_eq!(envelope.verify(KIND, one(&public)).unwrap().signers, [public.id()], "{kind:?}");
        // SHA-256 inside is as good.
        let arguments = ["-q", "-Y", "sign", "-f", name, "-n", SSH_NAMESPACE, "-O", "hashalg=sha256"];
        let armoured = done(at, "ssh-keygen", &arguments, &pae(KIND, BODY));
        let envelope = Envelope::signed_elsewhere(KIND, BODY, &public.id(), &armoured).unwrap();
        assert_eq!(envelope.verify(KIND, one(&public)).unwrap().signers, [public.id()], "{kind:?}");
        // Over the bare document instead of what DSSE has signed: no.
        let bare = theirs(at, name, SSH_NAMESPACE, BODY);
        let envelope = Envelope::signed_elsewhere(KIND, BODY, &public.id(), &bare).unwrap();
        assert_eq!(envelope.verify(KIND, one(&public)).unwrap_err(), SignatureError::Untrusted);
    }
}

#[test]
fn keys_of_another_kind_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, kind) in [("rsa", &["rsa", "-b", "2048"][..]), ("p384", &["ecdsa", "-b", "384"])] {
        let arguments = [&["-q", "-N", "", "-f", name, "-t"], kind].concat();
        done(at, "ssh-keygen", &arguments, b"");
        for refused in [
            VerifyingKey::load(&at.join(format!("{name}.pub"))).unwrap_err(),
            Signer::load(&at.join(name)).unwrap_err(),
        ] {
            assert!(refused.to_string().contains("use ed25519 or ecdsa-sha2-nistp256"), "{refused}");
        }
    }
    done(at, "ssh-keygen", &["-q", "-N", "secret", "-f", "locked", "-t", "ed25519"], b"");
    let refused = Signer::load(&at.join("locked")).unwrap_err();
    assert!(refused.to_string().contains("ssh-add"), "{refused}");
    for (file, text) in
        [("two", "ssh-ed25519 AAAA\nssh-ed25519 AAAA\n"), ("none", "# nothing\n"), ("bad", "hello")]
    {
        fs::write(at.join(file), text).unwrap();
        assert!(matches!(VerifyingKey::load(&at.join(file)), Err(KeyError::Unusable { .. })), "{file}");
        assert!(matches!(Signer::load(&at.join(file)), Err(KeyError::Unusable { .. })), "{file}");
    }
}

#[test]
fn a_private_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    ssh_keygen(folder.path(), "ed", KINDS[0]);
    let path = folder.path().join("ed");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Signer::load(&path), Err(KeyError::Exposed { mode: 0o640, .. })));
}

#[test]
fn an_ed25519_key_of_openssl_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    done(at, "openssl", &["genpkey", "-algorithm", "ED25519", "-out", "ed.key"], b"");
    let pem = done(at, "openssl", &["pkey", "-in", "ed.key", "-pubout", "-out", "/dev/stdout"], b"");
    fs::write(at.join("ed.pub"), &pem).unwrap();
    let (signer, public) =
        (Signer::load(&at.join("ed.key")).unwrap(), VerifyingKey::load(&at.join("ed.pub")).unwrap());
    assert_eq!(signer.verifying_key(), public);
    assert_eq!(public.to_text().as_bytes(), pem, "byte for byte what openssl writes");
    fs::write(at.join("text"), BODY).unwrap();
    fs::write(at.join("ours"), signer.sign(BODY).unwrap()).unwrap();
    let verify =
        ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "ed.pub", "-in", "text", "-sigfile", "ours"];
    done(at, "openssl", &verify, b"");
    done(
        at,
        "openssl",
        &["pkeyutl", "-sign", "-rawin", "-inkey", "ed.key", "-in", "text", "-out", "theirs"],
        b"",
    );
    let theirs = fs::read(at.join("theirs")).unwrap();
    public.verify(BODY, &theirs).unwrap();
    assert_eq!(public.verify(b"another", &theirs), Err(SignatureError::Untrusted));
    // The public half is no private one.
    let refused = Signer::load(&at.join("ed.pub")).unwrap_err();
    assert!(refused.to_string().contains("a public key, where the private one is needed"), "{refused}");
}

// ---- SSHSIG by hand

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn strings(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| string(part)).collect()
}

/// Mutable parts of a signature, for whoever wants to get one wrong.
#[derive(Clone)]
struct Made {
    version: u32,
    public: Vec<u8>,
    namespace: &'static str,
    reserved: &'static [u8],
    signature: Vec<u8>,
}

impl Made {
    fn bytes(&self) -> Vec<u8> {
        let rest =
            strings(&[&self.public, self.namespace.as_bytes(), self.reserved, b"sha512", &self.signature]);
        [&b"SSHSIG"[..], &self.version.to_be_bytes(), &rest].concat()
    }
}

fn signed_data(namespace: &str, reserved: &[u8], message: &[u8]) -> Vec<u8> {
    let hash = digest(&SHA512, message);
    [&b"SSHSIG"[..], &strings(&[namespace.as_bytes(), reserved, b"sha512", hash.as_ref()])].concat()
}

fn mpint(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let sign: &[u8] = if number.get(start).is_some_and(|byte| *byte > 0x7f) { &[0] } else { &[] };
    string(&[sign, &number[start..]].concat())
}

enum Raw {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Raw {
    fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn p256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::P256(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap(),
        )
    }

    fn point(&self) -> &[u8] {
        match self {
            Self::Ed25519(pair) => pair.public_key().as_ref(),
            Self::P256(pair) => pair.public_key().as_ref(),
        }
    }

    fn algorithm(&self, hardware: bool) -> &'static str {
        match (self, hardware) {
            (Self::Ed25519(_), false) => "ssh-ed25519",
            (Self::Ed25519(_), true) => "sk-ssh-ed25519@openssh.com",
            (Self::P256(_), false) => "ecdsa-sha2-nistp256",
            (Self::P256(_), true) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// The public key on the wire; in hardware if it is for an application.
    fn public(&self, application: Option<&str>) -> Vec<u8> {
        let mut parts = vec![self.algorithm(application.is_some()).as_bytes()];
        if matches!(self, Self::P256(_)) {
            parts.push(b"nistp256");
        }
        parts.push(self.point());
        parts.extend(application.map(str::as_bytes));
        strings(&parts)
    }

    fn ssh(&self, application: Option<&str>) -> VerifyingKey {
        let line = format!(
            "{} {}",
            self.algorithm(application.is_some()),
            STANDARD.encode(self.public(application))
        );
        VerifyingKey::from_text(&line, "test").unwrap()
    }

    fn pem(&self) -> VerifyingKey {
        let spki = match self {
            Self::Ed25519(_) => "302a300506032b6570032100",
            Self::P256(_) => "3059301306072a8648ce3d020106082a8648ce3d030107034200",
        };
        let der = [hex::decode(spki).unwrap(), self.point().to_vec()].concat();
        let text =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        VerifyingKey::from_text(&text, "test").unwrap()
    }

    /// The bare signature, as SSH writes it.
    fn blob(&self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => pair.sign(text).as_ref().to_vec(),
            Self::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), text).unwrap();
                signature.as_ref().chunks(32).flat_map(mpint).collect()
            }
        }
    }

    fn plain(&self, message: &[u8]) -> Made {
        let text = signed_data(SSH_NAMESPACE, b"", message);
        Made {
            version: 1,
            public: self.public(None),
            namespace: SSH_NAMESPACE,
            reserved: b"",
            signature: strings(&[self.algorithm(false).as_bytes(), &self.blob(&text)]),
        }
    }

    /// What a key in hardware answers, `flags` saying whether it was touched.
    fn hardware(&self, application: &str, flags: u8, message: &[u8]) -> Made {
        let text = signed_data(SSH_NAMESPACE, b"", message);
        let trailer = [&[flags][..], &7_u32.to_be_bytes()].concat();
        let application_digest = digest(&SHA256, application.as_bytes());
        let text = [application_digest.as_ref(), &trailer, digest(&SHA256, &text).as_ref()].concat();
        let signature = strings(&[self.algorithm(true).as_bytes(), &self.blob(&text)]);
        Made {
            version: 1,
            public: self.public(Some(application)),
            namespace: SSH_NAMESPACE,
            reserved: b"",
            signature: [signature, trailer].concat(),
        }
    }
}

fn armour(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

const TOUCHED: u8 = 1;
const TOUCHED_AND_VERIFIED: u8 = 5;

#[test]
fn a_key_in_hardware() {
    for raw in [Raw::ed25519(), Raw::p256()] {
        let key = raw.ssh(Some("ssh:"));
        // It has no SPKI. Two keys of one id would count as one.
        assert_eq!(key.id().to_string(), hex::encode(digest(&SHA256, &raw.public(Some("ssh:")))));
        let message = pae(KIND, BODY);
        for flags in [TOUCHED, TOUCHED_AND_VERIFIED] {
            let bytes = raw.hardware("ssh:", flags, &message).bytes();
            assert!(
                ssh_keygen_accepts(&key, SSH_NAMESPACE, &armour(&bytes), &message),
                "the test makes them right: {}",
                raw.algorithm(true)
            );
            key.verify(&message, &bytes).unwrap();
            assert_eq!(key.verify(b"another", &bytes), Err(SignatureError::Untrusted));
            // The whole way: armoured, in an envelope, and out again for ssh-keygen.
            let armoured = armour(&bytes);
            let envelope = Envelope::signed_elsewhere(KIND, BODY, &key.id(), armoured.as_bytes()).unwrap();
            assert_eq!(
                envelope.verify(KIND, one(&key)).unwrap().signers,
                [key.id()],
                "{}",
                raw.algorithm(true)
            );
            let (signed, armoured) = envelope.for_ssh_keygen().unwrap();
            assert!(
                ssh_keygen_accepts(&key, SSH_NAMESPACE, &armoured[0], &signed),
                "{}",
                raw.algorithm(true)
            );
        }
    }
}

#[test]
fn attack_hardware_that_nobody_touched() {
    for raw in [Raw::ed25519(), Raw::p256()] {
        let key = raw.ssh(Some("ssh:"));
        let message = pae(KIND, BODY);
        for flags in [0, 4, 0xfe] {
            let mut made = raw.hardware("ssh:", flags, &message);
            assert_eq!(key.verify(&message, &made.bytes()), Err(SignatureError::NobodyPresent), "{flags}");
            let envelope = Envelope::signed_elsewhere(KIND, BODY, &key.id(), &made.bytes()).unwrap();
            assert_eq!(envelope.verify(KIND, one(&key)).unwrap_err(), SignatureError::NobodyPresent);
            // Saying afterwards that somebody was there.
            let at = made.signature.len() - 5;
            made.signature[at] |= 1;
            assert_eq!(key.verify(&message, &made.bytes()), Err(SignatureError::Untrusted), "{flags}");
        }
    }
}

#[test]
fn attack_hardware_for_another_application() {
    for raw in [Raw::ed25519(), Raw::p256()] {
        let mut made = raw.hardware("https://shop.example", TOUCHED, BODY);
        raw.ssh(Some("https://shop.example")).verify(BODY, &made.bytes()).unwrap();
        let key = raw.ssh(Some("ssh:"));
        assert_eq!(key.verify(BODY, &made.bytes()), Err(SignatureError::Untrusted));
        made.public = raw.public(Some("ssh:"));
        assert_eq!(key.verify(BODY, &made.bytes()), Err(SignatureError::Untrusted));
    }
}

/// The same raw key in every form it can be written in: a signature counts in the form it was made for only.
#[test]
fn attack_a_signature_for_another_form_of_the_same_key() {
    for raw in [Raw::ed25519(), Raw::p256()] {
        let (pem, plain, hardware) = (raw.pem(), raw.ssh(None), raw.ssh(Some("ssh:")));
        assert_eq!(pem.id(), plain.id(), "one key has one name");
        assert_ne!(plain.id(), hardware.id());
        let bare = match &raw {
            Raw::Ed25519(pair) => pair.sign(BODY).as_ref().to_vec(),
            Raw::P256(_) => {
                let ours = SigningKey::generate().unwrap();
                let signature = ours.sign(BODY).unwrap();
                ours.verifying_key().verify(BODY, &signature).unwrap();
                signature
            }
        };
        let made = [
            ("plain", raw.plain(BODY).bytes()),
            ("hardware", raw.hardware("ssh:", TOUCHED, BODY).bytes()),
            ("bare", bare),
        ];
        for (form, key, right) in
            [("pem", &pem, "bare"), ("ssh", &plain, "plain"), ("sk", &hardware, "hardware")]
        {
            for (name, signature) in &made {
                let holds = key.verify(BODY, signature).is_ok();
                // The bare one of P-256 is by another key here; openssl.rs has it by the right one.
                let expected = *name == right && !(right == "bare" && matches!(raw, Raw::P256(_)));
                assert_eq!(holds, expected, "{name} offered to {form} of {}", raw.algorithm(false));
            }
        }
        // A plain signature dressed as one by hardware and the other way round.
        let (ours, theirs) = (raw.plain(BODY), raw.hardware("ssh:", TOUCHED, BODY));
        for (key, mut base, other) in [(&plain, ours.clone(), &theirs), (&hardware, theirs.clone(), &ours)] {
            base.signature.clone_from(&other.signature);
            assert_eq!(key.verify(BODY, &base.bytes()), Err(SignatureError::Untrusted));
        }
        // The bytes that hardware signs, signed in software by the same raw key: the trailer cannot be left out.
        let mut stripped = theirs;
        stripped.signature.truncate(stripped.signature.len() - 5);
        assert!(matches!(hardware.verify(BODY, &stripped.bytes()), Err(SignatureError::Malformed(_))));
    }
}

/// P-256 signatures of the right key in the encoding of another form: DER, fixed, and SSH's.
#[test]
fn attack_an_encoding_of_another_form() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let raw = Raw::P256(
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap(),
    );
    let Raw::P256(fixed) = &raw else { unreachable!() };
    raw.pem().verify(BODY, der.sign(&random, BODY).unwrap().as_ref()).unwrap();
    assert!(raw.pem().verify(BODY, fixed.sign(&random, BODY).unwrap().as_ref()).is_err());
    assert!(raw.pem().verify(BODY, &raw.blob(BODY)).is_err());
    let text = signed_data(SSH_NAMESPACE, b"", BODY);
    for wrong in [der.sign(&random, &text).unwrap(), fixed.sign(&random, &text).unwrap()] {
        let mut made = raw.plain(BODY);
        made.signature = strings(&[b"ecdsa-sha2-nistp256", wrong.as_ref()]);
        assert!(matches!(raw.ssh(None).verify(BODY, &made.bytes()), Err(SignatureError::Malformed(_))));
    }
    // Zeros in front of a number, or something behind the two.
    let good = raw.blob(&text);
    let first = 4 + usize::from(good[3]);
    let padded = [string(&[&[0, 0], &good[4..first]].concat()), good[first..].to_vec()].concat();
    for wrong in [padded, [&good[..], &[0]].concat(), [string(b""), good[first..].to_vec()].concat()] {
        let mut made = raw.plain(BODY);
        made.signature = strings(&[b"ecdsa-sha2-nistp256", &wrong]);
        assert!(raw.ssh(None).verify(BODY, &made.bytes()).is_err());
    }
}

/// Whose key it is says the verifier, never the signature.
#[test]
fn attack_a_signature_that_brings_its_own_key() {
    let (ours, theirs) = (Raw::ed25519(), Raw::ed25519());
    let mut made = theirs.plain(BODY);
    theirs.ssh(None).verify(BODY, &made.bytes()).unwrap();
    assert_eq!(ours.ssh(None).verify(BODY, &made.bytes()), Err(SignatureError::Untrusted));
    made.public = ours.public(None);
    assert_eq!(ours.ssh(None).verify(BODY, &made.bytes()), Err(SignatureError::Untrusted));
}

#[test]
fn attack_a_signature_made_for_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (_, public) = ssh_keygen(at, "ed", KINDS[0]);
    for namespace in ["git", "file", "remit2", "Remit", "remit "] {
        let armoured = theirs(at, "ed", namespace, &pae(KIND, BODY));
        let envelope = Envelope::signed_elsewhere(KIND, BODY, &public.id(), &armoured).unwrap();
        let found = namespace.to_owned();
        assert_eq!(envelope.verify(KIND, one(&public)).unwrap_err(), SignatureError::Namespace { found });
    }
    // Made for git, and called ours.
    let raw = Raw::ed25519();
    let mut made = raw.plain(BODY);
    made.signature = strings(&[b"ssh-ed25519", &raw.blob(&signed_data("git", b"", BODY))]);
    assert_eq!(raw.ssh(None).verify(BODY, &made.bytes()), Err(SignatureError::Untrusted));
    // As one logs in to a server with.
    made.signature = strings(&[b"ssh-ed25519", &raw.blob(BODY)]);
    assert_eq!(raw.ssh(None).verify(BODY, &made.bytes()), Err(SignatureError::Untrusted));
}

#[test]
fn attack_a_signature_of_another_version_or_with_more_in_it() {
    for raw in [Raw::ed25519(), Raw::p256()] {
        let key = raw.ssh(None);
        let good = raw.plain(BODY);
        key.verify(BODY, &good.bytes()).unwrap();
        for version in [0, 2, u32::MAX] {
            let made = Made { version, ..good.clone() };
            assert!(
                matches!(key.verify(BODY, &made.bytes()), Err(SignatureError::Malformed(_))),
                "{version}"
            );
        }
        let reserved = Made { reserved: b"and more", ..good.clone() };
        assert!(matches!(key.verify(BODY, &reserved.bytes()), Err(SignatureError::Malformed(_))));
        let text = signed_data(SSH_NAMESPACE, b"and more", BODY);
        let signature = strings(&[raw.algorithm(false).as_bytes(), &raw.blob(&text)]);
        let signed = Made { signature, ..reserved };
        assert!(matches!(key.verify(BODY, &signed.bytes()), Err(SignatureError::Malformed(_))));
        let longer = [good.bytes(), vec![0]].concat();
        assert!(matches!(key.verify(BODY, &longer), Err(SignatureError::Malformed(_))));
    }
}

#[test]
fn attack_another_payload_type() {
    let folder = tempfile::tempdir().unwrap();
    let (signer, public) = ssh_keygen(folder.path(), "ed", KINDS[0]);
    let mut value = serde_json::to_value(Envelope::sign(KIND, BODY, &signer).unwrap()).unwrap();
    let read = |value: &serde_json::Value| serde_json::from_value::<Envelope>(value.clone()).unwrap();
    assert!(matches!(
        read(&value).verify("text/plain", one(&public)),
        Err(SignatureError::PayloadType { .. })
    ));
    value["payloadType"] = "text/plain".into();
    assert_eq!(read(&value).verify("text/plain", one(&public)).unwrap_err(), SignatureError::Untrusted);
}

#[test]
fn attack_a_trimmed_or_forged_envelope() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (signer, public) = ssh_keygen(at, "ed", KINDS[0]);
    let (stranger, _) = ssh_keygen(at, "other", KINDS[1]);
    let good = serde_json::to_value(Envelope::sign(KIND, BODY, &signer).unwrap()).unwrap();
    let read = |value: serde_json::Value| serde_json::from_value::<Envelope>(value).unwrap();
    let with = |signatures: serde_json::Value| {
        let mut value = good.clone();
        value["signatures"] = signatures;
        read(value).verify(KIND, one(&public))
    };
    let ours = good["signatures"][0].clone();
    assert_eq!(with(json!([])).unwrap_err(), SignatureError::Missing);
    let sig = ours["sig"].as_str().unwrap();
    assert_eq!(with(json!([{"sig": &sig[..sig.len() - 8]}])).unwrap_err(), SignatureError::Untrusted);
    assert!(matches!(with(json!([{"sig": "!"}])).unwrap_err(), SignatureError::Malformed(_)));
    // A stranger's under our name, beside ours twice: we signed once, they never.
    let mut forged = serde_json::to_value(Envelope::sign(KIND, BODY, &stranger).unwrap()).unwrap();
    forged["signatures"][0]["keyid"] = public.id().to_string().into();
    let theirs = forged["signatures"][0].clone();
    assert_eq!(with(json!([theirs])).unwrap_err(), SignatureError::Untrusted);
    assert_eq!(with(json!([theirs, ours, {"sig": "!"}, ours])).unwrap().signers, [public.id()]);
    // The same key trusted in two forms is one signer.
    let raw = Raw::ed25519();
    let Raw::Ed25519(pair) = &raw else { unreachable!() };
    let text = pae(KIND, BODY);
    let mut both = good.clone();
    both["signatures"] = json!([
        {"sig": STANDARD.encode(pair.sign(&text).as_ref())},
        {"sig": STANDARD.encode(raw.plain(&text).bytes())},
    ]);
    let signers = read(both).verify(KIND, &[raw.pem(), raw.ssh(None)]).unwrap().signers;
    assert_eq!(signers, [raw.pem().id()]);
    // Cut armour.
    let armoured = armour(&raw.plain(&text).bytes());
    for cut in [40, 100, armoured.len() - 10] {
        let refused = Envelope::signed_elsewhere(KIND, BODY, &raw.pem().id(), &armoured.as_bytes()[..cut]);
        assert!(matches!(refused, Err(SignatureError::Malformed(_))), "{cut}");
    }
}

/// One good signature of each form, made once.
fn good() -> &'static [(VerifyingKey, Vec<u8>)] {
    static GOOD: OnceLock<Vec<(VerifyingKey, Vec<u8>)>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let mut all = Vec::new();
        for raw in [Raw::ed25519(), Raw::p256()] {
            all.push((raw.ssh(None), raw.plain(BODY).bytes()));
            all.push((raw.ssh(Some("ssh:")), raw.hardware("ssh:", TOUCHED, BODY).bytes()));
        }
        all
    })
}

/// Every bit and every length, not a choice of them.
#[test]
fn attack_any_bit_flipped_and_any_end_cut_off() {
    for (key, signature) in good() {
        key.verify(BODY, signature).unwrap();
        for cut in 0..signature.len() {
            assert!(key.verify(BODY, &signature[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..signature.len() * 8 {
            let mut flipped = signature.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(key.verify(BODY, &flipped).is_err(), "bit {bit} of {}", signature.len() * 8);
        }
    }
}

proptest! {
    #[test]
    fn attack_a_damaged_signature(
        which in 0..4_usize,
        at in any::<prop::sample::Index>(),
        length in 0..12_usize,
        by in proptest::collection::vec(any::<u8>(), 0..12),
    ) {
        let (key, signature) = &good()[which];
        let start = at.index(signature.len());
        let end = (start + length).min(signature.len());
        let damaged = [&signature[..start], &by, &signature[end..]].concat();
        if damaged != *signature {
            prop_assert!(key.verify(BODY, &damaged).is_err());
        }
    }

    #[test]
    fn damaged_armour_is_an_error_and_no_panic(
        which in 0..4_usize,
        at in any::<prop::sample::Index>(),
        by in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let (key, signature) = &good()[which];
        let mut text = armour(signature).into_bytes();
        let at = at.index(text.len());
        text[at] = by;
        let _ = Envelope::signed_elsewhere(KIND, BODY, &key.id(), &text);
        text.truncate(cut.index(text.len()));
        if let Ok(envelope) = Envelope::signed_elsewhere(KIND, BODY, &key.id(), &text) {
            prop_assert!(envelope.verify(KIND, one(key)).is_err());
        }
    }

    #[test]
    fn any_line_is_a_key_or_an_error(line in "(sk-)?(ssh-ed25519|ecdsa-sha2-nistp256)(@openssh.com)? [A-Za-z0-9+/=]{0,120}") {
        let _ = VerifyingKey::from_text(&line, "test");
    }
}
