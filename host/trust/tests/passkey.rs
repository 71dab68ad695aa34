//! Signatures by passkeys: made by an authenticator and a browser in software, checked by us and by a stock `ssh-keygen`; and each
//! that is not quite right.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

#[path = "common/passkey.rs"]
mod authenticator;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use authenticator::{ORIGIN, PRESENT_AND_VERIFIED, Passkey, RP, Said};
use proptest::prelude::*;
use remit_trust::dsse::{Envelope, pae};
use remit_trust::issuers::Proof;
use remit_trust::principals::Principals;
use remit_trust::{SSH_NAMESPACE, SignatureError, VerifyingKey, passkey_challenge};

const KIND: &str = "application/vnd.remit.approval.v1+json";
const BODY: &[u8] = br#"{"approve":true}"#;

fn message() -> Vec<u8> {
    pae(KIND, BODY)
}

fn principals(passkey: &VerifyingKey, more: &str) -> String {
    let key = passkey.to_text();
    format!(
        "[passkeys]\nrp = '{RP}'\norigins = ['{ORIGIN}']\n[[principal]]\nname = 'dana'\nkind = 'human'\n[[principal.key]]\npublic = '''{key}'''\n{more}"
    )
}

fn parse(text: &str) -> Result<Principals, String> {
    Principals::parse(text, "principals.toml", Path::new("/nowhere")).map_err(|error| error.to_string())
}

/// The key as the rules have it: it signs on [`ORIGIN`] only.
fn ruled(passkey: &Passkey) -> VerifyingKey {
    parse(&principals(&passkey.key(), "")).unwrap().keys().remove(0)
}

/// Whether `ssh-keygen -Y verify` takes that signature of that text.
fn ssh_keygen_accepts(key: &VerifyingKey, armoured: &str, text: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("allowed"), format!("dana {}", key.to_text())).unwrap();
    fs::write(at.join("sig"), armoured).unwrap();
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-f", "allowed", "-I", "dana", "-n", SSH_NAMESPACE, "-s", "sig"])
        .current_dir(at)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn ours_is_accepted_by_ssh_keygen() {
    let mut passkey = Passkey::new();
    let key = ruled(&passkey);
    // The numbers of a signature are at times a byte shorter: often enough to meet that.
    for turn in 0..300 {
        let body = turn.to_string();
        let message = pae(KIND, body.as_bytes());
        let signature = passkey.sign(&message);
        key.verify(&message, &signature).unwrap();
        let envelope = Envelope::signed_elsewhere(KIND, body.as_bytes(), &key.id(), &signature).unwrap();
        assert_eq!(envelope.verify(KIND, std::slice::from_ref(&key)).unwrap().signers, [key.id()]);
        let [used] = &envelope.uses_of_passkeys()[..] else { panic!("{envelope:?}") };
        assert_eq!((&used.key, used.counter), (&key.id(), turn + 1));
        if turn < 3 {
            let (signed, armoured) = envelope.for_ssh_keygen().unwrap();
            assert_eq!((&signed, armoured.len()), (&message, 1));
            assert!(ssh_keygen_accepts(&key, &armoured[0], &signed));
            assert!(!ssh_keygen_accepts(&key, &armoured[0], b"another"));
        }
    }
    // Extensions, a port, a name below the domain, and members that a browser adds.
    let fine: [fn(&mut Said); 4] = [
        |said| (said.flags, said.extensions) = (0x85, vec![0xa0]),
        |said| said.flags |= 0x18,
        |said| said.rest = "}".to_owned(),
        |said| {
            said.rest = r#","crossOrigin":false,"other_keys_can_be_added_here":"do not compare"}"#.to_owned();
        },
    ];
    for change in fine {
        let answer = passkey.answer(&message(), change);
        let signature = key.envelop(&answer).unwrap();
        key.verify(&message(), &signature).unwrap();
        let envelope = Envelope::signed_elsewhere(KIND, BODY, &key.id(), &signature).unwrap();
        let (signed, armoured) = envelope.for_ssh_keygen().unwrap();
        assert!(ssh_keygen_accepts(&key, &armoured[0], &signed));
    }
}

/// Each is signed by the right key, so that only what it says is wrong.
#[test]
fn attack_a_signature_that_is_not_quite_right() {
    let other = || passkey_challenge(&pae(KIND, br#"{"approve":false}"#));
    let bare = || ring::digest::digest(&ring::digest::SHA256, BODY).as_ref().to_vec();
    let cases: [(&str, &dyn Fn(&mut Said)); 22] = [
        ("on a page of https://evil.example", &|said| said.origin = "https://evil.example".into()),
        ("on a page of https://pay.remit.example", &|said| said.origin = "https://pay.remit.example".into()),
        ("on a page of http://remit.example", &|said| said.origin = "http://remit.example".into()),
        ("on a page of https://remit.example:8443", &|said| said.origin = format!("{ORIGIN}:8443")),
        ("on a page of https://remit.example.evil.example", &|said| {
            said.origin = format!("{ORIGIN}.evil.example");
        }),
        ("made over something else", &|said| said.challenge = other()),
        ("made over something else", &|said| said.challenge = bare()),
        ("made over something else", &|said| said.challenge = message()),
        ("made over something else", &|said| said.challenge = Vec::new()),
        ("no signature", &|said| said.kind = "webauthn.create".into()),
        ("inside a page of another site", &|said| said.rest = r#","crossOrigin":true}"#.into()),
        ("inside a page of another site", &|said| {
            said.rest = r#","crossOrigin":false,"topOrigin":"https://evil.example"}"#.into();
        }),
        ("cannot be read", &|said| said.rest = r#","crossOrigin":"false"}"#.into()),
        ("cannot be read", &|said| said.rest = r#","crossOrigin":false,"crossOrigin":false}"#.into()),
        ("cannot be read", &|said| said.rest = r#","origin":"https://remit.example"}"#.into()),
        ("cannot be read", &|said| said.rest = r#","crossOrigin":false} "#.to_owned() + "x"),
        ("did not check who used it", &|said| said.flags = 0x01),
        ("the making of a key", &|said| said.flags |= 0x40),
        ("contradicts itself", &|said| said.flags |= 0x80),
        ("contradicts itself", &|said| said.extensions = vec![0xa0]),
        ("contradicts itself", &|said| said.flags |= 0x10),
        ("not written as browsers write it", &|said| {
            let challenge =
                base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &said.challenge);
            said.text = Some(format!(
                r#"{{"challenge":"{challenge}","type":"webauthn.get","origin":"{ORIGIN}","crossOrigin":false}}"#
            ));
        }),
    ];
    let mut passkey = Passkey::new();
    let key = ruled(&passkey);
    for (why, change) in cases {
        let answer = passkey.answer(&message(), change);
        let told = |refused: &SignatureError| {
            assert!(matches!(refused, SignatureError::Passkey(_)), "{why}: {refused}");
            assert!(refused.to_string().contains(why), "{why}: {refused}");
        };
        let signature = match key.envelop(&answer) {
            Ok(signature) => signature,
            Err(refused) => {
                told(&refused);
                continue;
            }
        };
        let refused = key.verify(&message(), &signature).unwrap_err();
        told(&refused);
        // The error that says the most is told of the whole document.
        let envelope = Envelope::signed_elsewhere(KIND, BODY, &key.id(), &signature).unwrap();
        let keys = [Passkey::new().key(), key.clone(), Passkey::new().key()];
        assert_eq!(envelope.verify(KIND, &keys).unwrap_err(), refused, "{why}");
    }
    for flags in [0x00, 0x04] {
        let answer = passkey.answer(&message(), |said| said.flags = flags);
        let signature = key.envelop(&answer).unwrap();
        assert_eq!(key.verify(&message(), &signature), Err(SignatureError::NobodyPresent));
    }
    // For another domain, by what the device says, and by what is made of that.
    let answer = passkey.answer(&message(), |said| said.rp = "evil.example".into());
    assert!(key.envelop(&answer).unwrap_err().to_string().contains("another domain than remit.example"));
    let evil = VerifyingKey::of_passkey(&passkey.spki(), "evil.example", "").unwrap();
    let signature = evil.envelop(&answer).unwrap();
    assert_eq!(key.verify(&message(), &signature), Err(SignatureError::Untrusted));
    // What was signed, with one part of it exchanged afterwards.
    let good = passkey.answer(&message(), |_| {});
    let another = passkey.answer(&message(), |_| {});
    for at in [32, 33, 36] {
        let mut changed = good.clone();
        changed.authenticator_data[at] ^= 0x08;
        let signature = key.envelop(&changed).unwrap();
        assert_eq!(key.verify(&message(), &signature), Err(SignatureError::Untrusted), "{at}");
    }
    for mixed in [
        remit_trust::Assertion { signature: another.signature.clone(), ..good.clone() },
        remit_trust::Assertion { authenticator_data: another.authenticator_data.clone(), ..good.clone() },
    ] {
        let signature = key.envelop(&mixed).unwrap();
        assert_eq!(key.verify(&message(), &signature), Err(SignatureError::Untrusted));
    }
    // By another key, under this one's name.
    let foreign = Passkey::new().answer(&message(), |_| {});
    assert_eq!(key.verify(&message(), &key.envelop(&foreign).unwrap()), Err(SignatureError::Untrusted));
}

/// What `sk-ecdsa` keys sign without a browser has no origin: it is no signature of a passkey, and the other way round.
#[test]
fn attack_a_passkey_s_signature_in_another_form() {
    let mut passkey = Passkey::new();
    let key = ruled(&passkey);
    let signature = passkey.sign(&message());
    // As OpenSSH's own hardware keys name it: the origin and the text are not read then.
    let name = b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
    let at = signature.windows(name.len()).position(|part| part == name).unwrap();
    let mut plain = signature.clone();
    plain.splice(
        at - 4..at + name.len(),
        [&[0, 0, 0, 34][..], b"sk-ecdsa-sha2-nistp256@openssh.com"].concat(),
    );
    assert_eq!(key.verify(&message(), &plain), Err(SignatureError::Untrusted));
    // The same key written as one for SSH.
    let text = key.to_text();
    let hardware = text.replace(text.split(' ').nth(1).unwrap(), &{
        let wire = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            text.split(' ').nth(1).unwrap(),
        )
        .unwrap();
        let cut = wire.len() - RP.len() - 4;
        base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            [&wire[..cut], &[0, 0, 0, 4], b"ssh:"].concat(),
        )
    });
    let hardware = VerifyingKey::from_text(&hardware, "test").unwrap();
    assert_eq!((hardware.passkey_of(), key.passkey_of()), (None, Some(RP)));
    assert!(hardware.verify(&message(), &signature).is_err());
    assert_ne!(hardware.id(), key.id());
}

#[test]
fn attack_another_spelling_of_a_signature() {
    let mut passkey = Passkey::new();
    let key = ruled(&passkey);
    let signature = passkey.sign(&message());
    assert!(key.verify(&message(), &[&signature[..], &[0]].concat()).is_err());
    for at in 0..signature.len() {
        assert!(key.verify(&message(), &signature[..at]).is_err(), "cut at {at}");
        for bit in [0x01, 0x80] {
            let mut changed = signature.clone();
            changed[at] ^= bit;
            assert!(key.verify(&message(), &changed).is_err(), "changed at {at}");
        }
    }
    let base = |namespace: &[u8]| {
        let at = signature.windows(9).position(|part| part == b"\0\0\0\x05remit").unwrap() + 4;
        let mut changed = signature.clone();
        changed.splice(at..at + 5, namespace.iter().copied());
        changed
    };
    assert!(matches!(key.verify(&message(), &base(b"other")), Err(SignatureError::Namespace { .. })));
}

#[test]
fn the_rules_say_where_passkeys_sign() {
    let mut passkey = Passkey::new();
    let key = passkey.key();
    let principals_of = |more: &str| parse(&principals(&key, more));
    let found = principals_of("").unwrap();
    let held = found.key(&key.id()).unwrap();
    assert_eq!((held.proof(), held.device_bound), (Proof::Passkey, false));
    assert_eq!(found.passkeys().unwrap().rp, RP);
    // What is said is part of what is signed.
    let bound = principals_of("device-bound = true").unwrap();
    assert_ne!(found.digest(), bound.digest());
    let elsewhere = parse(&principals(&key, "").replace(ORIGIN, "https://sign.remit.example:8443")).unwrap();
    assert_ne!(found.digest(), elsewhere.digest());
    let signature = {
        let answer =
            passkey.answer(&message(), |said| said.origin = "https://sign.remit.example:8443".into());
        key.envelop(&answer).unwrap()
    };
    elsewhere.keys()[0].verify(&message(), &signature).unwrap();
    assert!(found.keys()[0].verify(&message(), &signature).is_err());
    // Who has only the key believes any page of its domain, and of no other.
    key.verify(&message(), &signature).unwrap();
    let answer = passkey.answer(&message(), |said| said.origin = "https://evil.example".into());
    assert!(key.verify(&message(), &key.envelop(&answer).unwrap()).is_err());
    // A key that the rules bind to its device, and that is in a keychain that is copied.
    for (flags, holds) in [(PRESENT_AND_VERIFIED, true), (0x0d, false), (0x1d, false)] {
        let answer = passkey.answer(&message(), |said| said.flags = flags);
        let checked = bound.keys()[0].verify(&message(), &key.envelop(&answer).unwrap());
        assert_eq!(checked.is_ok(), holds, "{checked:?}");
    }

    let text = principals(&key, "");
    let refused = |from: &str, to: &str| parse(&text.replace(from, to)).unwrap_err();
    for (from, to, why) in [
        ("[passkeys]\nrp = 'remit.example'\norigins = ['https://remit.example']\n", "", "add [passkeys]"),
        (
            "rp = 'remit.example'\norigins = ['https://remit.example']",
            "rp = 'other.example'\norigins = ['https://other.example']",
            "is a passkey for remit.example, and `rp` of [passkeys] is other.example",
        ),
        ("rp = 'remit.example'", "rp = 'https://remit.example'", "is no `rp`"),
        ("rp = 'remit.example'", "rp = '127.0.0.1'", "is no `rp`"),
        ("['https://remit.example']", "[]", "needs `origins`"),
        ("'https://remit.example'", "'https://remit.example/'", "is no origin"),
        ("'https://remit.example'", "'http://remit.example'", "is no origin"),
        ("'https://remit.example'", "'https://evilremit.example'", "is no origin"),
        ("'https://remit.example'", "'https://remit.example:0'", "is no origin"),
        ("'https://remit.example'", "'https://remit.example@evil.example'", "is no origin"),
        ("'human'", "'agent'", "is software and has a passkey"),
    ] {
        let told = refused(from, to);
        assert!(told.contains(why), "{to}: {told}");
    }
    let plain = remit_trust::SigningKey::generate().unwrap().verifying_key();
    assert!(parse(&principals(&plain, "device-bound = true")).unwrap_err().contains("is no passkey"));
}

#[test]
fn a_use_is_proven_by_who_made_it_only() {
    let (mut dana, mut eve) = (Passkey::new(), Passkey::new());
    let (of_dana, of_eve) = (dana.sign(&message()), eve.sign(&message()));
    let both = |body: &[u8]| -> Envelope {
        let with = |key: &Passkey, signature: &[u8]| {
            Envelope::signed_elsewhere(KIND, body, &key.key().id(), signature).unwrap()
        };
        let mut one = serde_json::to_value(with(&dana, &of_dana)).unwrap();
        let two = serde_json::to_value(with(&eve, &of_eve)).unwrap();
        one["signatures"].as_array_mut().unwrap().push(two["signatures"][0].clone());
        serde_json::from_value(one).unwrap()
    };
    let used = |envelope: &Envelope| {
        envelope.uses_of_passkeys().into_iter().map(|used| used.key).collect::<Vec<_>>()
    };
    assert_eq!(used(&both(BODY)), [dana.key().id(), eve.key().id()]);
    // Copied to another document they prove nothing, although they name the keys.
    let copied = both(b"{}");
    assert_eq!(used(&copied), []);
    assert_eq!(copied.claimed_passkeys(), [dana.key().id(), eve.key().id()]);
}

proptest! {
    #[test]
    fn nothing_else_is_a_signature(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let key = Passkey::new().key();
        prop_assert!(key.verify(BODY, &bytes).is_err());
        let name: &[u8] = b"SSHSIG\0\0\0\x01";
        prop_assert!(key.verify(BODY, &[name, &bytes].concat()).is_err());
        let envelope = Envelope::signed_elsewhere(KIND, BODY, &key.id(), &[name, &bytes].concat()).unwrap();
        prop_assert!(envelope.uses_of_passkeys().is_empty());
    }

    /// A browser's answer that is anything at all is an error or a signature that does not hold.
    #[test]
    fn no_answer_of_a_browser_breaks_anything(
        data in prop::collection::vec(any::<u8>(), 0..60),
        text in "(\\{\"type\":\"webauthn.get\",\"challenge\":\"[A-Za-z0-9_-]{0,9}\",\"origin\":\".{0,20}\"\\}|.{0,40})",
        signature in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let key = Passkey::new().key();
        let domain = ring::digest::digest(&ring::digest::SHA256, RP.as_bytes());
        let answer = remit_trust::Assertion {
            authenticator_data: [domain.as_ref(), &data].concat(),
            client_data: text.into_bytes(),
            signature,
        };
        if let Ok(made) = key.envelop(&answer) {
            prop_assert!(key.verify(BODY, &made).is_err());
        }
    }
}
