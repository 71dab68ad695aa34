//! principals.toml: what it may say, what not, and what its digest is of.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use remit_trust::principals::{PrincipalKind, Principals, PrincipalsError};
use remit_trust::{KeyError, SigningKey, VerifyingKey};

fn parse(text: &str) -> Result<Principals, PrincipalsError> {
    Principals::parse(text, "principals.toml", Path::new("/nowhere"))
}

fn pem() -> (SigningKey, String) {
    let key = SigningKey::generate().unwrap();
    let text = format!("'''{}'''", key.verifying_key().to_text());
    (key, text)
}

/// One principal with one key, which has `more` lines.
fn principal(name: &str, key: &str, more: &str) -> String {
    format!("[[principal]]\nname = '{name}'\nkind = 'human'\n[[principal.key]]\npublic = {key}\n{more}\n")
}

/// The words of a refusal that is not the parser's.
fn value(text: &str) -> String {
    match parse(text).unwrap_err() {
        PrincipalsError::Value { file, detail } => {
            assert_eq!(file, "principals.toml");
            detail
        }
        other => panic!("{other:?}"),
    }
}

/// The words of a refusal by the parser.
fn malformed(text: &str) -> String {
    match parse(text).unwrap_err() {
        PrincipalsError::Malformed { file, detail } => {
            assert_eq!(file, "principals.toml");
            detail
        }
        other => panic!("{other:?}"),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn people_and_software_with_keys() {
    let ((dana, dana_pem), (bot, bot_pem)) = (pem(), pem());
    let text = format!(
        "[break-glass]\nquorum = 2\ngroup = 'on-call'\n{}[[principal]]\nname = 'triage-bot'\nkind = 'agent'\ngroups = ['bots', 'on-call']\n[[principal.key]]\npublic = {bot_pem}\n",
        principal("dana", &dana_pem, "")
    );
    let all = parse(&text).unwrap();
    assert_eq!(all.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["dana", "triage-bot"]);
    assert_eq!(all.get("triage-bot").unwrap().kind, PrincipalKind::Agent);
    assert!(all.get("triage-bot").unwrap().groups.contains("bots"));
    assert!(all.get("nobody").is_none());
    assert_eq!(all.holder(&dana.verifying_key().id()).unwrap().name, "dana");
    assert_eq!(all.holder(&bot.verifying_key().id()).unwrap().name, "triage-bot");
    assert!(all.holder(&pem().0.verifying_key().id()).is_none());
    assert_eq!(all.keys().len(), 2);
    assert_eq!(all.break_glass().unwrap().quorum, 2);
}

#[test]
fn nobody_is_no_error_but_nobody() {
    let none = parse("").unwrap();
    assert_eq!(none.iter().count(), 0);
    assert!(none.break_glass().is_none());
    assert!(!none.in_force(&pem().0.verifying_key().id(), Timestamp::UNIX_EPOCH));
}

#[test]
fn the_same_name_twice() {
    let text = principal("dana", &pem().1, "") + &principal("dana", &pem().1, "");
    assert_eq!(value(&text), "dana is there twice");
}

#[test]
fn names_that_are_none() {
    let long = "a".repeat(65);
    for name in ["", "Dana", "dana k", "-dana", "dana.", "d\u{e4}na", "dana/../root", "dana\u{202e}", &long] {
        let refused = value(&principal(name, &pem().1, ""));
        assert!(refused.contains("is no name for a principal"), "{name}: {refused}");
        assert!(!refused.contains('\u{202e}'), "{refused}");
    }
    let text = principal("dana", &pem().1, "").replace("kind", "groups = ['On Call']\nkind");
    assert!(value(&text).contains("`On Call` is no name for a group"));
    parse(&principal(&"a".repeat(64), &pem().1, "")).unwrap();
}

#[test]
fn a_principal_without_a_key() {
    let refused = value("[[principal]]\nname = 'dana'\nkind = 'human'\n");
    assert_eq!(refused, "dana has no key: it could never prove to be itself");
}

#[test]
fn a_key_that_is_no_key() {
    for (key, why) in [
        ("'hello'", "neither PEM nor an OpenSSH public key"),
        ("''", "neither PEM nor one line"),
        ("'-----BEGIN PUBLIC KEY-----'", "not whole PEM"),
    ] {
        match parse(&principal("dana", key, "")).unwrap_err() {
            PrincipalsError::Key(KeyError::Unusable { shown, why: found }) => {
                assert_eq!(shown, "a key of dana");
                assert!(found.contains(why), "{found}");
            }
            other => panic!("{other:?}"),
        }
    }
    // A private key is no public one, and is not repeated in the error.
    let (key, _) = pem();
    let private = key.to_pem();
    let refused = parse(&principal("dana", &format!("'''{}'''", *private), "")).unwrap_err();
    assert!(matches!(refused, PrincipalsError::Key(KeyError::Unusable { .. })));
    assert!(!format!("{refused:?}").contains(&private[40..80]), "{refused:?}");
}

#[test]
fn a_key_both_here_and_in_a_file_or_neither() {
    let refused = value(&principal("dana", &pem().1, "file = 'dana.pub'"));
    assert_eq!(refused, "a key of dana needs either `file` or `public`");
    let refused = value("[[principal]]\nname = 'dana'\nkind = 'human'\n[[principal.key]]\n");
    assert_eq!(refused, "a key of dana needs either `file` or `public`");
}

#[test]
fn a_key_file_that_is_not_there() {
    let text = "[[principal]]\nname = 'dana'\nkind = 'human'\n[[principal.key]]\nfile = 'dana.pub'\n";
    match parse(text).unwrap_err() {
        PrincipalsError::Key(KeyError::File(error)) => assert_eq!(error.shown(), "/nowhere/dana.pub"),
        other => panic!("{other:?}"),
    }
    let refused = Principals::load(Path::new("/nowhere/principals.toml")).unwrap_err();
    assert!(matches!(refused, PrincipalsError::File(_)), "{refused:?}");
}

/// An OpenSSH line and the PEM of one and the same key, made by ssh-keygen.
fn in_two_forms(kind: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&[&["-q", "-N", "", "-C", "dana@desk", "-f", "k", "-t"], kind].concat());
    let line = fs::read_to_string(folder.path().join("k.pub")).unwrap();
    // ssh-keygen writes Ed25519 keys in no PEM: what stands before the point is fixed (RFC 8410).
    let pem = if kind[0] == "ed25519" {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let wire = STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap();
        let der = [&hex::decode("302a300506032b6570032100").unwrap(), &wire[wire.len() - 32..]].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    } else {
        run(&["-e", "-m", "PKCS8", "-f", "k.pub"])
    };
    (line, pem)
}

#[test]
fn attack_one_key_in_two_forms_under_two_names() {
    for kind in [&["ed25519"][..], &["ecdsa", "-b", "256"]] {
        let (line, pem) = in_two_forms(kind);
        let (line, pem) = (format!("'{}'", line.trim()), format!("'''{pem}'''"));
        for (first, second) in [(&line, &pem), (&pem, &line), (&pem, &pem), (&line, &line)] {
            let refused = value(&(principal("dana", first, "") + &principal("erik", second, "")));
            assert!(refused.contains("erik has the key"), "{refused}");
            assert!(refused.contains("that dana has: one key proves one identity"), "{refused}");
        }
        // With another comment it is the same key.
        let other = line.replace("dana@desk", "erik@desk");
        let refused = value(&(principal("dana", &line, "") + &principal("erik", &other, "")));
        assert!(refused.contains("that dana has"), "{refused}");
        // One of one's own twice, be it at different times.
        let twice = principal("dana", &line, "until = 2026-01-01T00:00:00Z")
            + &format!("[[principal.key]]\npublic = {pem}\nfrom = 2026-01-01T00:00:00Z\n");
        assert!(value(&twice).contains("that it already has"), "{}", value(&twice));
    }
}

#[test]
fn dates_that_cannot_be() {
    let (_, key) = pem();
    for (from, until) in [
        ("2026-06-01T00:00:00Z", "2026-05-01T00:00:00Z"),
        ("2026-06-01T00:00:00Z", "2026-06-01T00:00:00Z"),
        ("2026-06-01T00:00:00Z", "2026-06-01T02:00:00+02:00"),
    ] {
        let refused = value(&principal("dana", &key, &format!("from = {from}\nuntil = {until}")));
        assert!(refused.starts_with("a key of dana counts until"), "{refused}");
    }
    for date in ["yesterday", "2026-02-30T00:00:00Z", "2026-06-01", "2026-06-01T00:00:00", ""] {
        let refused = malformed(&principal("dana", &key, &format!("from = {date}")));
        assert!(refused.contains("line "), "{refused}");
        assert!(refused.contains('^'), "{refused}");
    }
}

#[test]
fn fields_that_nobody_knows_are_pointed_at() {
    let (_, key) = pem();
    let good = principal("dana", &key, "");
    for (text, word, line) in [
        (format!("{good}form = '2026-01-01T00:00:00Z'\n"), "form", good.lines().count() + 1),
        (good.replace("kind =", "role = 'admin'\nkind ="), "role", 3),
        (format!("[brake-glass]\nquorum = 1\n{good}"), "brake-glass", 1),
        (format!("[break-glass]\nquorum = 1\ngroup = 'a'\nuntil = 3\n{good}"), "until", 4),
    ] {
        let refused = malformed(&text);
        assert!(refused.contains(&format!("unknown field `{word}`")), "{refused}");
        assert!(refused.contains(&format!("line {line}, column ")), "{word} in line {line}: {refused}");
        assert!(refused.contains('^'), "{refused}");
    }
    let refused = malformed(&good.replace("'human'", "'person'"));
    assert!(refused.contains("unknown variant `person`"), "{refused}");
    assert!(malformed(&good.replace("name = 'dana'", "")).contains("missing field `name`"));
    assert!(malformed("[[principal]\n").contains("line 1"));
    assert!(malformed("principal = 3").contains("line 1"));
}

#[test]
fn a_break_glass_that_breaks_nothing() {
    let good = principal("dana", &pem().1, "");
    for (quorum, group) in [("0", "on-call"), ("1", ""), ("1", "On Call")] {
        let refused = value(&format!("[break-glass]\nquorum = {quorum}\ngroup = '{group}'\n{good}"));
        assert!(refused.contains("quorum of at least 1 and the name of a group"), "{refused}");
    }
    assert!(malformed("[break-glass]\nquorum = -1\ngroup = 'a'\n").contains("line 2"));
    assert!(malformed("[break-glass]\nquorum = 1\n").contains("missing field `group`"));
}

#[test]
fn a_key_counts_from_its_first_moment_to_before_its_last() {
    let (key, text) = pem();
    let id = key.verifying_key().id();
    let (from, until) = ("from = 2026-06-01T00:00:00Z", "until = 2026-07-01T00:00:00Z");
    let (before, first) = (at("2026-05-31T23:59:59.999999999Z"), at("2026-06-01T00:00:00Z"));
    let (last, after) = (at("2026-06-30T23:59:59.999999999Z"), at("2026-07-01T00:00:00Z"));
    for (more, expected) in [
        (format!("{from}\n{until}"), [false, true, true, false]),
        (from.to_owned(), [false, true, true, true]),
        (until.to_owned(), [true, true, true, false]),
        (String::new(), [true; 4]),
    ] {
        let all = parse(&principal("dana", &text, &more)).unwrap();
        let found = [before, first, last, after].map(|when| all.in_force(&id, when));
        assert_eq!(found, expected, "{more}");
        // What it signed in its time stays verifiable, and whose it is known.
        assert_eq!(all.keys(), [key.verifying_key()]);
        assert_eq!(all.holder(&id).unwrap().name, "dana");
        assert!(!all.in_force(&pem().0.verifying_key().id(), first), "a stranger's");
    }
}

#[test]
fn each_key_has_its_own_time() {
    let ((old, old_text), (new, new_text)) = (pem(), pem());
    let text = principal("dana", &old_text, "until = 2026-06-01T00:00:00Z")
        + &format!("[[principal.key]]\npublic = {new_text}\nfrom = 2026-06-01T00:00:00Z\n");
    let all = parse(&text).unwrap();
    for (when, expected) in [("2026-05-31T23:59:59Z", [true, false]), ("2026-06-01T00:00:00Z", [false, true])]
    {
        assert_eq!([&old, &new].map(|key| all.in_force(&key.verifying_key().id(), at(when))), expected);
    }
}

#[test]
fn the_digest_is_of_what_the_file_means() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let at = |name: &str| folder.path().join(name);
    let put = |name: &str, key: VerifyingKey| fs::write(at(name), key.to_text()).unwrap();
    put("dana.pub", first.verifying_key());
    put("erik.pub", second.verifying_key());
    let load = |text: &str| {
        fs::write(at("principals.toml"), text).unwrap();
        Principals::load(&at("principals.toml")).unwrap().digest()
    };
    let one = "[[principal]]\nname = 'dana'\nkind = 'human'\ngroups = ['a', 'b']\n[[principal.key]]\nfile = 'dana.pub'\nfrom = 2026-01-01T00:00:00Z\n";
    let two = "[[principal]]\nname = 'erik'\nkind = 'service'\n[[principal.key]]\nfile = 'erik.pub'\n";
    let glass = "[break-glass]\nquorum = 1\ngroup = 'a'\n";
    let text = format!("{glass}{one}{two}");
    let digest = load(&text);

    // The layout: comments, order, spelling, where the key lies, how its file is laid out.
    let inline =
        one.replace("file = 'dana.pub'", &format!("public = '''{}'''", first.verifying_key().to_text()));
    for same in [
        format!("# who is who\n{glass}\n\n{two}\n{one}"),
        format!("{glass}{}{two}", one.replace("'a', 'b'", "'b', 'a', 'a'")),
        format!("{glass}{}{two}", one.replace("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00")),
        format!("{glass}{inline}{two}"),
        text.replace('\'', "\""),
    ] {
        assert_eq!(load(&same), digest, "{same}");
    }
    fs::write(at("dana.pub"), first.verifying_key().to_text().replace('\n', "\r\n")).unwrap();
    assert_eq!(load(&text), digest);
    put("dana.pub", first.verifying_key());

    // The meaning.
    let mut seen = vec![digest];
    for other in [
        format!("{one}{two}"),
        format!("{glass}{one}"),
        text.replace("quorum = 1", "quorum = 2"),
        text.replace("group = 'a'", "group = 'b'"),
        text.replace("service", "agent"),
        text.replace("erik'", "erika'"),
        text.replace("['a', 'b']", "['a']"),
        text.replace("2026-01-01", "2026-01-02"),
        text.replace("from =", "until ="),
        format!("{text}until = 2027-01-01T00:00:00Z\n"),
        // Who has which key.
        text.replace("dana.pub", "x").replace("erik.pub", "dana.pub").replace("'x'", "'erik.pub'"),
    ] {
        let found = load(&other);
        assert!(!seen.contains(&found), "{other}");
        seen.push(found);
    }
    // A key file, with the text as it was.
    put("dana.pub", SigningKey::generate().unwrap().verifying_key());
    assert!(!seen.contains(&load(&text)));
    put("dana.pub", first.verifying_key());
    assert_eq!(load(&text), digest);
}

#[test]
fn an_operator_is_a_person_of_the_file() {
    let (_, a) = pem();
    let (_, b) = pem();
    let (alice, bot) = (principal("alice", &a, ""), principal("bot", &b, ""));
    let software = |line: &str| bot.replace("'human'", &format!("'agent'\n{line}"));
    let with = |line: &str| format!("{alice}{}", software(line));
    let read = parse(&with("operator = 'alice'")).unwrap();
    assert_eq!(read.get("bot").unwrap().operator.as_deref(), Some("alice"));
    assert_ne!(read.digest(), parse(&with("")).unwrap().digest(), "it is signed");
    assert!(value(&with("operator = 'carol'")).contains("`carol`, which is no principal of this file"));
    assert!(value(&with("operator = 'bot'")).contains("operated by bot, which is software"));
    let person = format!("{}{}", alice.replace("'human'", "'human'\noperator = 'bot'"), software(""));
    assert!(value(&person).contains("alice is a person, and nobody operates a person"));
}

/// Rules in which the service `ci` has one identity, by an issuer with these lines.
fn with_identity(issuer: &str, identity: &str) -> String {
    format!(
        "[[issuer]]\nname = 'jobs'\naudience = 'remit'\n{issuer}\n[[principal]]\nname = 'ci'\nkind = 'service'\n\
         [[principal.identity]]\nissuer = 'jobs'\n{identity}\n"
    )
}

const GITHUB: &str = "kind = 'github'\nurl = 'https://token.actions.githubusercontent.com'";
const GITLAB: &str = "kind = 'gitlab'\nurl = 'https://gitlab.com'";
const OIDC: &str = "kind = 'oidc'\nurl = 'https://issuer.example/realms/one'";
const REPOSITORY: &str = "repository_id = '74'\nrepository_owner_id = '65'";

#[test]
fn an_identity_names_whose_jobs_are_meant() {
    let digest = |text: &str| parse(text).unwrap().digest();
    let good = with_identity(GITHUB, REPOSITORY);
    let read = parse(&good).unwrap();
    assert!(read.get("ci").unwrap().keys.is_empty() && read.get("ci").unwrap().identities.len() == 1);
    // All of it is signed.
    for (of, to) in [
        ("'74'", "'75'"),
        ("audience = 'remit'", "audience = 'remit2'"),
        ("kind = 'github'", "kind = 'github'\nttl = '5m'"),
        ("kind = 'github'", "kind = 'github'\naccepts = 'bearer'"),
        ("kind = 'github'", "kind = 'github'\njwks = 'https://token.actions.githubusercontent.com/other'"),
    ] {
        assert_ne!(digest(&good), digest(&good.replace(of, to)), "{to}");
    }
    assert_eq!(digest(&good), digest(&good.replace("kind = 'github'", "kind = 'github'\nttl = 'PT10M'")));
    for (issuer, identity, words) in [
        (GITHUB, "", "does not name `repository_id`"),
        (GITHUB, "repository_id = '74'", "does not name `repository_owner_id`"),
        (GITHUB, "ref = 'refs/heads/main'\nenvironment = 'production'", "does not name `repository_id`"),
        (GITHUB, "repository_id = 74\nrepository_owner_id = '65'", "write it in quotes"),
        (GITHUB, "repository_id = 'octo/shop'\nrepository_owner_id = '65'", "a number in quotes"),
        (GITHUB, "repository_id = ''\nrepository_owner_id = '65'", "a number in quotes"),
        (GITHUB, &format!("{REPOSITORY}\nsub = 'repo:octo/shop'"), "`sub` is none of its claims"),
        (GITHUB, &format!("{REPOSITORY}\nevent_name = 'pull_request'"), "what a pull request brings"),
        (GITHUB, &format!("{REPOSITORY}\nevent_name = 'pull_request_target'"), "what a pull request brings"),
        (GITHUB, &format!("{REPOSITORY}\nenvironment = ''"), "`environment` is empty"),
        (GITLAB, "project_id = '22'", "does not name `namespace_id`"),
        (GITLAB, "project_id = '22'\nnamespace_id = '7'\nref_protected = true", "write it in quotes"),
        (OIDC, "", "it names no claim"),
        (OIDC, "aud = 'remit'", "`aud` is checked of every token"),
        (&GITHUB.replace("github'\n", "oidc'\n"), "sub = 'x'", "is GitHub: its `kind` is"),
        (&OIDC.replace("https", "http"), "sub = 'x'", "is no `url`"),
        (&OIDC.replace("https://issuer.example", "http://127.0.0.1.example.com"), "sub = 'x'", "is no `url`"),
        (&OIDC.replace("https://issuer.example", "http://localhost@example.com"), "sub = 'x'", "is no `url`"),
        (&format!("{OIDC}\njwks = 'http://keys.example'"), "sub = 'x'", "is no `jwks`"),
        (&format!("{OIDC}\nttl = '11m'"), "sub = 'x'", "at most 10m"),
        (&format!("{OIDC}\nttl = '0s'"), "sub = 'x'", "at most 10m"),
    ] {
        let told = value(&with_identity(issuer, identity));
        assert!(told.contains(words), "{issuer}\n{identity}\n{told}");
    }
    parse(&with_identity(&OIDC.replace("https://issuer.example", "http://127.0.0.1:8080"), "sub = 'x'"))
        .unwrap();
    // Some have a slash at the end of their `iss`, and it must be exactly that.
    parse(&with_identity("kind = 'oidc'\nurl = 'https://tenant.example/'", "sub = 'x'")).unwrap();
    assert!(value(&good.replace("'remit'", "' '")).contains("has no `audience`"));
    assert!(value(&good.replace("issuer = 'jobs'", "issuer = 'other'")).contains("no [[issuer]] is called"));
    assert!(value(&good.replace("'service'", "'human'")).contains("so that a person needs a key"));
    let two = |more: &str| format!("[[issuer]]\nname = 'two'\n{more}\n{good}");
    assert!(value(&two(&format!("{GITHUB}\naudience = 'other'"))).contains("are one: name it once"));
    let same = format!("{GITHUB}\naudience = 'remit'\naccepts = 'bearer'");
    assert!(value(&two(&same)).contains("have the same audience"));
    parse(&two(&same.replace("'remit'", "'remit/mcp'"))).unwrap();
    let twice = good.clone() + &good[good.find("[[principal]]").unwrap()..].replace("'ci'", "'cd'");
    assert_eq!(value(&twice), "ci has an identity by jobs and cd too: one token proves one identity");
    let (_, identity) = good.split_once("[[principal.identity]]").unwrap();
    let twice = format!("{good}[[principal.identity]]{identity}");
    assert_eq!(value(&twice), "ci has an identity by jobs twice: one token proves one identity");
    for (of, to) in [("kind = 'github'", "kind = 'github'\nx = 1"), ("'74'", "[1]"), ("'github'", "'gitea'")]
    {
        malformed(&good.replace(of, to));
    }
}
