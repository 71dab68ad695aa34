//! The same keys and signatures, made and checked by a stock `openssl`.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_trust::{Digest, KeyError, SignatureError, SigningKey, VerifyingKey, blob};

const BLOB: &[u8] = b"\0asm, and whatever else a component is made of";

fn run(folder: &Path, arguments: &str) -> Output {
    Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap()
}

fn openssl(folder: &Path, arguments: &str) -> Vec<u8> {
    let output = run(folder, arguments);
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A folder with the blob, and a key made by `openssl genpkey`.
fn bench() -> (tempfile::TempDir, SigningKey) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("blob"), BLOB).unwrap();
    openssl(at, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k.key");
    openssl(at, "pkey -in k.key -pubout -out k.pub");
    let key = SigningKey::load(&at.join("k.key")).unwrap();
    (folder, key)
}

#[test]
fn ours_is_accepted_by_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let key = SigningKey::generate().unwrap();
    key.write_pair(&at.join("ours")).unwrap();
    fs::write(at.join("blob"), BLOB).unwrap();
    fs::write(at.join("blob.sig"), blob::sign_blob(&key, BLOB).unwrap() + "\n").unwrap();

    openssl(at, "base64 -d -A -in blob.sig -out blob.der");
    let said = openssl(at, "dgst -sha256 -verify ours.pub -signature blob.der blob");
    assert_eq!(String::from_utf8_lossy(&said).trim(), "Verified OK");
    // openssl reads the private half too, and derives the same public key.
    assert_eq!(
        openssl(at, "pkey -in ours.key -pubout"),
        fs::read(at.join("ours.pub")).unwrap(),
        "byte for byte what openssl writes"
    );

    fs::write(at.join("blob"), b"another").unwrap();
    assert!(!run(at, "dgst -sha256 -verify ours.pub -signature blob.der blob").status.success());
}

#[test]
fn openssl_s_is_accepted_by_us() {
    let (folder, key) = bench();
    let at = folder.path();
    openssl(at, "dgst -sha256 -sign k.key -out blob.der blob");
    let wrapped = openssl(at, "base64 -A -in blob.der");
    let public = VerifyingKey::load(&at.join("k.pub")).unwrap();
    assert_eq!(public, key.verifying_key());

    let signature = String::from_utf8(wrapped).unwrap() + "\n";
    assert_eq!(blob::verify_blob(std::slice::from_ref(&public), BLOB, &signature), Ok(public.id()));
    assert_eq!(
        blob::verify_blob(std::slice::from_ref(&public), b"another", &signature),
        Err(SignatureError::Untrusted)
    );
}

#[test]
fn a_key_of_genpkey_goes_through_unchanged() {
    let (folder, key) = bench();
    let at = folder.path();
    assert_eq!(key.to_pem().as_bytes(), fs::read(at.join("k.key")).unwrap());
    assert_eq!(key.verifying_key().to_text().as_bytes(), fs::read(at.join("k.pub")).unwrap());
    // The id is what anyone computes with two stock commands.
    let der = openssl(at, "pkey -pubin -in k.pub -outform DER");
    assert_eq!(format!("sha256:{}", key.verifying_key().id()), Digest::of(&der).to_string());
    // And it signs.
    let signature = blob::sign_blob(&key, BLOB).unwrap();
    fs::write(at.join("blob.der"), STANDARD.decode(signature).unwrap()).unwrap();
    openssl(at, "dgst -sha256 -verify k.pub -signature blob.der blob");
}

/// The reason, in the words a person reads.
fn why<T: std::fmt::Debug>(result: Result<T, KeyError>) -> String {
    match result.unwrap_err() {
        KeyError::Unusable { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_of_another_kind_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (kind, make) in [
        ("rsa", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key"),
        ("ed", "genpkey -algorithm ED25519 -out ed.key"),
        ("p384", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.key"),
        ("k1", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out k1.key"),
    ] {
        openssl(at, make);
        openssl(at, &format!("pkey -in {kind}.key -pubout -out {kind}.pub"));
        let private = why(SigningKey::load(&at.join(format!("{kind}.key"))));
        assert!(private.contains("ECDSA P-256") && private.contains("PKCS#8"), "{kind}: {private}");
        let public = why(VerifyingKey::load_publisher(&at.join(format!("{kind}.pub"))));
        assert!(public.contains("for ECDSA P-256"), "{kind}: {public}");
    }
}

#[test]
fn other_forms_of_a_good_key_say_what_to_do() {
    let (folder, _) = bench();
    let at = folder.path();
    openssl(at, "ec -in k.key -out sec1.key");
    assert!(why(SigningKey::load(&at.join("sec1.key"))).contains("openssl pkcs8 -topk8 -nocrypt"));
    openssl(at, "ecparam -name prime256v1 -genkey -out param.key");
    assert!(why(SigningKey::load(&at.join("param.key"))).contains("openssl pkcs8 -topk8 -nocrypt"));
    openssl(at, "pkcs8 -topk8 -in k.key -passout pass:x -out locked.key");
    assert!(why(SigningKey::load(&at.join("locked.key"))).contains("encrypted"));

    // The two halves in each other's place.
    let (private, public) = (fs::read_to_string(at.join("k.key")).unwrap(), at.join("k.pub"));
    let public = fs::read_to_string(public).unwrap();
    assert!(why(VerifyingKey::from_pem(&private, "k")).contains("where the public one is needed"));
    assert!(why(SigningKey::from_pem(&public, "k")).contains("where the private one is needed"));
    // A compressed point is the same key in a second spelling: one spelling only.
    openssl(at, "pkey -pubin -in k.pub -ec_conv_form compressed -pubout -out short.pub");
    assert!(why(VerifyingKey::load_publisher(&at.join("short.pub"))).contains("neither for ECDSA P-256"));
    for garbage in ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        why(SigningKey::from_pem(garbage, "k"));
        why(VerifyingKey::from_pem(garbage, "k"));
    }
    let cosign = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
    assert!(why(SigningKey::from_pem(cosign, "k")).contains("encrypted"));
}
