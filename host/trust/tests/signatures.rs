//! Signatures and envelopes that must not pass, and the few that must.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;
use remit_trust::dsse::Envelope;
use remit_trust::principals::PrincipalKind;
use remit_trust::{Digest, KeyId, Sign as _, SignatureError, Signer, SigningKey, VerifyingKey, blob};
use serde_json::{Value, json};

const KIND: &str = "application/vnd.remit.grant+json";
const BODY: &[u8] = br#"{"uses":1}"#;

fn key() -> (SigningKey, VerifyingKey) {
    let key = SigningKey::generate().unwrap();
    let public = key.verifying_key();
    (key, public)
}

fn envelope(key: &SigningKey) -> Value {
    serde_json::to_value(Envelope::sign(KIND, BODY, key).unwrap()).unwrap()
}

fn read(value: &Value) -> Envelope {
    serde_json::from_value(value.clone()).unwrap()
}

fn signature(envelope: &Value) -> Value {
    envelope["signatures"][0].clone()
}

/// The bytes signed are those of the specification, so that any other implementation agrees.
#[test]
fn an_envelope_is_what_the_specification_says() {
    let (key, public) = key();
    let value = envelope(&key);
    let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["payload", "payloadType", "signatures"]);
    assert_eq!(value["payload"], STANDARD.encode(BODY));
    assert_eq!(value["signatures"][0]["keyid"], public.id().to_string());
    let der = STANDARD.decode(value["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    let pae = br#"DSSEv1 32 application/vnd.remit.grant+json 10 {"uses":1}"#;
    public.verify(pae, &der).unwrap();
    let verified = read(&value).verify(KIND, std::slice::from_ref(&public)).unwrap();
    assert_eq!(verified.payload, BODY);
    assert_eq!(verified.signers, [public.id()]);
}

#[test]
fn a_tampered_payload() {
    let (key, public) = key();
    let mut value = envelope(&key);
    value["payload"] = STANDARD.encode(br#"{"uses":9}"#).into();
    assert_eq!(read(&value).verify(KIND, &[public]).unwrap_err(), SignatureError::Untrusted);
}

/// A signature over one kind of document is none over another, whichever side is lied about.
#[test]
fn another_payload_type() {
    let (key, public) = key();
    let mut value = envelope(&key);
    let keys = [public];
    assert!(matches!(
        read(&value).verify("text/plain", &keys).unwrap_err(),
        SignatureError::PayloadType { found, expected } if found == KIND && expected == "text/plain"
    ));
    value["payloadType"] = "text/plain".into();
    assert_eq!(read(&value).verify("text/plain", &keys).unwrap_err(), SignatureError::Untrusted);
}

/// What the type and body are cannot be shifted into each other: lengths are signed.
#[test]
fn a_border_moved_between_type_and_body() {
    let (key, public) = key();
    let mut value = serde_json::to_value(Envelope::sign("a b", b"c", &key).unwrap()).unwrap();
    value["payloadType"] = "a".into();
    value["payload"] = STANDARD.encode("b c").into();
    assert_eq!(read(&value).verify("a", &[public]).unwrap_err(), SignatureError::Untrusted);
}

#[test]
fn two_signatures_by_one_key_count_once() {
    let ((ours, public), (theirs, other)) = (key(), key());
    let mut value = envelope(&ours);
    // ECDSA draws a nonce: the second signature by the same key has other bytes.
    let (again, third) = (signature(&envelope(&ours)), signature(&envelope(&theirs)));
    assert_ne!(again["sig"], value["signatures"][0]["sig"]);
    let mut alias = again.clone();
    alias["keyid"] = "somebody else".into();
    value["signatures"] = json!([again, alias, value["signatures"][0], value["signatures"][0]]);
    // Neither a key listed twice nor a second name makes two of one.
    let twice = [public.clone(), public.clone()];
    assert_eq!(read(&value).verify(KIND, &twice).unwrap().signers, [public.id()]);
    // A second person does.
    value["signatures"].as_array_mut().unwrap().push(third);
    let both = read(&value).verify(KIND, &[public.clone(), other.clone()]).unwrap().signers;
    assert_eq!(both, [public.id(), other.id()]);
}

/// Who signed is found by checking, never by what the envelope says.
#[test]
fn a_key_id_is_only_a_hint() {
    let ((ours, public), (theirs, _)) = (key(), key());
    let mut value = envelope(&theirs);
    value["signatures"][0]["keyid"] = public.id().to_string().into();
    assert_eq!(
        read(&value).verify(KIND, std::slice::from_ref(&public)).unwrap_err(),
        SignatureError::Untrusted
    );
    let mut value = envelope(&ours);
    value["signatures"][0].as_object_mut().unwrap().remove("keyid");
    assert_eq!(read(&value).verify(KIND, std::slice::from_ref(&public)).unwrap().signers, [public.id()]);
}

#[test]
fn no_keys_no_signatures_no_sense() {
    let (key, public) = key();
    let keys = [public.clone()];
    let good = envelope(&key);
    assert_eq!(read(&good).verify(KIND, &[]).unwrap_err(), SignatureError::Untrusted);

    let mut none = good.clone();
    none["signatures"] = json!([]);
    assert_eq!(read(&none).verify(KIND, &keys).unwrap_err(), SignatureError::Missing);

    let mut cut = good.clone();
    let text = cut["signatures"][0]["sig"].as_str().unwrap().to_owned();
    cut["signatures"][0]["sig"] = text[..text.len() - 5].into();
    assert!(matches!(read(&cut).verify(KIND, &keys).unwrap_err(), SignatureError::Malformed(_)));

    let mut payload = good.clone();
    payload["payload"] = "%%%".into();
    assert!(matches!(read(&payload).verify(KIND, &keys).unwrap_err(), SignatureError::Malformed(_)));

    // A stranger's nonsense beside a good signature takes nothing from it, in either order.
    for all in
        [json!([cut["signatures"][0], signature(&good)]), json!([signature(&good), cut["signatures"][0]])]
    {
        let mut mixed = good.clone();
        mixed["signatures"] = all;
        assert_eq!(read(&mixed).verify(KIND, &keys).unwrap().signers, [public.id()]);
    }
}

#[test]
fn the_other_base64_alphabet_is_read() {
    let (key, public) = key();
    let body = [0xfb, 0xff, 0xbf];
    let mut value = serde_json::to_value(Envelope::sign(KIND, &body, &key).unwrap()).unwrap();
    let sig = STANDARD.decode(value["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    value["payload"] = URL_SAFE.encode(body).into();
    value["signatures"][0]["sig"] = URL_SAFE.encode(sig).into();
    assert_eq!(read(&value).verify(KIND, &[public]).unwrap().payload, body);
}

#[test]
fn fields_nobody_signed_are_refused() {
    let (key, _) = key();
    let mut value = envelope(&key);
    value["comment"] = "approved by the board".into();
    assert!(serde_json::from_value::<Envelope>(value).is_err());
    // The second of two payloads is not chosen silently.
    let twice = r#"{"payload":"","payload":"","payloadType":"a","signatures":[]}"#;
    assert!(serde_json::from_str::<Envelope>(twice).is_err());
}

#[test]
fn a_blob_s_signature_missing_garbage_or_a_stranger_s() {
    let ((ours, public), (theirs, other)) = (key(), key());
    let keys = [other.clone(), public.clone()];
    let good = blob::sign_blob(&ours, BODY).unwrap();
    assert_eq!(blob::verify_blob(&keys, BODY, &good), Ok(public.id()));
    assert_eq!(blob::verify_blob(&keys, BODY, format!(" {good}\r\n")), Ok(public.id()));
    assert_eq!(blob::verify_blob(&keys, BODY, " \n"), Err(SignatureError::Missing));
    for garbage in ["?", &good[..good.len() - 1], "-----BEGIN"] {
        assert!(
            matches!(blob::verify_blob(&keys, BODY, garbage), Err(SignatureError::Malformed(_))),
            "{garbage:?}"
        );
    }
    let strange = blob::sign_blob(&theirs, BODY).unwrap();
    assert_eq!(
        blob::verify_blob(std::slice::from_ref(&public), BODY, &strange),
        Err(SignatureError::Untrusted)
    );
    assert_eq!(blob::verify_blob(&[], BODY, &good), Err(SignatureError::Untrusted));
    // A blob's signature is none of an envelope with that payload.
    let mut value = envelope(&ours);
    value["signatures"][0]["sig"] = good.into();
    assert_eq!(read(&value).verify(KIND, &[public]).unwrap_err(), SignatureError::Untrusted);
}

/// A point that is not on the curve is a key nobody can sign for.
#[test]
fn a_public_key_off_the_curve_accepts_nothing() {
    let (ours, public) = key();
    let text = public.to_text();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(body).unwrap();
    *der.last_mut().unwrap() ^= 1;
    let off = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
    let off = VerifyingKey::from_pem(&off, "off").unwrap();
    assert!(off.verify(BODY, &ours.sign(BODY).unwrap()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_signed_is_read_back(kind in "[a-z/+. ]{0,40}", body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (key, public) = key();
        let text = serde_json::to_string(&Envelope::sign(&kind, &body, &key).unwrap()).unwrap();
        let read: Envelope = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read.verify(&kind, &[public]).unwrap().payload, body);
    }

    #[test]
    fn one_changed_bit_of_a_signature(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (key, public) = key();
        let mut der = key.sign(BODY).unwrap();
        let at = at.index(der.len());
        der[at] ^= 1 << bit;
        prop_assert!(public.verify(BODY, &der).is_err());
    }

    #[test]
    fn any_text_is_answered(text in "\\PC*") {
        let (_, public) = key();
        prop_assert!(blob::verify_blob(&[public], BODY, &text).is_err());
        prop_assert!(serde_json::from_str::<Envelope>(&text).is_err());
        prop_assert!(VerifyingKey::from_pem(&text, "x").is_err());
    }
}

/// Who trusts a digest gets the document that has it, whoever signed it; no other.
#[test]
fn a_document_is_got_by_its_digest_only() {
    let (key, _) = key();
    let envelope = Envelope::sign(KIND, BODY, &key).unwrap();
    let digest = Digest::of(BODY);
    assert_eq!(envelope.payload_digest().unwrap(), digest);
    assert_eq!(envelope.payload_named(digest).unwrap(), BODY);
    assert_eq!(envelope.payload_named(Digest::of(b"another")).unwrap_err(), SignatureError::Untrusted);
}

/// A public key is of a curve that its whole head names: nothing in it may be another, not even where the length fits.
#[test]
fn a_key_of_another_curve_is_none() {
    let (_, public) = key();
    let pem = |der: &[u8]| {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    };
    let text = public.to_text();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let p256 = STANDARD.decode(body).unwrap();
    // RFC 8410.
    let ed25519 =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &[7; 32]].concat();
    for good in [&p256, &ed25519] {
        VerifyingKey::from_text(&pem(good), "good").unwrap();
        // A byte of the head; one byte more, and one less.
        let mut other = good.clone();
        other[8] ^= 1;
        for bad in [other, [&good[..], &[0]].concat(), good[..good.len() - 1].to_vec()] {
            assert!(VerifyingKey::from_text(&pem(&bad), "bad").is_err(), "{bad:02x?}");
        }
    }
    // A point in its short form.
    let mut short = p256.clone();
    short[26] = 2;
    assert!(VerifyingKey::from_text(&pem(&short), "short").is_err());
}

/// What a person or a developer reads of a key, a digest and a kind.
#[test]
fn names_are_shown_as_they_are() {
    let (_, public) = key();
    let id = public.id();
    let whole = id.to_string();
    assert_eq!((whole.len(), id.short()), (64, &whole[..12]));
    assert_eq!(
        (format!("{id:?}"), format!("{public:?}")),
        (whole.clone(), format!("VerifyingKey({})", id.short()))
    );
    let digest = Digest::of(b"x");
    assert_eq!(format!("{digest:?}"), digest.to_string());
    let kinds =
        [PrincipalKind::Human, PrincipalKind::Agent, PrincipalKind::Service].map(|kind| kind.to_string());
    assert_eq!(kinds, ["human", "agent", "service"]);
}

#[test]
fn the_id_of_a_key_has_one_spelling() {
    let id = SigningKey::generate().unwrap().verifying_key().id();
    let text = id.to_string();
    let signer = Signer::from(SigningKey::generate().unwrap());
    assert_eq!(format!("{signer:?}"), format!("Signer({})", signer.verifying_key().id().short()));
    assert_eq!((text.len(), text.parse::<KeyId>().as_ref()), (64, Ok(&id)));
    let letters = "abcdef0123456789".repeat(4);
    assert_eq!(letters.parse::<KeyId>().unwrap().to_string(), letters);
    for other in [
        "",
        &letters[1..],
        &format!("{letters}0"),
        &letters.to_uppercase(),
        &letters.replace('a', "g"),
        &letters.replace('a', "`"),
        &letters.replace('a', " "),
        &letters.replace('a', "/"),
        &letters.replace('a', ":"),
        &format!("{}\u{e9}", &letters[2..]),
    ] {
        let refused = other.parse::<KeyId>().unwrap_err().to_string();
        assert!(refused.ends_with("is not the id of a key"), "{refused}");
    }
    let long = "x\u{202e}".repeat(500).parse::<KeyId>().unwrap_err().to_string();
    assert!(long.len() < 120 && !long.contains('\u{202e}'), "{long}");
}

/// Only a hint where to look for keys, of which somebody else may have written as many as they like.
#[test]
fn the_keys_that_an_envelope_names() {
    let one = Envelope::sign("application/x", b"{}", &SigningKey::generate().unwrap()).unwrap();
    let named = |ids: &[String]| {
        let mut written = serde_json::to_value(&one).unwrap();
        let sig = written["signatures"][0].clone();
        written["signatures"] = ids
            .iter()
            .map(|id| {
                let mut sig = sig.clone();
                sig["keyid"] = id.as_str().into();
                sig
            })
            .collect();
        let envelope: Envelope = serde_json::from_value(written).unwrap();
        envelope.named().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let id = |digit: usize| format!("{digit:x}").repeat(64);
    assert_eq!(one.named().len(), 1);
    assert_eq!(named(&[]), [""; 0]);
    assert_eq!(named(&[id(2), id(1), id(2), "none".to_owned(), String::new()]), [id(1), id(2)]);
    let many: Vec<_> = (0..12).rev().map(id).collect();
    assert_eq!(named(&many), (0..8).map(id).collect::<Vec<_>>());
}
