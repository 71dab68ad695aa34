//! Keys that people already have: OpenSSH's, in files, in an agent's hands and in hardware; and Ed25519 in PEM.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use remit_trust::dsse::{Envelope, pae};
use remit_trust::{Sign as _, SignatureError, Signer, SigningKey, VerifyingKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

const TYPE: &str = "application/vnd.remit.approval.v1+json";

fn tool(at: &Path, program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).current_dir(at).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// `NAME` and `NAME.pub`, made by ssh-keygen.
fn keygen(at: &Path, name: &str, kind: &str) {
    tool(at, "ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", name, "-f", name]);
}

fn ssh_verify(at: &Path, who: &str, namespace: &str) -> bool {
    let public = fs::read_to_string(at.join(format!("{who}.pub"))).unwrap();
    fs::write(at.join("allowed"), format!("{who} {public}")).unwrap();
    let message = fs::File::open(at.join("message")).unwrap();
    let args = ["-Y", "verify", "-f", "allowed", "-I", who, "-n", namespace, "-s", "message.sig"];
    let done = Command::new("ssh-keygen").args(args).current_dir(at).stdin(message).output().unwrap();
    done.status.success()
}

#[test]
fn ssh_keygen_verifies_ours_and_we_verify_its() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, kind) in [("dora", "ed25519"), ("emil", "ecdsa")] {
        keygen(at, name, kind);
        let signer = Signer::load(&at.join(name)).unwrap();
        let public = VerifyingKey::load(&at.join(format!("{name}.pub"))).unwrap();
        assert_eq!(signer.verifying_key().id(), public.id());
        let envelope = Envelope::sign(TYPE, b"{\"a\":1}", &signer).unwrap();
        assert_eq!(envelope.verify(TYPE, std::slice::from_ref(&public)).unwrap().signers, [public.id()]);
        let (message, signatures) = envelope.for_ssh_keygen().unwrap();
        assert_eq!(message, pae(TYPE, b"{\"a\":1}"));
        fs::write(at.join("message"), &message).unwrap();
        fs::write(at.join("message.sig"), &signatures[0]).unwrap();
        assert!(ssh_verify(at, name, "remit"), "{name}");
        assert!(!ssh_verify(at, name, "file"), "{name}");

        fs::remove_file(at.join("message.sig")).unwrap();
        tool(at, "ssh-keygen", &["-q", "-Y", "sign", "-n", "remit", "-f", name, "message"]);
        let theirs = fs::read(at.join("message.sig")).unwrap();
        let envelope = Envelope::signed_elsewhere(TYPE, b"{\"a\":1}", &public.id(), &theirs).unwrap();
        envelope.verify(TYPE, std::slice::from_ref(&public)).unwrap();
        // For something else, over something else, of another type.
        fs::remove_file(at.join("message.sig")).unwrap();
        tool(at, "ssh-keygen", &["-q", "-Y", "sign", "-n", "file", "-f", name, "message"]);
        let other = fs::read(at.join("message.sig")).unwrap();
        let envelope = Envelope::signed_elsewhere(TYPE, b"{\"a\":1}", &public.id(), &other).unwrap();
        let error = envelope.verify(TYPE, std::slice::from_ref(&public)).unwrap_err();
        assert!(matches!(&error, SignatureError::Namespace { found } if found == "file"), "{error}");
        for (kind, payload) in [(TYPE, &b"{\"a\":2}"[..]), ("other", b"{\"a\":1}")] {
            let envelope = Envelope::signed_elsewhere(kind, payload, &public.id(), &theirs).unwrap();
            assert!(envelope.verify(kind, std::slice::from_ref(&public)).is_err());
        }
    }
    // What cannot be used is said.
    tool(at, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "secret", "-f", "locked"]);
    let error = Signer::load(&at.join("locked")).unwrap_err().to_string();
    assert!(error.contains("encrypted") && error.contains("ssh-add"), "{error}");
    tool(at, "ssh-keygen", &["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", "old"]);
    let error = VerifyingKey::load(&at.join("old.pub")).unwrap_err().to_string();
    assert!(error.contains("ssh-rsa"), "{error}");
}

#[test]
fn ed25519_in_pem_is_what_openssl_makes_and_takes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tool(at, "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "k.pem"]);
    tool(at, "openssl", &["pkey", "-in", "k.pem", "-pubout", "-out", "k.pub"]);
    tool(at, "chmod", &["600", "k.pem"]);
    let (signer, public) =
        (Signer::load(&at.join("k.pem")).unwrap(), VerifyingKey::load(&at.join("k.pub")).unwrap());
    assert_eq!(signer.verifying_key(), public);
    fs::write(at.join("m"), "hello").unwrap();
    fs::write(at.join("s"), signer.sign(b"hello").unwrap()).unwrap();
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "k.pub", "-rawin", "-in", "m", "-sigfile", "s"];
    tool(at, "openssl", &verify);
    tool(at, "openssl", &["pkeyutl", "-sign", "-inkey", "k.pem", "-rawin", "-in", "m", "-out", "t"]);
    public.verify(b"hello", &fs::read(at.join("t")).unwrap()).unwrap();
    // Publishers keep to what cosign has.
    assert!(VerifyingKey::load_publisher(&at.join("k.pub")).is_err());
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// `SSHSIG` and what was signed under it (PROTOCOL.sshsig), by hand.
fn to_sign(namespace: &str, message: &[u8]) -> Vec<u8> {
    let hash = ring::digest::digest(&ring::digest::SHA512, message);
    [&b"SSHSIG"[..], &string(namespace.as_bytes()), &string(b""), &string(b"sha512"), &string(hash.as_ref())]
        .concat()
}

fn sshsig(key: &[u8], namespace: &str, signature: &[u8]) -> Vec<u8> {
    let version = 1_u32.to_be_bytes();
    let parts =
        [&string(key), &string(namespace.as_bytes()), &string(b""), &string(b"sha512"), &string(signature)];
    [&b"SSHSIG"[..], &version, &parts.map(std::clone::Clone::clone).concat()].concat()
}

fn line(kind: &str, key: &[u8]) -> String {
    use base64::Engine as _;
    format!("{kind} {} a key", base64::engine::general_purpose::STANDARD.encode(key))
}

/// A key in hardware, made in software (PROTOCOL.u2f): its line, and a signature with these flags.
fn in_hardware(ed25519: bool, message: &[u8], flags: u8) -> (String, Vec<u8>) {
    let application = b"ssh:";
    let sha = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
    let counter = 7_u32.to_be_bytes();
    let signed =
        [sha(application).as_ref(), &[flags], &counter, sha(&to_sign("remit", message)).as_ref()].concat();
    let random = SystemRandom::new();
    let (kind, key, raw) = if ed25519 {
        let pair = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
        let kind = "sk-ssh-ed25519@openssh.com";
        let key = [string(kind.as_bytes()), string(pair.public_key().as_ref()), string(application)].concat();
        (kind, key, pair.sign(&signed).as_ref().to_vec())
    } else {
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref(), &random).unwrap();
        let kind = "sk-ecdsa-sha2-nistp256@openssh.com";
        let point = string(pair.public_key().as_ref());
        let key = [string(kind.as_bytes()), string(b"nistp256"), point, string(application)].concat();
        let signature = pair.sign(&random, &signed).unwrap();
        // Two positive integers: a leading zero where the top bit is set, none otherwise.
        let number = |bytes: &[u8]| {
            let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
            string(&if bytes[0] & 0x80 == 0 { bytes } else { [vec![0], bytes].concat() })
        };
        let (r, s) = signature.as_ref().split_at(32);
        (kind, key, [number(r), number(s)].concat())
    };
    let blob = [string(kind.as_bytes()), string(&raw), vec![flags], counter.to_vec()].concat();
    (line(kind, &key), sshsig(&key, "remit", &blob))
}

#[test]
fn a_key_in_hardware_counts_when_somebody_was_there() {
    for ed25519 in [true, false] {
        let (line, signature) = in_hardware(ed25519, b"message", 1);
        let key = VerifyingKey::from_text(&line, "key").unwrap();
        key.verify(b"message", &signature).unwrap();
        assert!(key.verify(b"massage", &signature).is_err());
        let (line, signature) = in_hardware(ed25519, b"message", 0);
        let key = VerifyingKey::from_text(&line, "key").unwrap();
        assert_eq!(key.verify(b"message", &signature), Err(SignatureError::NobodyPresent));
        // The flag alone cannot be set afterwards.
        let mut forged = signature.clone();
        let at = forged.len() - 5;
        forged[at] = 1;
        assert_eq!(key.verify(b"message", &forged), Err(SignatureError::Untrusted));
    }
}

/// The key decides what its signatures are: one form is never taken for another, though it is the same key.
#[test]
fn attack_key_confusion() {
    let random = SystemRandom::new();
    let pair = Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap();
    let public = pair.public_key().as_ref();
    let wire = [string(b"ssh-ed25519"), string(public)].concat();
    let ssh = VerifyingKey::from_text(&line("ssh-ed25519", &wire), "ssh").unwrap();
    let spki = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00], public].concat();
    let text = {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(&spki);
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    };
    let pem = VerifyingKey::from_text(&text, "pem").unwrap();
    assert_eq!(ssh.id(), pem.id(), "one key has one name");
    let raw = pair.sign(b"message").as_ref().to_vec();
    let namespaced = pair.sign(&to_sign("remit", b"message")).as_ref().to_vec();
    let blob = [string(b"ssh-ed25519"), string(&namespaced)].concat();
    let sig = sshsig(&wire, "remit", &blob);
    pem.verify(b"message", &raw).unwrap();
    ssh.verify(b"message", &sig).unwrap();
    assert!(pem.verify(b"message", &sig).is_err() && ssh.verify(b"message", &raw).is_err());
    // What SSH signed is no raw signature over the message, and the other way round.
    assert!(pem.verify(b"message", &namespaced).is_err());
    let unspaced = sshsig(&wire, "remit", &[string(b"ssh-ed25519"), string(&raw)].concat());
    assert!(ssh.verify(b"message", &unspaced).is_err());
    // Another key inside, another algorithm named, more behind.
    let other = SigningKey::generate().unwrap();
    assert!(other.verifying_key().verify(b"message", &raw).is_err());
    let strange = sshsig(&[string(b"ssh-ed25519"), string(&[7; 32])].concat(), "remit", &blob);
    assert_eq!(ssh.verify(b"message", &strange), Err(SignatureError::Untrusted));
    let named = sshsig(
        &wire,
        "remit",
        &[string(b"sk-ssh-ed25519@openssh.com"), string(&namespaced), vec![1, 0, 0, 0, 1]].concat(),
    );
    assert!(ssh.verify(b"message", &named).is_err());
    assert!(ssh.verify(b"message", &[&sig[..], b"x"].concat()).is_err());
    let elsewhere = sshsig(&wire, "git", &blob);
    assert!(matches!(ssh.verify(b"message", &elsewhere), Err(SignatureError::Namespace { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// However a signature is cut or bent, it neither holds nor brings anything down.
    #[test]
    fn attack_malformed_signatures(at in 0_usize..400, bit in 0_u8..8, cut in any::<bool>(), ed25519 in any::<bool>()) {
        let (line, signature) = in_hardware(ed25519, b"message", 1);
        let key = VerifyingKey::from_text(&line, "key").unwrap();
        let at = at % signature.len();
        let bent = if cut { signature[..at].to_vec() } else {
            let mut bent = signature.clone();
            bent[at] ^= 1 << bit;
            bent
        };
        prop_assert!(key.verify(b"message", &bent).is_err());
    }
}
