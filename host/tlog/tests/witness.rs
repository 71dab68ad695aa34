//! What is sent to a witness, and answers that nobody should accept.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use remit_tlog::{
    Checkpoint, Cosignature, NoteSigner, NoteVerifier, WitnessError, WitnessVerifier, add_checkpoint_body,
    add_cosignatures, conflict_size,
};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const LOG: &str = "remit.example/journal";

/// A witness as it stands in the specification, written without the code under test.
struct Witness {
    name: &'static str,
    pair: Ed25519KeyPair,
}

impl Witness {
    fn new(name: &'static str, seed: u8) -> Self {
        Self { name, pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap() }
    }

    fn id(&self) -> Vec<u8> {
        let text = [self.name.as_bytes(), b"\n\x04", self.pair.public_key().as_ref()].concat();
        digest(&SHA256, &text).as_ref()[..4].to_vec()
    }

    fn key(&self) -> String {
        let id = hex(&self.id());
        let key = STANDARD.encode([b"\x04", self.pair.public_key().as_ref()].concat());
        format!("{}+{id}+{key}", self.name)
    }

    fn verifier(&self) -> WitnessVerifier {
        WitnessVerifier::parse(&self.key()).unwrap()
    }

    fn line(&self, signature: &[u8]) -> String {
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode([self.id().as_slice(), signature].concat()))
    }

    fn cosign(&self, text: &str, time: u64) -> String {
        let signature = self.pair.sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
        self.line(&[time.to_be_bytes().as_slice(), signature.as_ref()].concat())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn witness() -> Witness {
    Witness::new("witness.example/w1", 2)
}

fn log() -> NoteSigner {
    NoteSigner::from_seed(LOG, &[1; 32]).unwrap()
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: LOG.to_owned(), size, root: [7; 32], extensions: Vec::new() }
}

fn note() -> String {
    log().sign(&checkpoint(9))
}

fn text() -> String {
    checkpoint(9).to_text()
}

#[test]
fn the_request() {
    assert_eq!(add_checkpoint_body(0, &[], "text\n\nsignature\n"), "old 0\n\ntext\n\nsignature\n");
    let hash = STANDARD.encode([1; 32]);
    assert_eq!(
        add_checkpoint_body(17, &[[1; 32], [1; 32]], "text\n"),
        format!("old 17\n{hash}\n{hash}\n\ntext\n")
    );
}

#[test]
fn the_size_in_a_conflict() {
    assert_eq!(conflict_size("0\n"), Ok(0));
    assert_eq!(conflict_size("20852014\n"), Ok(20_852_014));
    assert_eq!(conflict_size("18446744073709551615\n"), Ok(u64::MAX));
    for body in [
        "",
        "\n",
        "9",
        "9\n\n",
        "9\r\n",
        " 9\n",
        "+9\n",
        "-9\n",
        "09\n",
        "00\n",
        "9x\n",
        "18446744073709551616\n",
        "٩\n",
    ] {
        assert!(matches!(conflict_size(body), Err(WitnessError::Answer(_))), "{body:?}");
    }
}

#[test]
fn a_good_answer() {
    let answer = witness().cosign(&text(), 1_767_000_000);
    let good = Cosignature { timestamp: 1_767_000_000, line: answer.trim_end_matches('\n').to_owned() };
    assert_eq!(witness().verifier().verify(&note(), &answer), Ok(good.clone()));
    assert_eq!(witness().verifier().verify(&text(), &answer), Ok(good.clone()), "the text alone is enough");
    assert_eq!(witness().verifier().verify_note(&format!("{}{answer}", note())), Ok(good));
}

/// A checkpoint with lines of its own is signed with them.
#[test]
fn extension_lines_are_signed() {
    let text = format!("{}extension\n", text());
    let answer = witness().cosign(&text, 5);
    let note = format!("{text}\n{}", note().rsplit_once("\n\n").unwrap().1);
    assert!(witness().verifier().verify(&note, &answer).is_ok());
    assert_eq!(
        witness().verifier().verify(&self::note(), &answer),
        Err(WitnessError::Forged("witness.example/w1".to_owned()))
    );
}

#[test]
fn lines_of_others_are_ignored() {
    let ours = witness().cosign(&text(), 5);
    let others = [
        Witness::new("witness.example/w2", 2).cosign(&text(), 9),
        Witness::new("witness.example/w1", 3).cosign(&text(), 9),
        // Not even a cosignature: what a key of another type signs is not for us to read.
        note().lines().last().unwrap().to_owned() + "\n",
        format!("\u{2014} witness.example/w1 {}\n", STANDARD.encode([9; 2424])),
    ];
    for other in &others {
        for answer in [format!("{ours}{other}"), format!("{other}{ours}")] {
            assert_eq!(witness().verifier().verify(&note(), &answer).unwrap().timestamp, 5);
        }
        let missing = Err(WitnessError::Missing("witness.example/w1".to_owned()));
        assert_eq!(witness().verifier().verify(&note(), other), missing);
    }
}

/// Two good lines by one key, in either order: the newer one counts.
#[test]
fn the_newer_of_two() {
    let (early, late) = (witness().cosign(&text(), 5), witness().cosign(&text(), 6));
    for answer in [format!("{early}{late}"), format!("{late}{early}")] {
        assert_eq!(witness().verifier().verify(&note(), &answer).unwrap().timestamp, 6);
    }
}

/// A line that claims to be by the witness and is not: even beside a good one.
#[test]
fn forged_lines() {
    let good = witness().cosign(&text(), 5);
    let bytes = STANDARD.decode(good.trim_end().rsplit(' ').next().unwrap()).unwrap();
    let mut flipped = bytes[4..].to_vec();
    flipped[71] ^= 1;
    let mut later = bytes[4..].to_vec();
    later[7] += 1;
    let plain = witness().pair.sign(text().as_bytes()).as_ref().to_vec();
    let of = |time: u64, signed: &str| {
        let signature = witness().pair.sign(signed.as_bytes());
        [time.to_be_bytes().as_slice(), signature.as_ref()].concat()
    };
    for forged in [
        flipped,
        later,
        plain.clone(),
        [[0; 8].as_slice(), &plain].concat(),
        bytes[4..75].to_vec(),
        [&bytes[4..], &[0]].concat(),
        vec![1],
        of(5, &text()),
        of(5, &format!("cosignature/v1\ntime 05\n{}", text())),
        of(5, &format!("cosignature/v2\ntime 5\n{}", text())),
        of(5, &format!("cosignature/v1\ntime 5\n{}\n", text())),
        of(5, &format!("cosignature/v1\ntime 5\n{}", note())),
        of(5, &format!("cosignature/v1\ntime 5\n{}", checkpoint(10).to_text())),
        // Well signed, but a time that a witness must not give.
        of(0, &format!("cosignature/v1\ntime 0\n{}", text())),
        of(1 << 63, &format!("cosignature/v1\ntime {}\n{}", 1_u64 << 63, text())),
    ] {
        let line = witness().line(&forged);
        for answer in [line.clone(), format!("{good}{line}"), format!("{line}{good}")] {
            let error = Err(WitnessError::Forged("witness.example/w1".to_owned()));
            assert_eq!(witness().verifier().verify(&note(), &answer), error, "{answer}");
        }
    }
    let last = i64::MAX.cast_unsigned();
    let answer = witness().cosign(&text(), last);
    assert_eq!(witness().verifier().verify(&note(), &answer).unwrap().timestamp, last);
}

#[test]
fn answers_that_are_none() {
    let good = witness().cosign(&text(), 5);
    for answer in [
        String::new(),
        "\n".to_owned(),
        "<html>\n".to_owned(),
        good.trim_end().to_owned(),
        format!("{good}\n"),
        format!("\n{good}"),
        format!("{good}ok\n"),
        good.replace('\u{2014}', "-"),
        good.replace('\n', "\r\n"),
        good.replace(' ', "  "),
        good.repeat((1 << 20) / good.len() + 1),
    ] {
        let read = witness().verifier().verify(&note(), &answer);
        assert!(
            matches!(read, Err(WitnessError::Answer(_))),
            "{:?}: {read:?}",
            &answer[..answer.len().min(200)]
        );
    }
    assert!(matches!(witness().verifier().verify("no newline", &good), Err(WitnessError::Note(_))));
    assert!(matches!(witness().verifier().verify_note(&text()), Err(WitnessError::Note(_))));
    assert_eq!(
        witness().verifier().verify_note(&note()),
        Err(WitnessError::Missing("witness.example/w1".to_owned())),
        "a note that only the log has signed"
    );
}

#[test]
fn keys_of_witnesses() {
    let key = witness().key();
    assert_eq!(witness().verifier().to_string(), key);
    assert_eq!(witness().verifier().name(), "witness.example/w1");
    assert_eq!(WitnessVerifier::parse(&format!(" {key}\n")), Ok(witness().verifier()));
    for text in [
        String::new(),
        "witness.example/w1".to_owned(),
        key.replace("w1", "w2"),
        key.replace('+', " "),
        key[..key.len() - 1].to_owned(),
        format!("{key}AAAA"),
        key.replacen("+d", "+D", 1),
    ] {
        assert_eq!(WitnessVerifier::parse(&text), Err(WitnessError::Key), "{text:?}");
    }
}

/// Keys that are good keys, but not for this: said so, with the name of what they are for.
#[test]
fn keys_of_another_type() {
    let key_of = |algorithm: u8, length: usize| {
        let key = [vec![algorithm], vec![9; length]].concat();
        let id = digest(&SHA256, &[b"w.example\n", key.as_slice()].concat());
        format!("w.example+{}+{}", hex(&id.as_ref()[..4]), STANDARD.encode(key))
    };
    for (algorithm, length, name) in [
        (6, 1312, "ML-DSA-44"),
        (1, 32, "as of a log"),
        (2, 91, "ECDSA"),
        (5, 91, "RFC 6962"),
        (255, 32, "unknown"),
    ] {
        let error = WitnessVerifier::parse(&key_of(algorithm, length)).unwrap_err();
        assert_eq!(error, WitnessError::Algorithm { name: "w.example".to_owned(), algorithm });
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(&format!("{algorithm:#04x}")), "{text}");
    }
    assert_eq!(WitnessVerifier::parse(&key_of(4, 31)), Err(WitnessError::Key));
    assert!(matches!(
        WitnessVerifier::parse(&log().verifier().to_string()),
        Err(WitnessError::Algorithm { algorithm: 1, .. })
    ));
    // Nor is the key of a witness one of a log.
    assert!(NoteVerifier::parse(&witness().key()).is_err());
}

/// What the log publishes in the end: its own reader accepts it, and each witness's finds its line.
#[test]
fn a_cosigned_note() {
    let witnesses: Vec<_> = (2..22).map(|seed| Witness::new("witness.example/w1", seed)).collect();
    let cosignatures: Vec<_> = (100..)
        .zip(&witnesses)
        .map(|(time, witness)| witness.verifier().verify(&note(), &witness.cosign(&text(), time)).unwrap())
        .collect();
    let cosigned = add_cosignatures(&note(), &cosignatures);
    assert!(cosigned.starts_with(&note()));
    assert_eq!(cosigned.lines().count(), 5 + 20);
    assert_eq!(log().verifier().verify(&cosigned), Ok(checkpoint(9)));
    for (witness, cosignature) in witnesses.iter().zip(&cosignatures) {
        assert_eq!(witness.verifier().verify_note(&cosigned).as_ref(), Ok(cosignature));
    }
    assert_eq!(add_cosignatures(&cosigned, &cosignatures[..0]), cosigned);
    // A second answer of the same witness takes the place of the first.
    let newer = witnesses[0].verifier().verify(&note(), &witnesses[0].cosign(&text(), 999)).unwrap();
    let renewed = add_cosignatures(&cosigned, std::slice::from_ref(&newer));
    assert_eq!(renewed.lines().count(), 5 + 20);
    assert_eq!(witnesses[0].verifier().verify_note(&renewed), Ok(newer));
    assert_eq!(log().verifier().verify(&renewed), Ok(checkpoint(9)));
    // The log's own line is still needed.
    let only = add_cosignatures(&text(), &cosignatures);
    assert!(log().verifier().verify(&only).is_err());
    assert_eq!(witnesses[3].verifier().verify_note(&only).as_ref(), Ok(&cosignatures[3]));
}

proptest! {
    #[test]
    fn cosigned_and_read_back(size in any::<u64>(), root in any::<[u8; 32]>(), time in 1..1_u64 << 63) {
        let note = log().sign(&Checkpoint { origin: LOG.to_owned(), size, root, extensions: Vec::new() });
        let (text, _) = note.rsplit_once("\n\n").unwrap();
        let answer = witness().cosign(&format!("{text}\n"), time);
        let cosignature = witness().verifier().verify(&note, &answer).unwrap();
        prop_assert_eq!(cosignature.timestamp, time);
        let cosigned = add_cosignatures(&note, &[cosignature]);
        prop_assert_eq!(&cosigned, &format!("{note}{answer}"));
        prop_assert!(log().verifier().verify(&cosigned).is_ok());
    }

    /// One changed byte anywhere in a cosigned note, and the cosignature or the log's signature is gone.
    #[test]
    fn one_changed_byte(at in any::<prop::sample::Index>(), bit in 0..7_u8) {
        let good = format!("{}{}", note(), witness().cosign(&text(), 5));
        let mut bytes = good.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            let cosigned = witness().verifier().verify_note(&changed);
            prop_assert!(cosigned.is_err() || log().verifier().verify(&changed).is_err());
        }
    }

    #[test]
    fn any_text_is_answered(text in "(\\PC|\n|\u{2014} )*") {
        prop_assert!(witness().verifier().verify(&note(), &text).is_err());
        prop_assert!(witness().verifier().verify(&text, &witness().cosign(&self::text(), 5)).is_err());
        prop_assert!(witness().verifier().verify_note(&text).is_err());
        prop_assert!(WitnessVerifier::parse(&text).is_err());
        let _ = conflict_size(&text);
        let _ = add_cosignatures(&text, &[]);
    }
}
