//! Keys and signatures as other tools, mail programs and people write them: what decides is the key, never the form.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use remit_trust::dsse::Envelope;
use remit_trust::{Key, KeyError, Sign as _, SignatureError, Signer, SigningKey, VerifyingKey, blob};

const BODY: &[u8] = b"what is signed";
const KIND: &str = "application/vnd.remit.test";

/// Text in lines of `width`, each with `end`.
fn lines(text: &str, width: usize, end: &str) -> String {
    let chunks: Vec<_> = text.as_bytes().chunks(width).map(String::from_utf8_lossy).collect();
    chunks.join(end) + end
}

fn put(at: &Path, name: &str, mode: u32, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = at.join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_signature_counts_in_whatever_lines_it_is_written() {
    let key = SigningKey::generate().unwrap();
    let (public, der) = (key.verifying_key(), key.sign(BODY).unwrap());
    let text = STANDARD.encode(&der);
    for written in [
        text.clone(),
        lines(&text, 76, "\n"),
        lines(&text, 64, "\n"),
        lines(&text, 76, "\r\n"),
        lines(&text, 1, "\n"),
        format!("\r\n  {text}\r\n\n"),
    ] {
        assert_eq!(
            blob::verify_blob(std::slice::from_ref(&public), BODY, &written),
            Ok(public.id()),
            "{written:?}"
        );
        let envelope = Envelope::signed_elsewhere(KIND, BODY, &public.id(), written.as_bytes()).unwrap();
        assert_eq!(envelope, Envelope::signed_elsewhere(KIND, BODY, &public.id(), &der).unwrap());
    }
    assert_eq!(blob::verify_blob(std::slice::from_ref(&public), BODY, &der), Ok(public.id()));
    // Beside a file it is kept as text, and still is one.
    assert_eq!(blob::text_of(text.clone().into_bytes()), text);
    let kept = blob::text_of(der.clone());
    assert_eq!(blob::verify_blob(std::slice::from_ref(&public), BODY, kept), Ok(public.id()));
}

#[test]
fn a_signature_in_another_form_is_named() {
    let key = SigningKey::generate().unwrap();
    let (public, der) = (key.verifying_key(), key.sign(BODY).unwrap());
    // With `+`, `/` and `=` in it, whatever the key was.
    let any: Vec<u8> = (0..=255).chain([1]).collect();
    let text = STANDARD.encode(&any);
    let pgp = "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";
    for (written, why) in [
        (URL_SAFE.encode(&any).into_bytes(), "base64url"),
        (STANDARD_NO_PAD.encode(&any).into_bytes(), "cut short"),
        (format!("{text}!").into_bytes(), "it has a `!`"),
        (text.into_bytes(), "not one of ECDSA in DER"),
        (pgp.into(), "not ssh-keygen's"),
        (b"{\"mediaType\": \"application/vnd.dev.sigstore.bundle.v0.3+json\"}".into(), "Sigstore bundle"),
        (b"\x89\x02 a signature by gpg".into(), "binary"),
        (der[..der.len() - 1].into(), "binary"),
        ([&der[..], b"\n"].concat(), "binary"),
        (vec![7; 64], "not one of ECDSA in DER"),
    ] {
        match blob::verify_blob(std::slice::from_ref(&public), BODY, &written) {
            Err(SignatureError::Malformed(told)) => assert!(told.contains(why), "{told}, not {why}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    for nothing in ["", " \r\n"] {
        assert_eq!(
            blob::verify_blob(std::slice::from_ref(&public), BODY, nothing),
            Err(SignatureError::Missing)
        );
    }
}

#[test]
fn what_is_written_around_a_key_means_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let key = SigningKey::generate().unwrap();
    let (private, public) = (key.to_pem().to_string(), key.verifying_key().to_text());
    let note = b"Subject: caf\xe9\r\nour key, mode ---- BEGIN of 2026\n\n";
    let around = |pem: &str| [&note[..], pem.as_bytes(), b"\n-- \nthe vendor \xff\n"].concat();
    for (n, (private, public)) in [
        (around(&private), around(&public)),
        (private.replace('\n', "\r\n").into(), public.replace('\n', "\r\n").into()),
        (format!("{public}{private}").into(), format!("{private}{public}").into()),
    ]
    .into_iter()
    .enumerate()
    {
        let private = put(at, &format!("{n}.key"), 0o600, private);
        let public = put(at, &format!("{n}.pub"), 0o644, public);
        assert_eq!(SigningKey::load(&private).unwrap().verifying_key(), key.verifying_key(), "{n}");
        assert_eq!(Signer::load(&private).unwrap().verifying_key(), key.verifying_key(), "{n}");
        assert_eq!(VerifyingKey::load(&public).unwrap(), key.verifying_key(), "{n}");
        assert_eq!(VerifyingKey::load_publisher(&public).unwrap(), key.verifying_key(), "{n}");
    }
}

#[test]
fn one_reader_knows_what_a_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let key = SigningKey::generate().unwrap();
    let private = put(at, "k.key", 0o600, key.to_pem().as_bytes());
    let public = put(at, "k.pub", 0o644, key.verifying_key().to_text());
    assert!(matches!(Key::load(&public).unwrap(), Key::Public(found) if found == key.verifying_key()));
    assert!(
        matches!(Key::load(&private).unwrap(), Key::Private(found) if found.verifying_key() == key.verifying_key())
    );
    let told = |error: KeyError| error.to_string();
    assert!(told(Signer::load(&public).unwrap_err()).contains("where the private one is needed"));
    assert!(told(VerifyingKey::load(&private).unwrap_err()).contains("where the public one is needed"));
    let empty = put(at, "empty", 0o600, "");
    assert!(told(Key::load(&empty).unwrap_err()).contains("it is empty"));
    let long = put(at, "long", 0o600, [&b" ".repeat(65_536)[..], key.to_pem().as_bytes()].concat());
    assert!(told(Key::load(&long).unwrap_err()).contains("larger than a key can be"));
    let just =
        put(at, "just", 0o600, format!("{}{}", *key.to_pem(), " ".repeat(65_536 - key.to_pem().len())));
    assert!(matches!(Key::load(&just).unwrap(), Key::Private(_)));
}

#[test]
fn a_pipe_is_read_once_and_is_as_good_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate().unwrap();
    let public = key.verifying_key();
    let (private, shared) = (key.to_pem().to_string(), public.to_text());
    let piped = |name: &str, mode: &str, text: &str| {
        let path = folder.path().join(name);
        assert!(Command::new("mkfifo").arg(mode).arg(&path).status().unwrap().success());
        let (to, text) = (path.clone(), text.to_owned());
        std::thread::spawn(move || {
            fs::OpenOptions::new().write(true).open(to).unwrap().write_all(text.as_bytes()).unwrap();
        });
        path
    };
    assert_eq!(Signer::load(&piped("a", "-m600", &private)).unwrap().verifying_key(), public);
    assert_eq!(SigningKey::load(&piped("b", "-m600", &private)).unwrap().verifying_key(), public);
    assert_eq!(VerifyingKey::load(&piped("c", "-m644", &shared)).unwrap(), public);
    assert!(matches!(Key::load(&piped("d", "-m600", &private)).unwrap(), Key::Private(_)));
    assert!(matches!(Key::load(&piped("e", "-m644", &shared)).unwrap(), Key::Public(_)));
    // Somebody else may read along what comes out of it.
    let along = Signer::load(&piped("f", "-m644", &private)).unwrap_err();
    assert!(matches!(along, KeyError::Exposed { mode: 0o644, .. }), "{along}");
}

#[test]
fn the_comment_of_an_ssh_key_may_be_in_any_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (n, comment) in [&b"caf\xe9@h"[..], b"\xc3\xdc\xd4\xbf", b"", b"two words", "schlüssel@h".as_bytes()]
        .into_iter()
        .enumerate()
    {
        let name = format!("k{n}");
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", if n % 2 == 0 { "ed25519" } else { "ecdsa" }, "-N", "", "-f", &name, "-C"]);
        assert!(make.arg(std::ffi::OsStr::from_bytes(comment)).current_dir(at).status().unwrap().success());
        let (signer, public) = (
            Signer::load(&at.join(&name)).unwrap(),
            VerifyingKey::load(&at.join(format!("{name}.pub"))).unwrap(),
        );
        let envelope = Envelope::sign(KIND, BODY, &signer).unwrap();
        assert_eq!(
            envelope.verify(KIND, std::slice::from_ref(&public)).unwrap().signers,
            [public.id()],
            "{comment:?}"
        );
        // What is written into a home is a line again.
        assert_eq!(VerifyingKey::from_text(&public.to_text(), "written").unwrap().id(), public.id());
        assert_eq!(signer.verifying_key().id(), public.id());
        if let Ok(text) = std::str::from_utf8(comment) {
            assert!(public.to_text().trim_end().ends_with(text), "{}", public.to_text());
        }
    }
}

#[test]
fn a_damaged_ssh_key_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-f", "k", "-C", "c"]).current_dir(at);
    assert!(make.status().unwrap().success());
    let text = fs::read_to_string(at.join("k")).unwrap();
    let whole = pem::parse(&text).unwrap().into_contents();
    let read = |bytes: &[u8]| {
        let pem = pem::encode(&pem::Pem::new("OPENSSH PRIVATE KEY", bytes));
        Signer::load(&put(at, "damaged", 0o600, pem))
    };
    read(&whole).unwrap();
    for cut in 0..whole.len() {
        assert!(matches!(read(&whole[..cut]), Err(KeyError::Unusable { .. })), "{cut}");
    }
    assert!(read(&[&whole[..], &[0]].concat()).is_err());
    // Two keys, another cipher, and a public half of somebody else.
    let at = |part: &[u8]| whole.windows(part.len()).position(|found| found == part).unwrap();
    let public = at(b"ssh-ed25519");
    for (place, word) in [
        (public - 9, "damaged"),
        (public - 5, "damaged"),
        (public + 20, "damaged"),
        (at(b"none"), "encrypted"),
    ] {
        let mut other = whole.clone();
        other[place] ^= 3;
        let told = read(&other).unwrap_err().to_string();
        assert!(told.contains(word), "{place}: {told}");
    }
    let line = fs::read(folder.path().join("k.pub")).unwrap();
    let bare = String::from_utf8(line).unwrap();
    for wrong in [
        bare.replace("ssh-ed25519", "ssh-rsa"),
        bare.replacen("AAAA", "AAAB", 1),
        bare.replace(' ', ""),
        format!("{bare}{bare}"),
        "ssh-ed25519".to_owned(),
        "ssh-ed25519 ".to_owned(),
    ] {
        let told = VerifyingKey::from_text(&wrong, "k").unwrap_err().to_string();
        assert!(told.contains("neither PEM nor"), "{told}");
    }
    let marked = format!("\u{feff}# mine\r\n\r\n{}\r\n", bare.trim_end());
    VerifyingKey::from_text(&marked, "k").unwrap();
}
