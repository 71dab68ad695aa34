//! Checkpoints and signed notes: the bytes other implementations make, and notes nobody should accept.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use remit_tlog::{Checkpoint, NoteError, NoteSigner, NoteVerifier};

/// The key of the example in the documentation of Go's `golang.org/x/mod/sumdb/note`: seed and verifier.
const SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// A note by that key, of a text that is no checkpoint, from the same documentation.
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
/// A checkpoint by that key; the signature was made by `openssl pkeyutl -sign -rawin`.
const GOLDEN: &str = "PeterNeumann\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\n\u{2014} PeterNeumann x08gozdSgLMzAnw63LH1RGViJhUfW60EUGKY7Kmr004fQNOSqfrcd1hIk3BCtdcLWIqvGtX67sL24VN+44uTlxMnbAA=\n";

fn signer() -> NoteSigner {
    NoteSigner::from_seed("PeterNeumann", &STANDARD.decode(SEED).unwrap().try_into().unwrap()).unwrap()
}

fn verifier() -> NoteVerifier {
    NoteVerifier::parse(VERIFIER).unwrap()
}

fn checkpoint() -> Checkpoint {
    verifier().verify(GOLDEN).unwrap()
}

fn malformed(note: &str) -> bool {
    matches!(verifier().verify(note), Err(NoteError::Malformed(_) | NoteError::Checkpoint(_)))
}

#[test]
fn the_key_of_gos_example() {
    assert_eq!(signer().verifier().to_string(), VERIFIER);
    assert_eq!(verifier(), signer().verifier());
}

#[test]
fn the_golden_checkpoint() {
    let checkpoint = checkpoint();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("PeterNeumann", 8));
    assert_eq!(checkpoint.root[..4], [0x5d, 0xc9, 0xda, 0x79]);
    assert_eq!(signer().sign(&checkpoint), GOLDEN);
}

/// The signature of Go's note holds, and only then is its text found not to be a checkpoint.
#[test]
fn a_good_signature_over_another_text() {
    assert!(matches!(verifier().verify(GO_NOTE), Err(NoteError::Checkpoint(_))));
    assert_eq!(verifier().verify(&GO_NOTE.replace("answer", "Answer")), Err(NoteError::Unsigned));
}

#[test]
fn changed_text() {
    for (from, to) in [("\n8\n", "\n9\n"), ("Xcna", "Xcnb"), ("PeterNeumann\n8", "PeterNeumann2\n8")] {
        let changed = GOLDEN.replacen(from, to, 1);
        assert_ne!(changed, GOLDEN);
        assert_eq!(verifier().verify(&changed), Err(NoteError::Unsigned), "{from:?}");
    }
}

#[test]
fn another_key_of_the_same_name() {
    let other = NoteSigner::from_seed("PeterNeumann", &[7; 32]).unwrap();
    assert_eq!(other.verifier().verify(GOLDEN), Err(NoteError::Unsigned));
}

/// The right key under another name is another key: the name is part of the key's identity.
#[test]
fn the_same_key_by_another_name() {
    let seed = STANDARD.decode(SEED).unwrap().try_into().unwrap();
    let other = NoteSigner::from_seed("PeterNeuman", &seed).unwrap();
    assert_eq!(verifier().verify(&other.sign(&checkpoint())), Err(NoteError::Unsigned));
}

/// Whatever else a log signs is given back as it was signed, and is no checkpoint.
#[test]
fn another_text_is_signed_as_it_is() {
    let text = "a statement\nlog PeterNeumann\n\nwith an empty line\n";
    let note = signer().sign_text(text);
    assert_eq!(verifier().verify_text(&note), Ok(text));
    assert!(malformed(&note));
    assert_eq!(verifier().verify_text(&note.replace("statement", "Statement")), Err(NoteError::Unsigned));
    assert_eq!(verifier().verify_text(GOLDEN).unwrap(), checkpoint().to_text());
}

/// A note by our key for another log's checkpoint does not vouch for ours.
#[test]
fn another_log_s_checkpoint() {
    let other = Checkpoint { origin: "another.example/log".to_owned(), ..checkpoint() };
    assert!(malformed(&signer().sign(&other)));
}

#[test]
fn lines_of_witnesses_are_ignored() {
    let witness = NoteSigner::from_seed("witness.example", &[9; 32]).unwrap().sign(&checkpoint());
    let line = witness.lines().last().unwrap();
    assert_eq!(verifier().verify(&format!("{GOLDEN}{line}\n")), Ok(checkpoint()));
    // Also one that shares our name but not our key.
    let namesake = NoteSigner::from_seed("PeterNeumann", &[9; 32]).unwrap().sign(&checkpoint());
    let line = namesake.lines().last().unwrap();
    assert_eq!(verifier().verify(&format!("{GOLDEN}{line}\n")), Ok(checkpoint()));
    // Alone, neither is enough.
    assert_eq!(verifier().verify(&witness), Err(NoteError::Unsigned));
    assert_eq!(verifier().verify(&namesake), Err(NoteError::Unsigned));
}

/// A line that claims to be ours and is not: somebody is trying.
#[test]
fn a_forged_line_beside_a_good_one() {
    let mut bytes = STANDARD.decode(GOLDEN.lines().last().unwrap().rsplit(' ').next().unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let line = format!("\u{2014} PeterNeumann {}\n", STANDARD.encode(bytes));
    assert_eq!(verifier().verify(&format!("{GOLDEN}{line}")), Err(NoteError::Unsigned));
}

#[test]
fn malformed_notes() {
    let (text, line) = GOLDEN.split_once("\n\n").unwrap();
    for note in [
        String::new(),
        text.to_owned(),
        format!("{text}\n{line}"),
        format!("{text}\n\n"),
        format!("{text}\n\n{}", line.trim_end()),
        format!("{text}\n\n{}\n", &line.trim_end()[..line.len() - 3]),
        format!("{text}\n\n{}", line.replace('\u{2014}', "-")),
        format!("{text}\n\n{}", line.replace('\n', "\r\n")),
        format!("{GOLDEN}garbage\n"),
        format!("{GOLDEN}\u{2014} nobody AAAA\n"),
        format!("{GOLDEN}\u{2014} two words AAAAAAAA\n"),
        GOLDEN.replace("\n8\n", "\n8\t\n"),
        format!("{}{GOLDEN}", "x".repeat(2 << 20)),
    ] {
        assert!(malformed(&note), "{:?}: {:?}", &note[..note.len().min(200)], verifier().verify(&note));
    }
}

/// Well signed, and still not a checkpoint: the parser decides, not the key's holder.
#[test]
fn malformed_checkpoints() {
    let root = STANDARD.encode([0; 32]);
    for text in [
        String::new(),
        "\n".to_owned(),
        "log\n".to_owned(),
        "log\n1\n".to_owned(),
        format!("log\n1\n{root}"),
        format!("\n1\n{root}\n"),
        format!("log\n\n{root}\n"),
        format!("log\n01\n{root}\n"),
        format!("log\n+1\n{root}\n"),
        format!("log\n-1\n{root}\n"),
        format!("log\n1 \n{root}\n"),
        format!("log\n18446744073709551616\n{root}\n"),
        format!("log\n1\n{}\n", STANDARD.encode([0; 31])),
        format!("log\n1\n{}\n", root.trim_end_matches('=')),
        format!("log\n1\n{root} \n"),
        format!("log\n1\n{root}\n\n"),
        format!("log\n1\n{root}\n\nmore\n"),
    ] {
        assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
    }
    let good = Checkpoint {
        origin: "log".to_owned(),
        size: 0,
        root: [0; 32],
        extensions: vec!["an extension".to_owned(), "another".to_owned()],
    };
    let text = format!("log\n0\n{root}\nan extension\nanother\n");
    assert_eq!(good.to_text(), text);
    assert_eq!(Checkpoint::parse(&text), Ok(good));
    assert!(Checkpoint::parse(&format!("log\n0\n{root}\n\nanother\n")).is_err());
}

#[test]
fn names_that_would_break_the_format() {
    for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b", "a\u{1}b", "a\u{7f}b"] {
        assert!(matches!(NoteSigner::from_seed(name, &[0; 32]), Err(NoteError::Name(_))), "{name:?}");
    }
}

#[test]
fn verifiers_that_are_none() {
    for text in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWAAAA",
        // An algorithm we do not know, with its key hash put right (from the tests of Go's `note`).
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ] {
        assert_eq!(NoteVerifier::parse(text), Err(NoteError::Key), "{text:?}");
    }
}

proptest! {
    #[test]
    fn signed_and_read_back(size in any::<u64>(), root in any::<[u8; 32]>(), seed in any::<[u8; 32]>()) {
        let signer = NoteSigner::from_seed("remit.example/journal", &seed).unwrap();
        let checkpoint = Checkpoint { origin: signer.name().to_owned(), size, root, extensions: Vec::new() };
        let verifier = NoteVerifier::parse(&signer.verifier().to_string()).unwrap();
        prop_assert_eq!(verifier.verify(&signer.sign(&checkpoint)), Ok(checkpoint));
    }

    /// One changed byte anywhere in the text or the signature, and the note is worth nothing.
    #[test]
    fn one_changed_byte(at in any::<prop::sample::Index>(), bit in 0..7_u8) {
        let mut note = GOLDEN.as_bytes().to_vec();
        let at = at.index(note.len());
        note[at] ^= 1 << bit;
        if let Ok(note) = String::from_utf8(note) {
            prop_assert!(verifier().verify(&note).is_err());
        }
    }

    #[test]
    fn any_text_is_answered(text in "(\\PC|\n|\u{2014} )*") {
        prop_assert!(verifier().verify(&text).is_err());
        let _ = Checkpoint::parse(&text);
        prop_assert!(NoteVerifier::parse(&text).is_err());
    }
}
