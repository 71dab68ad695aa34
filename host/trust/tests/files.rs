//! Key files, sealing, digests: what is on disk, what is shown, what opens.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use miette::Diagnostic as _;
use proptest::prelude::*;
use remit_trust::{
    Digest, KeyError, SealError, Sealed, Sealer, SecretBytes, SigningKey, VerifyingKey, canonical,
    private_seed,
};
use serde_json::json;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

#[test]
fn a_pair_is_private_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let stem = folder.path().join("ops.alice");
    let key = SigningKey::generate().unwrap();
    let (private, public) = key.write_pair(&stem).unwrap();
    assert_eq!(names(folder.path()), ["ops.alice.key", "ops.alice.pub"]);
    assert_eq!((mode(&private), mode(&public) & 0o600), (0o600, 0o600));
    assert_eq!(SigningKey::load(&private).unwrap().verifying_key(), key.verifying_key());
    assert_eq!(VerifyingKey::load(&public).unwrap(), key.verifying_key());

    let before = (fs::read(&private).unwrap(), fs::read(&public).unwrap());
    let another = SigningKey::generate().unwrap();
    assert!(matches!(another.write_pair(&stem), Err(KeyError::File(_))));
    // Only one of the two is there: the other is not made beside it.
    fs::remove_file(&public).unwrap();
    assert!(matches!(another.write_pair(&stem), Err(KeyError::File(_))));
    assert_eq!(names(folder.path()), ["ops.alice.key"]);
    assert_eq!(fs::read(&private).unwrap(), before.0);
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (private, _) = SigningKey::generate().unwrap().write_pair(&folder.path().join("k")).unwrap();
    for wrong in [0o640, 0o604, 0o620, 0o601, 0o644, 0o660] {
        chmod(&private, wrong);
        let error = SigningKey::load(&private).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { mode, .. } if mode == wrong), "{wrong:o}");
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert_eq!(help, format!("chmod 600 {}", private.display()));
    }
    for right in [0o600, 0o400] {
        chmod(&private, right);
        SigningKey::load(&private).unwrap();
    }
}

#[test]
fn a_file_that_is_missing_or_too_long_or_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k.key");
    assert!(matches!(SigningKey::load(&path), Err(KeyError::File(_))));
    for (contents, why) in
        [(vec![0xff; 40], "neither PEM nor"), (vec![b'-'; 1 << 20], "larger than a key can be")]
    {
        fs::write(&path, contents).unwrap();
        chmod(&path, 0o600);
        let refused = SigningKey::load(&path).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[test]
fn a_seed_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seal.key");
    let seed = private_seed(&path).unwrap();
    assert_eq!(*seed, *private_seed(&path).unwrap());
    assert_eq!((names(folder.path()), mode(&path)), (vec!["seal.key".to_owned()], 0o600));
    assert_ne!(*seed, [0; 32]);
    assert_ne!(remit_trust::random().unwrap(), remit_trust::random().unwrap());

    chmod(&path, 0o644);
    assert!(matches!(private_seed(&path), Err(KeyError::Exposed { .. })));
    assert!(matches!(Sealer::load_or_create(&path), Err(KeyError::Exposed { .. })));
    chmod(&path, 0o600);
    for wrong in [0, 31, 33] {
        fs::write(&path, vec![1; wrong]).unwrap();
        // Never made anew over what is there: what it sealed would be lost.
        assert!(matches!(private_seed(&path), Err(KeyError::Unusable { .. })), "{wrong} bytes");
        assert_eq!(fs::read(&path).unwrap().len(), wrong);
    }

    // It could not be made: what to do about that is said, and not that there is none to read.
    let nowhere = private_seed(&folder.path().join("none/seal.key")).unwrap_err();
    assert_eq!(nowhere.help().unwrap().to_string(), "make the folder first, or correct the path");
}

/// Many processes start at once on a new home: they all end up with one key.
#[test]
fn a_race_for_the_first_seed_has_one_winner() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let seeds: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| *private_seed(&path).unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(seeds.iter().all(|seed| *seed == seeds[0]));
        assert_eq!(names(folder.path()), ["seal.key"]);
    }
}

#[test]
fn sealed_opens_only_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::load_or_create(&folder.path().join("a")).unwrap();
    let sealed = sealer.seal(b"run-1 call 1", b"hunter2").unwrap();
    assert_eq!(*sealer.open(b"run-1 call 1", &sealed).unwrap(), b"hunter2");
    assert_eq!(sealer.open(b"run-1 call 2", &sealed), Err(SealError::Broken));
    assert_eq!(sealer.open(b"", &sealed), Err(SealError::Broken));

    let other = Sealer::load_or_create(&folder.path().join("b")).unwrap();
    assert_eq!(other.open(b"run-1 call 1", &sealed), Err(SealError::Broken));
    let again = Sealer::load_or_create(&folder.path().join("a")).unwrap();
    assert_eq!(*again.open(b"run-1 call 1", &sealed).unwrap(), b"hunter2");

    // The same secret twice does not look the same.
    assert_ne!(sealed, sealer.seal(b"run-1 call 1", b"hunter2").unwrap());
    for cut in 0..sealed.as_bytes().len() {
        let cut = Sealed::from_bytes(sealed.as_bytes()[..cut].to_vec());
        assert_eq!(sealer.open(b"run-1 call 1", &cut), Err(SealError::Broken));
    }
    let text = serde_json::to_string(&sealed).unwrap();
    assert_eq!(serde_json::from_str::<Sealed>(&text).unwrap(), sealed);
    assert!(serde_json::from_str::<Sealed>(&text.replace('=', "")).is_err());
}

#[test]
fn nothing_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seal.key");
    let sealer = Sealer::load_or_create(&path).unwrap();
    let secret = SecretBytes::new(b"hunter2".to_vec());
    assert_eq!(format!("{secret:?}"), "Secret(..)");
    assert_eq!(format!("{:?}", sealer.seal(b"", secret.expose()).unwrap()), "Sealed(35 bytes)");
    assert_eq!(format!("{sealer:?}"), "Sealer(..)");
    let key = SigningKey::generate().unwrap();
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.verifying_key().id().short()));
    // Nor by the error of a file that should be a key and holds something else.
    fs::write(&path, b"hunter2").unwrap();
    assert!(!format!("{:?}", private_seed(&path).unwrap_err()).contains("hunter2"));
    assert!(!format!("{:?}", SigningKey::load(&path).unwrap_err()).contains("hunter2"));
}

#[test]
fn secrets_compare_by_value() {
    let secret = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
    assert_eq!(secret("abc"), secret("abc"));
    for other in ["abd", "xbc", "ab", "abcd", ""] {
        assert_ne!(secret("abc"), secret(other));
    }
}

#[test]
fn a_digest_has_one_spelling() {
    let digest = Digest::of(b"abc");
    let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest.to_string(), text);
    assert_eq!(digest.short(), "ba7816bf8f01");
    assert_eq!(text.parse(), Ok(digest));
    assert_eq!(serde_json::to_value(digest).unwrap(), json!(text));
    assert_eq!(serde_json::from_value::<Digest>(json!(text)).unwrap(), digest);
    for wrong in [
        "",
        "ba78",
        &text[7..],
        &text[..70],
        &text.to_uppercase(),
        &text.replace("ba", "BA"),
        &format!("{text} "),
    ] {
        assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
    }
}

/// The examples of RFC 8785, sections 3.2.2 and 3.2.3.
#[test]
fn canonical_json_is_that_of_the_rfc() {
    let value: serde_json::Value = serde_json::from_str(
        r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
    )
    .unwrap();
    let text = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
    assert_eq!(String::from_utf8(canonical(&value).unwrap()).unwrap(), text);
    // Names are sorted by UTF-16 code units, not by bytes.
    let names =
        json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
    let text = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
    assert_eq!(String::from_utf8(canonical(&names).unwrap()).unwrap(), text);
}

/// Two values that differ must never have the same canonical bytes: large integers would, as doubles.
#[test]
fn integers_that_would_collapse_are_refused() {
    let edge = 9_007_199_254_740_991_i64;
    for exact in [edge, -edge] {
        assert_eq!(canonical(&json!({"n": [exact]})).unwrap(), format!("{{\"n\":[{exact}]}}").into_bytes());
    }
    for inexact in [json!(edge + 1), json!(-edge - 1), json!(u64::MAX), json!(i64::MIN)] {
        assert!(canonical(&inexact).is_err(), "{inexact}");
        let error = canonical(&json!({"deep": [{"n": inexact}]})).unwrap_err();
        assert!(error.to_string().contains(&inexact.to_string()), "{error}");
    }
    // Also where the JSON is passed through as it was written.
    let raw = serde_json::value::RawValue::from_string("9007199254740993".to_owned()).unwrap();
    assert!(canonical(&raw).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn open_takes_back_seal(context in any::<Vec<u8>>(), plain in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::load_or_create(&folder.path().join("k")).unwrap();
        let sealed = sealer.seal(&context, &plain).unwrap();
        prop_assert_eq!(&*sealer.open(&context, &sealed).unwrap(), &plain);
        let mut changed = sealed.as_bytes().to_vec();
        prop_assert_eq!(&*sealer.open(&context, &Sealed::from_bytes(changed.clone())).unwrap(), &plain, "stored");
        let at = at.index(changed.len());
        changed[at] ^= 1 << bit;
        prop_assert_eq!(sealer.open(&context, &Sealed::from_bytes(changed)), Err(SealError::Broken));
    }

    #[test]
    fn canonical_is_a_fixed_point(keys in proptest::collection::btree_map("\\PC*", any::<i32>(), 0..8)) {
        let bytes = canonical(&keys).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(canonical(&read).unwrap(), bytes);
    }
}
