//! Against a server that misbehaves. The real one is in `tests/openbao.rs`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::*;

const TOKEN: &str = "s.very-secret-token";
const VALUE: &str = "hunter2-value";

/// A server on loopback that answers each connection with the next of `answers`, then with the last.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

fn respond(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn serve(answers: Vec<String>) -> Server {
    serve_with(move |count, mut stream| {
        let _ = stream.write_all(answers[count.min(answers.len() - 1)].as_bytes());
    })
}

fn serve_with(answer: impl Fn(usize, TcpStream) + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            seen.lock().unwrap().push(request(&mut stream));
            answer(count, stream);
        }
    });
    Server { address, requests }
}

/// Head and body of one request.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, length)| length.trim().parse().unwrap());
            if body.len() >= length {
                return text.into_owned();
            }
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(length) => bytes.extend_from_slice(&part[..length]),
        }
    }
}

fn config(address: &str) -> OpenBaoConfig {
    OpenBaoConfig {
        address: address.to_owned(),
        mount: "secret".to_owned(),
        namespace: None,
        token_file: Some("token".into()),
        token_env: None,
        ca_file: None,
        // Also for a machine with much else to do.
        timeout: SignedDuration::from_secs(20),
    }
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(home.path().join("token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    home
}

fn open(config: &OpenBaoConfig) -> Result<OpenBao, BackendError> {
    // Kept: the token is read again for each request.
    OpenBao::open(config, &home().keep())
}

fn against(server: &Server) -> OpenBao {
    open(&config(&server.address)).unwrap()
}

fn write(bao: &OpenBao) -> Result<u64, Failure> {
    bao.0.put("a/b", None, 1, &Fields::default().with("password", VALUE.to_owned()))
}

#[test]
fn statuses_mean_what_they_should() {
    const OFTEN: usize = usize::MAX;
    let metadata = r#"{"data":{"created_time":"2026-01-01T00:00:00.5Z","current_version":1,"versions":{}}}"#;
    for (status, body, expected, tries) in [
        // Twice, and twice whether the token counts.
        ("403 Forbidden", r#"{"errors":["permission denied"]}"#, "denied", 4),
        ("401 Unauthorized", "", "denied", 4),
        ("404 Not Found", r#"{"errors":[]}"#, "not found: there is no secret a/b", 2),
        ("404 Not Found", r#"{"errors":["no handler for route \"x\""]}"#, "not found: nothing is mounted", 1),
        ("404 Not Found", "<html>", "not found", 2),
        ("400 Bad Request", r#"{"errors":["odd"]}"#, "invalid", 3),
        (
            "400 Bad Request",
            r#"{"errors":["Upgrading from non-versioned to versioned data. This backend will"]}"#,
            "unavailable: http://[A] answered with status 400: \"Upgrading",
            OFTEN,
        ),
        ("412 Precondition Failed", r#"{"errors":["required index state"]}"#, "unavailable", OFTEN),
        (
            "503 Service Unavailable",
            r#"{"errors":["Vault is sealed"]}"#,
            "unavailable: http://[A] is sealed",
            1,
        ),
        ("503 Service Unavailable", "", "unavailable", OFTEN),
        ("500 Internal Server Error", metadata, "unavailable", OFTEN),
        (
            "429 Too Many Requests",
            r#"{"errors":["rate limit quota exceeded"]}"#,
            "unavailable: http://[A] answered with status 429 (it is busy): \"rate limit quota exceeded\"",
            OFTEN,
        ),
        ("307 Temporary Redirect", "", "unavailable: http://[A] answered with a redirect", 1),
        ("200 OK", "garbage", "unavailable", 1),
        (
            "200 OK",
            r#"{"data":{"created_time":"2026-01-01T00:00:00.5Z","current_version":"one"}}"#,
            "unavailable",
            1,
        ),
        (
            "200 OK",
            r#"{"data":{"created_time":"2026-01-01T00:00:00.5Z","current_version":1,"versions":{"1":{"destroyed":false,"deletion_time":"soon"}}}}"#,
            "unavailable",
            1,
        ),
        ("418 I'm a teapot", "", "invalid", 1),
    ] {
        let server = serve(vec![respond(status, body)]);
        let mut config = config(&server.address);
        if tries == OFTEN {
            config.timeout = SignedDuration::from_millis(1500);
        }
        let failure = open(&config).unwrap().0.metadata("a/b").unwrap_err().to_string();
        let failure = failure.replace(server.address.trim_start_matches("http://"), "[A]");
        assert!(failure.starts_with(expected), "{status} {body}: {failure}");
        let tried = server.requests.lock().unwrap().len();
        // At once, and 50, 150, 350 and 750 ms after the first, if this machine is quick.
        assert!(tried == tries || (tries == OFTEN && (2..=5).contains(&tried)), "{status} {body}: {tried}");
    }
}

const FINE: &str = r#"{"data":{"created_time":"2026-01-01T00:00:00.5Z","current_version":2,"versions":{}}}"#;

/// An answer with a header of its own.
fn with(header: &str, answer: &str) -> String {
    answer.replacen("\r\n", &format!("\r\n{header}\r\n"), 1)
}

/// What a server says to be over soon is waited for, as long as the time allows; what it says to be over late is told at once.
#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let busy = |header: &str| with(header, &respond("429 Too Many", r#"{"errors":["quota"]}"#));
    let fine = respond("200 OK", FINE);
    for (header, waits) in [
        ("Retry-After: 1", 1),
        // Against the server's clock, not ours.
        ("Date: Sun, 01 Jan 2040 00:00:09 GMT\r\nRetry-After: Sun, 01 Jan 2040 00:00:10 GMT", 1),
        ("Date: Sun, 01 Jan 2040 00:00:09 GMT\r\nRetry-After: Sun, 01 Jan 2030 00:00:00 GMT", 0),
        ("Retry-After: Sun, 01 Jan 2040 00:00:10 GMT", 0),
        ("Retry-After: soon", 0),
    ] {
        let server = serve(vec![busy(header), fine.clone()]);
        let started = Instant::now();
        assert_eq!(against(&server).0.metadata("a").unwrap().current, 2, "{header}");
        assert!(started.elapsed().as_secs() >= waits, "{header}");
    }
    let server = serve(vec![busy("Retry-After: 3600"), fine]);
    let started = Instant::now();
    let told = against(&server).0.metadata("a").unwrap_err().to_string();
    assert!(told.ends_with("(it is busy): \"quota\"; it asks to be left alone for 3600s"), "{told}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// A token that is known a moment later, a token that counts and has no policy, and one that is gone.
#[test]
fn a_refused_token_is_looked_at_twice() {
    let (refused, found) = (respond("403 Forbidden", ""), respond("200 OK", FINE));
    let server = serve(vec![refused.clone(), found.clone()]);
    assert_eq!(against(&server).0.metadata("a").unwrap().current, 2);

    let server = serve(vec![respond("429 Busy", ""), refused.clone(), found.clone()]);
    assert_eq!(against(&server).0.metadata("a").unwrap().current, 2);

    let answers = vec![refused.clone(), refused.clone(), found.clone()];
    let policy = against(&serve(answers)).0.metadata("a").unwrap_err().to_string();
    assert!(
        policy.ends_with("the token counts, and its policy lacks [read] on \"secret/metadata/a\""),
        "{policy}"
    );
    let gone = against(&serve(vec![refused.clone()])).0.metadata("a").unwrap_err().to_string();
    assert!(gone.contains("it expired or was revoked, is another server's, or its policy lacks"), "{gone}");

    // A refused write is not sent again; only the token is looked at.
    let server = serve(vec![refused, found]);
    let denied = write(&against(&server)).unwrap_err().to_string();
    assert!(denied.contains("the token counts"), "{denied}");
    let sent = server.requests.lock().unwrap();
    assert_eq!(sent.iter().filter(|sent| sent.starts_with("POST")).count(), 1);
}

#[test]
fn a_secret_may_have_metadata_and_no_version() {
    for body in [
        r#"{"data":{"created_time":"2026-01-01T00:00:00.5Z","current_version":0,"versions":null}}"#,
        r#"{"data":{"current_version":0,"versions":null}}"#,
        r#"{"data":{"created_time":"2026-01-01T00:00:00.5Z","current_version":0,"versions":{}}}"#,
    ] {
        let found = against(&serve(vec![respond("200 OK", body)])).0.metadata("a").unwrap();
        assert_eq!((found.current, found.versions.len()), (0, 0), "{body}");
    }
}

#[test]
fn every_field_that_is_not_text_is_named() {
    let body = r#"{"data":{"data":{"p":"x","port":5432,"n":null,"a`\u0007":[]},"metadata":{"version":1,"destroyed":false}}}"#;
    let refused = against(&serve(vec![respond("200 OK", body)])).0.read("a", 1).unwrap_err().to_string();
    assert!(refused.contains("fields `a`\\u{7}`, `n`, `port` of a are not text"), "{refused}");
}

/// The server's own words are passed on, unless they have a part of what only the server and we know.
#[test]
fn the_servers_words_are_passed_on() {
    let said = |words: &str| respond("400 Bad Request", &format!(r#"{{"errors":["{words}"]}}"#));
    let told = |words: &str| write(&against(&serve(vec![said(words)]))).unwrap_err().to_string();
    assert!(told("value too large").ends_with("secret/data/a/b (status 400): \"value too large\""));
    for echo in [VALUE, &VALUE[3..], TOKEN, &TOKEN[..12]] {
        let told = told(&format!("what is {echo}?"));
        assert!(told.ends_with("(words that are not shown, since they have a part of a secret)"), "{told}");
    }
}

#[test]
fn a_read_is_tried_again_and_a_write_is_not() {
    let fine = respond(
        "200 OK",
        r#"{"data":{"created_time":"2026-01-01T00:00:00.5Z","current_version":2,"versions":{}}}"#,
    );
    let server = serve(vec![respond("500 Oops", ""), String::new(), fine]);
    assert_eq!(against(&server).0.metadata("a/b").unwrap().current, 2);
    assert_eq!(server.requests.lock().unwrap().len(), 3);

    for lost in [
        respond("500 Oops", ""),
        String::new(),
        respond("200 OK", "{}"),
        respond("200 OK", r#"{"data":{"version":1}}"#),
    ] {
        let server = serve(vec![lost]);
        assert!(matches!(write(&against(&server)), Err(Failure::Unavailable(_))));
        assert_eq!(server.requests.lock().unwrap().len(), 1, "a lost write is not repeated");
    }
}

#[test]
fn a_write_sends_check_and_set() {
    let server = serve(vec![respond("200 OK", r#"{"data":{"version":2}}"#)]);
    assert_eq!(write(&against(&server)), Ok(2));
    let sent = server.requests.lock().unwrap()[0].clone();
    assert!(sent.starts_with("POST /v1/secret/data/a/b HTTP/1.1\r\n"), "{sent}");
    assert!(sent.to_lowercase().contains(&format!("x-vault-token: {TOKEN}")));
    assert!(
        sent.ends_with(&format!(r#"{{"options":{{"cas":1}},"data":{{"password":"{VALUE}"}}}}"#)),
        "{sent}"
    );

    let server = serve(vec![respond(
        "400 Bad Request",
        r#"{"errors":["check-and-set parameter did not match the current version"]}"#,
    )]);
    assert!(matches!(write(&against(&server)), Err(Failure::Conflict(_))));
    let server = serve(vec![respond("403 Forbidden", r#"{"errors":["permission denied"]}"#)]);
    let denied = write(&against(&server)).unwrap_err().to_string();
    assert!(
        denied.contains("expired or was revoked")
            && denied.contains("[create, update] on \"secret/data/a/b\""),
        "{denied}"
    );
}

#[test]
fn no_error_repeats_a_secret_that_the_server_says() {
    let echo = format!(
        r#"{{"errors":["{TOKEN} {VALUE}"],"data":{{"data":{{"p":["{VALUE}"]}},"metadata":{{"version":1,"destroyed":false}}}}}}"#
    );
    for status in [
        "200 OK",
        "400 Bad",
        "403 Forbidden",
        "404 Not Found",
        "500 Oops",
        "503 Sealed",
        "302 Found",
        "999 What",
        VALUE,
    ] {
        let mut config = config(&serve(vec![respond(status, &echo)]).address);
        config.timeout = SignedDuration::from_secs(1);
        let bao = open(&config).unwrap();
        let failures = [
            bao.0.metadata("a").map(drop),
            bao.0.read("a", 1).map(drop),
            write(&bao).map(drop),
            bao.0.check("").map(drop),
        ];
        for failure in failures {
            let shown = format!("{:?}", failure.unwrap_err());
            assert!(!shown.contains(TOKEN) && !shown.contains(VALUE), "{status}: {shown}");
        }
        assert!(!format!("{bao:?}").contains(TOKEN));
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let thief = serve(vec![respond(
        "200 OK",
        r#"{"data":{"created_time":"2026-01-01T00:00:00.5Z","current_version":1,"versions":{}}}"#,
    )]);
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/v1/x\r\nContent-Length: 0\r\n\r\n",
        thief.address
    );
    let bao = against(&serve(vec![redirect]));
    assert!(matches!(bao.0.metadata("a"), Err(Failure::Unavailable(_))));
    assert!(matches!(write(&bao), Err(Failure::Unavailable(_))));
    assert!(thief.requests.lock().unwrap().is_empty());
}

#[test]
fn a_slow_server_is_given_up() {
    let server = serve_with(|_, stream| {
        std::thread::sleep(Duration::from_secs(3));
        drop(stream);
    });
    let mut config = config(&server.address);
    config.timeout = SignedDuration::from_millis(300);
    let bao = open(&config).unwrap();
    for attempt in [bao.0.metadata("a").map(drop), write(&bao).map(drop)] {
        assert!(matches!(attempt, Err(Failure::Unavailable(why)) if why.contains("300ms")));
    }
    // One byte at a time does not keep it waiting either.
    let trickle = serve_with(|_, mut stream| {
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    config.address.clone_from(&trickle.address);
    let started = Instant::now();
    assert!(open(&config).unwrap().0.metadata("a").is_err());
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn an_endless_answer_is_cut() {
    let server = serve_with(|_, mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[b' '; 4096]).is_ok() {}
    });
    assert!(
        matches!(against(&server).0.metadata("a"), Err(Failure::Unavailable(why)) if why.contains("endless"))
    );
}

#[test]
fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let bao = open(&config(&address)).unwrap();
    assert!(matches!(bao.0.metadata("a"), Err(Failure::Unavailable(_))));
    assert!(matches!(bao.0.check(""), Err(Failure::Unavailable(_))));
}

#[test]
fn version_0_is_not_the_newest_here() {
    let server = serve(vec![respond("200 OK", "{}")]);
    let bao = against(&server);
    assert!(matches!(bao.0.read("a", 0), Err(Failure::Invalid(_))));
    assert!(matches!(bao.0.turn(Turn::Destroy, "a", None, 0), Err(Failure::Invalid(_))));
    assert!(server.requests.lock().unwrap().is_empty());
    // Nor is another version than the one asked for.
    let other =
        serve(vec![respond("200 OK", r#"{"data":{"data":{},"metadata":{"version":2,"destroyed":false}}}"#)]);
    assert!(matches!(against(&other).0.read("a", 1), Err(Failure::Unavailable(_))));
}

#[test]
fn settings_are_checked() {
    let plain = open(&config("http://10.0.0.1:8200")).unwrap_err();
    assert!(matches!(plain, BackendError::Plaintext { .. }));

    let with = |change: fn(&mut OpenBaoConfig)| {
        let mut changed = config("https://bao.example.com");
        change(&mut changed);
        open(&changed).map(drop)
    };
    let setting =
        |result, name| matches!(result, Err(BackendError::Setting { setting, .. }) if setting == name);
    // Slashes at the ends mean nothing, wherever they are.
    for (mount, namespace) in [("secret/", "team/"), ("/secret", "/team"), ("//a/b//", "/team/x/")] {
        let mut slashed = config("https://bao.example.com//");
        (slashed.mount, slashed.namespace) = (mount.to_owned(), Some(namespace.to_owned()));
        let bao = open(&slashed).unwrap();
        assert_eq!(bao.0.mount, mount.trim_matches('/'));
        assert_eq!(bao.0.client.address(), "https://bao.example.com");
    }
    assert!(setting(with(|c| c.mount = "/".into()), "mount"));
    assert!(setting(with(|c| c.mount = "a//b".into()), "mount"));
    assert!(setting(with(|c| c.mount = "../sys".into()), "mount"));
    assert!(setting(with(|c| c.namespace = Some("a b".into())), "namespace"));
    assert!(setting(with(|c| c.timeout = SignedDuration::ZERO), "timeout"));
    assert!(setting(with(|c| c.timeout = SignedDuration::from_secs(-1)), "timeout"));
    assert!(setting(with(|c| c.token_env = Some("X".into())), "token_file"));
    assert!(matches!(with(|c| c.token_file = None), Err(BackendError::NoToken { .. })));
    assert!(matches!(with(|c| c.token_file = Some("none".into())), Err(BackendError::File { .. })));
    assert!(matches!(with(|c| c.ca_file = Some("token".into())), Err(BackendError::File { .. })));
    let broken = tempfile::NamedTempFile::new().unwrap();
    let pem = |content: &str| format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
    std::fs::write(broken.path(), pem("AAAA") + &pem("!")).unwrap();
    let mut changed = config("https://bao.example.com");
    changed.ca_file = Some(broken.path().to_owned());
    let refused = open(&changed).unwrap_err().to_string();
    assert!(refused.contains("a part of it is not PEM"), "{refused}");
    let unset = with(|c| (c.token_file, c.token_env) = (None, Some("REMIT_TEST_UNSET_VARIABLE".into())));
    assert!(matches!(unset, Err(BackendError::NoToken { .. })));
}

#[test]
fn a_token_everyone_can_read_is_refused() {
    let home = home();
    let token = home.path().join("token");
    let bao = OpenBao::open(&config("https://bao.example.com"), home.path()).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = OpenBao::open(&config("https://bao.example.com"), home.path());
    assert!(matches!(refused, Err(BackendError::TokenExposed { mode: 0o644, .. })));
    // Also when it happens later.
    assert!(matches!(bao.0.metadata("a"), Err(Failure::Denied(_))));
}

/// A whole answer with a clock of the server's own.
fn at(date: &str, body: &str) -> String {
    respond("200 OK", body).replacen("\r\n", &format!("\r\nDate: {date}\r\n"), 1)
}

/// A secret with one version that is to be deleted in the year 2040.
fn secret(created: &str) -> String {
    format!(
        r#"{{"data":{{"created_time":"{created}","current_version":1,"versions":{{"1":{{"created_time":"2030-01-01T00:00:00Z","deletion_time":"2040-01-01T00:00:10.5Z","destroyed":false}}}}}}}}"#
    )
}

const MADE: &str = "2030-01-01T00:00:00.123456789Z";

/// Whatever our own clock says.
#[test]
fn the_servers_clock_says_what_is_deleted() {
    use crate::secrets::store::VersionState::{Disabled, Enabled};
    for (date, state) in [
        ("Sun, 01 Jan 2040 00:00:09 GMT", Enabled),
        ("Sun, 01 Jan 2040 00:00:10 GMT", Disabled),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Enabled),
        ("Mon, 01 Jan 2080 00:00:00 GMT", Disabled),
    ] {
        let found = against(&serve(vec![at(date, &secret(MADE))])).0.metadata("a").unwrap();
        assert_eq!(found.versions[0].state, state, "{date}");
        assert_eq!(found.versions[0].expires.is_some(), state == Enabled, "{date}");
    }
    for answer in [respond("200 OK", &secret(MADE)), at("soon", &secret(MADE))] {
        let failure = against(&serve(vec![answer])).0.metadata("a").unwrap_err();
        assert!(matches!(&failure, Failure::Unavailable(why) if why.contains("`Date`")), "{failure}");
    }
}

/// Deleted with all its metadata and made anew between our look and our write: what was written went into
/// another secret, and so it is no success.
#[test]
fn a_secret_that_is_exchanged_under_the_write_is_no_success() {
    let early = "Tue, 01 Jan 2030 00:00:00 GMT";
    let ours = || at(early, &secret(MADE));
    let theirs = || at(early, &secret("2031-01-01T00:00:00Z"));
    let identity = Identity::new(MADE.to_owned());
    let fields = Fields::default().with("password", VALUE.to_owned());
    let put = |answers| against(&serve(answers)).0.put("a", Some(&identity), 1, &fields);
    let written = || respond("200 OK", r#"{"data":{"version":2}}"#);

    assert_eq!(put(vec![ours(), written(), ours()]), Ok(2));
    let before = serve(vec![theirs()]);
    let refused = against(&before).0.put("a", Some(&identity), 1, &fields);
    assert!(matches!(&refused, Err(Failure::Conflict(why)) if why.contains("another secret")), "{refused:?}");
    assert_eq!(before.requests.lock().unwrap().len(), 1, "nothing was sent");
    for after in [theirs(), respond("403 Forbidden", ""), respond("404 Not Found", "")] {
        let unsure = put(vec![ours(), written(), after]);
        assert!(matches!(unsure, Err(Failure::Unavailable(_))), "{unsure:?}");
    }

    let disable = |answers| against(&serve(answers)).0.turn(Turn::Disable, "a", Some(&identity), 1);
    let done = || respond("204 No Content", "");
    let deleted = || at("Wed, 01 Jan 2042 00:00:00 GMT", &secret(MADE));
    assert_eq!(disable(vec![ours(), done(), deleted()]), Ok(()));
    assert!(matches!(disable(vec![theirs()]), Err(Failure::Conflict(_))));
    // Another secret, one that the server left as it was, or none at all.
    for after in [theirs(), ours(), respond("404 Not Found", "")] {
        let unsure = disable(vec![ours(), done(), after]);
        assert!(matches!(unsure, Err(Failure::Unavailable(_))), "{unsure:?}");
    }
}
