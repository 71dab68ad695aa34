//! JSON Web Signatures: the examples of the standards hold, and what is only like them does not.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use crate::common::{Maker, decode, encode};
use remit_trust::jws::{Jwk, Unverified};
use serde_json::{Value, json};

/// RFC 7515, A.2: RS256.
const RSA: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
/// RFC 7515, A.3: ES256.
const P256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// RFC 8037, A.4: `EdDSA`, over a text that is no JSON.
const ED25519: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// The keys of these examples.
fn examples() -> [Value; 3] {
    [
        json!({"kty": "RSA", "n": RSA_N, "e": "AQAB"}),
        json!({
            "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }),
        json!({"kty": "OKP", "crv": "Ed25519", "x": ED25519_X}),
    ]
}

fn jwk(value: Value) -> Jwk {
    serde_json::from_value(value).unwrap()
}

fn parse(token: &str) -> Result<Unverified<Value>, String> {
    Unverified::<Value>::parse(token)
}

/// What a token says, by this algorithm and key.
fn verify(token: &str, algorithm: &str, key: &Value) -> Result<Value, String> {
    parse(token)?.verify(algorithm, &jwk(key.clone()))
}

fn why(token: &str) -> String {
    parse(token).err().unwrap_or_else(|| "it is taken apart".to_owned())
}

#[test]
fn the_examples_of_the_standards_hold() {
    let [rsa, p256, ed25519] = examples();
    for (token, algorithm, key) in [(RSA, "RS256", &rsa), (P256, "ES256", &p256)] {
        let claims = verify(token, algorithm, key).unwrap();
        assert_eq!(claims, json!({"iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true}));
        assert_eq!(parse(token).unwrap().header, json!({"alg": algorithm}));
    }
    let told = verify(ED25519, "EdDSA", &ed25519).unwrap_err();
    assert!(told.starts_with("its claims: "), "the signature holds, and what is signed is no JSON: {told}");
}

#[test]
fn thumbprints_are_those_of_the_standards() {
    let [_, _, ed25519] = examples();
    // RFC 8037, A.3, with members that do not count.
    let mut more = ed25519;
    more["kid"] = "one".into();
    more["x5u"] = "https://example.com".into();
    assert_eq!(jwk(more).thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    // RFC 7638, 3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
    assert_eq!(jwk(rsa).thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

/// Each key with the algorithms of its signatures.
fn makers() -> [(Maker, &'static [&'static str]); 3] {
    [(Maker::rsa(), &["RS256", "PS256"]), (Maker::p256(), &["ES256"]), (Maker::ed25519(), &["EdDSA"])]
}

const ALGORITHMS: [&str; 16] = [
    "none", "None", "", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "EdDSA", "es256",
];

#[test]
fn a_signature_holds_for_its_own_text_key_and_algorithm_only() {
    let makers = makers();
    for (maker, own) in &makers {
        for algorithm in *own {
            let token = maker.token(&json!({"alg": algorithm}), &json!({"sub": "one"}));
            let key = maker.jwk();
            assert_eq!(verify(&token, algorithm, &key).unwrap(), json!({"sub": "one"}), "{algorithm}");

            // Any bit of any part: the first, and the last whole one.
            let parts: Vec<&str> = token.split('.').collect();
            let signature = decode(parts[2]);
            for at in [0, signature.len() / 2, signature.len() - 1] {
                let mut flipped = signature.clone();
                flipped[at] ^= 1;
                let flipped = format!("{}.{}.{}", parts[0], parts[1], encode(flipped));
                let told = verify(&flipped, algorithm, &key).unwrap_err();
                assert_eq!(told, "its signature does not hold", "{algorithm}, byte {at}");
            }
            let longer = [&signature[..], &[0]].concat();
            for other in [&[][..], &signature[1..], &signature[..signature.len() - 1], &longer] {
                let other = format!("{}.{}.{}", parts[0], parts[1], encode(other));
                assert_eq!(verify(&other, algorithm, &key).unwrap_err(), "its signature does not hold");
            }
            let claims = encode(r#"{"sub":"two"}"#);
            let moved = format!("{}.{claims}.{}", parts[0], parts[2]);
            assert_eq!(verify(&moved, algorithm, &key).unwrap_err(), "its signature does not hold");
            let header = encode(json!({"alg": algorithm, "kid": "x"}).to_string());
            let moved = format!("{header}.{}.{}", parts[1], parts[2]);
            assert_eq!(verify(&moved, algorithm, &key).unwrap_err(), "its signature does not hold");

            // What the token says of itself never chooses among what the key is not for.
            for said in ALGORITHMS.into_iter().filter(|said| !own.contains(said)) {
                let told = verify(&token, said, &key).unwrap_err();
                assert_eq!(told, format!("its `alg` is `{said}`, and the key is for {}", own.join(" and ")));
            }
            for (other, theirs) in &makers {
                if theirs != own {
                    verify(&token, algorithm, &other.jwk()).unwrap_err();
                    assert_eq!(
                        verify(&token, theirs[0], &other.jwk()).unwrap_err(),
                        "its signature does not hold"
                    );
                }
            }
        }
    }
    // The two of RSA are not each other, and one key of a kind is not another.
    let rsa = Maker::rsa();
    for (made, said) in [("RS256", "PS256"), ("PS256", "RS256")] {
        let token = rsa.token(&json!({"alg": made}), &json!({}));
        assert_eq!(verify(&token, said, &rsa.jwk()).unwrap_err(), "its signature does not hold");
    }
    for (one, other) in [(Maker::p256(), Maker::p256()), (Maker::ed25519(), Maker::ed25519())] {
        let algorithm = if matches!(one, Maker::P256(_)) { "ES256" } else { "EdDSA" };
        let token = one.token(&json!({"alg": algorithm}), &json!({}));
        verify(&token, algorithm, &one.jwk()).unwrap();
        assert_eq!(verify(&token, algorithm, &other.jwk()).unwrap_err(), "its signature does not hold");
    }
    // In the refusal, no more of an algorithm than a screen bears.
    let told = verify(P256, &"\u{202e}x".repeat(500), &examples()[1]).unwrap_err();
    assert!(told.len() < 80 && !told.contains('\u{202e}'), "{told}");
}

#[test]
fn keys_that_verify_nothing() {
    let [_, p256, ed25519] = examples();
    let changed = |key: &Value, name: &str, value: &str| {
        let mut key = key.clone();
        key[name] = value.into();
        key
    };
    let (x, y) = (p256["x"].as_str().unwrap(), p256["y"].as_str().unwrap());
    for (token, algorithm, key, words) in [
        (P256, "ES256", changed(&p256, "crv", "P-384"), "the curve `P-384` is neither P-256 nor Ed25519"),
        (P256, "ES256", changed(&p256, "crv", "Ed25519"), "the curve `Ed25519` is neither"),
        (P256, "ES256", changed(&p256, "crv", ""), "the curve `` is neither"),
        (ED25519, "EdDSA", changed(&ed25519, "crv", "Ed448"), "the curve `Ed448` is neither"),
        (ED25519, "EdDSA", changed(&ed25519, "crv", "P-256"), "the curve `P-256` is neither"),
        (ED25519, "EdDSA", changed(&ed25519, "crv", "X25519"), "the curve `X25519` is neither"),
        (P256, "ES256", changed(&p256, "d", "AA"), "its key is a private one"),
        (ED25519, "EdDSA", changed(&ed25519, "d", "AA"), "its key is a private one"),
        (RSA, "RS256", changed(&examples()[0], "d", "AA"), "its key is a private one"),
        (P256, "ES256", changed(&p256, "x", y), "its signature does not hold"),
        (P256, "ES256", changed(&p256, "x", &encode([0; 31])), "not 32 bytes long"),
        (P256, "ES256", changed(&p256, "y", ""), "not 32 bytes long"),
        (P256, "ES256", changed(&p256, "x", &encode([0; 33])), "not 32 bytes long"),
        (P256, "ES256", changed(&p256, "x", &format!("{x}=")), "Invalid"),
        (P256, "ES256", changed(&p256, "x", &encode([0; 32])), "its signature does not hold"),
        (ED25519, "EdDSA", changed(&ed25519, "x", &encode([0; 31])), "not 32 bytes long"),
        (RSA, "RS256", changed(&examples()[0], "n", ""), "its signature does not hold"),
        (RSA, "RS256", changed(&examples()[0], "n", "+/"), "Invalid"),
        (RSA, "RS256", changed(&examples()[0], "e", "AQ"), "its signature does not hold"),
        (RSA, "RS256", changed(&examples()[0], "e", "="), "Invalid"),
    ] {
        let told = verify(token, algorithm, &key).unwrap_err();
        assert!(told.contains(words), "{key}: {told}");
    }
    // Kinds of keys that are none of the three, of which one is a shared secret.
    for key in [json!({"kty": "oct", "k": "AAAA"}), json!({"kty": "EC", "crv": "P-256"}), json!({})] {
        assert!(serde_json::from_value::<Jwk>(key.clone()).is_err(), "{key}");
    }
    // A private half is in no text of ours.
    let private = jwk(changed(&p256, "d", "c2VjcmV0"));
    assert!(!serde_json::to_string(&private).unwrap().contains("c2VjcmV0"));
    // A modulus of 1024 bits is too short, whoever publishes it.
    let short = Maker::rsa().sign("RS256", b"x");
    let key = json!({"kty": "RSA", "n": encode(&short[..128]), "e": "AQAB"});
    assert_eq!(verify(RSA, "RS256", &key).unwrap_err(), "its signature does not hold");
}

#[test]
fn what_is_no_token() {
    let [header, claims, signature] = P256.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for (token, words) in [
        (String::new(), "three parts"),
        (".".to_owned(), "three parts"),
        (format!("{header}.{claims}"), "three parts"),
        (format!("{P256}.{signature}"), "three parts"),
        (format!("{P256}."), "three parts"),
        ("..".to_owned(), "its header: "),
        (format!(".{claims}.{signature}"), "its header: "),
        (format!("{}.{claims}.{signature}", encode("{}x")), "its header: "),
        (format!("{}.{claims}.{signature}", encode([0xff])), "its header: "),
        // JSON in which one name has two values: each reader would take its own.
        (format!("{}.{claims}.{signature}", encode(r#"{"alg":"ES256","alg":"none"}"#)), "its header: "),
        // One spelling only: no padding, no other alphabet, no spaces, no bits left over.
        (format!("{header}=.{claims}.{signature}"), "Invalid"),
        (format!("{header}.{claims}.{signature}=="), "Invalid"),
        (format!("{header}.{claims}.{signature}\n"), "Invalid"),
        (format!(" {P256}"), "Invalid"),
        (P256.replace('-', "+"), "Invalid"),
        (format!("{header}.{claims}.{}R", &signature[..signature.len() - 1]), "Invalid"),
        (format!("{header}.{claims}!.{signature}"), "Invalid"),
        (format!("{header}.{claims}.\u{e9}"), "Invalid"),
    ] {
        let told = why(&token);
        assert!(told.contains(words), "{token}: {told}");
    }
    // Claims are read when the signature holds, as strictly.
    let maker = Maker::ed25519();
    for claims in ["", "{", "{} {}", r#"{"a":1,"a":2}"#] {
        let token = maker.token_of(r#"{"alg":"EdDSA"}"#, claims);
        let told = verify(&token, "EdDSA", &maker.jwk()).unwrap_err();
        assert!(told.starts_with("its claims: "), "{claims}: {told}");
        let said = parse(&token).unwrap().claimed::<Value>().unwrap_err();
        assert_eq!(said, told);
    }
}

#[test]
fn a_token_has_at_most_16_kibibytes() {
    let header = encode(r#"{"alg":"ES256"}"#);
    let of = |length: usize| format!("{header}..{}", "A".repeat(length - header.len() - 2));
    assert_eq!((of(16_384).len(), of(16_385).len()), (16_384, 16_385));
    assert_eq!(why(&of(16_384)), "it is taken apart");
    assert_eq!(why(&of(16_385)), "it is longer than 16384 bytes");
    assert_eq!(why(&"A".repeat(16_385)), "it is longer than 16384 bytes");
}
