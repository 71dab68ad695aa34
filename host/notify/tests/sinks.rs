//! Each sink, against a real receiver.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, thread};

use jiff::{SignedDuration, Timestamp};
use remit_notify::webhook::Secret;
use remit_notify::{Notice, Notifiers, NotifyConfig};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const KINDS: &[&str] = &["requested", "run-reverted"];
const PATIENCE: Duration = Duration::from_secs(2);

fn event() -> Notice {
    Notice {
        id: "test.example/journal/7".to_owned(),
        kind: "run-reverted".to_owned(),
        at: Timestamp::now(),
        subject: "run-x".to_owned(),
        digest: None,
        summary: "it was taken back".to_owned(),
    }
}

fn open(home: &Path, text: &str) -> Result<Notifiers, String> {
    let config: NotifyConfig = toml::from_str(text).unwrap();
    Notifiers::open(&[config], home, KINDS, PATIENCE).map_err(|error| error.to_string())
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("secret"), SECRET).unwrap();
    fs::set_permissions(home.path().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    home
}

/// Takes one request, answers it, and returns headers and body.
fn receiver(answer: &'static str) -> (String, JoinHandle<(Vec<String>, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let taken = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            headers.push(line.trim().to_owned());
        }
        let length = headers.iter().find_map(|h| h.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        (headers, String::from_utf8(body).unwrap())
    });
    (address, taken)
}

#[tokio::test]
async fn a_webhook_is_signed_as_the_standard_says() {
    let home = home();
    let (address, taken) = receiver("HTTP/1.1 204 No Content\r\n\r\n");
    let text = format!(
        "name = \"pager\"\nwebhook = \"{address}\"\nsecret_file = \"secret\"\non = [\"run-reverted\"]"
    );
    let notifiers = open(home.path(), &text).unwrap();
    assert!(notifiers.wants("pager", "run-reverted") && !notifiers.wants("pager", "requested"));
    notifiers.deliver("pager", &event()).await.unwrap();
    let (headers, body) = taken.join().unwrap();
    let header = |name: &str| {
        let found = headers.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("no {name} in {headers:?}")).to_owned()
    };
    let (id, signature) = (header("webhook-id"), header("webhook-signature"));
    let at = Timestamp::from_second(header("webhook-timestamp").parse().unwrap()).unwrap();
    let secret = Secret::parse(SECRET).unwrap();
    assert!(secret.verify(&id, at, &body, &signature, Timestamp::now()));
    // Forged, replayed late, by another.
    assert!(!secret.verify(&id, at, &body.replace("back", "out"), &signature, Timestamp::now()));
    assert!(!secret.verify("other", at, &body, &signature, Timestamp::now()));
    assert!(!secret.verify(&id, at, &body, &signature, at + SignedDuration::from_mins(6)));
    let other = Secret::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    assert!(!other.verify(&id, at, &body, &signature, Timestamp::now()));
    assert!(body.contains("\"subject\":\"run-x\""), "{body}");
}

/// The example of the specification's reference implementations.
#[test]
fn the_reference_signature() {
    let at = Timestamp::from_second(1_614_265_330).unwrap();
    let secret = Secret::parse(SECRET).unwrap();
    let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, "{\"test\": 2432232314}");
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn a_receiver_that_fails_was_not_told() {
    let home = home();
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    for (answer, says) in [("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "503"), (redirect, "302")] {
        let (address, taken) = receiver(answer);
        let text = format!("name = \"p\"\nwebhook = \"{address}\"\nsecret_file = \"secret\"");
        let error = open(home.path(), &text).unwrap().deliver("p", &event()).await.unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("whsec"), "{error}");
        taken.join().unwrap();
    }
    let gone = "name = \"p\"\nwebhook = \"http://127.0.0.1:1/\"\nsecret_file = \"secret\"";
    open(home.path(), gone).unwrap().deliver("p", &event()).await.unwrap_err();
}

#[tokio::test]
async fn a_command_reads_the_event_and_its_exit_code_counts() {
    let home = home();
    let to = home.path().join("got");
    let text = format!("name = \"c\"\ncommand = [\"tee\", \"{}\"]", to.display());
    open(home.path(), &text).unwrap().deliver("c", &event()).await.unwrap();
    let got: serde_json::Value = serde_json::from_slice(&fs::read(&to).unwrap()).unwrap();
    assert_eq!((&got["id"], &got["kind"]), (&"test.example/journal/7".into(), &"run-reverted".into()));
    for (command, says) in [("\"false\"", "exit status: 1"), ("\"/no/such/program\"", "/no/such/program")] {
        let text = format!("name = \"c\"\ncommand = [{command}]");
        let error = open(home.path(), &text).unwrap().deliver("c", &event()).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_file_gets_a_line_for_each() {
    let home = home();
    let notifiers = open(home.path(), "name = \"f\"\nfile = \"events.jsonl\"").unwrap();
    notifiers.deliver("f", &event()).await.unwrap();
    notifiers.deliver("f", &event()).await.unwrap();
    assert_eq!(fs::read_to_string(home.path().join("events.jsonl")).unwrap().lines().count(), 2);
    let error =
        open(home.path(), "name = \"f\"\nfile = \"no/such/folder/x\"").unwrap().deliver("f", &event()).await;
    assert!(error.unwrap_err().to_string().contains("no/such/folder"));
    let full = open(home.path(), "name = \"f\"\nfile = \"/dev/full\"").unwrap().deliver("f", &event()).await;
    full.unwrap_err();
}

#[test]
fn what_cannot_be_is_told_when_it_is_read() {
    let home = home();
    fs::write(home.path().join("open"), SECRET).unwrap();
    fs::set_permissions(home.path().join("open"), fs::Permissions::from_mode(0o644)).unwrap();
    for (text, says) in [
        ("name = \"x\"", "exactly one"),
        ("name = \"x\"\ncommand = [\"a\"]\nfile = \"b\"", "exactly one"),
        ("name = \"x\"\nwebhook = \"https://a.example\"", "needs `secret_file`"),
        (
            "name = \"x\"\nwebhook = \"http://a.example\"\nsecret_file = \"secret\"",
            "http:// to another machine",
        ),
        ("name = \"x\"\nwebhook = \"https://a.example\"\nsecret_file = \"open\"", "can be read by others"),
        ("name = \"x\"\nwebhook = \"https://a.example\"\nsecret_file = \"absent\"", "absent"),
        ("name = \"\"\nfile = \"a\"", "no name"),
        ("name = \"x\"\nfile = \"a\"\non = [\"run-in-dubt\"]", "no events `run-in-dubt`"),
        ("name = \"x\"\nwebhook = \"https://a:b@c.example\"\nsecret_file = \"secret\"", "a user or password"),
    ] {
        let error = open(home.path(), text).unwrap_err();
        assert!(error.contains(says), "no `{says}` in {error}");
    }
    let config: NotifyConfig = toml::from_str("name = \"x\"\nfile = \"a\"").unwrap();
    assert!(Notifiers::open(&[config.clone(), config], home.path(), KINDS, PATIENCE).is_err());
}

/// A receiver that takes its time, and an event that is too long, end in time and are not told.
#[tokio::test]
async fn nobody_keeps_a_repair_waiting() {
    let home = home();
    let since = Instant::now();
    let slow = open(home.path(), "name = \"c\"\ncommand = [\"sleep\", \"60\"]").unwrap();
    assert!(slow.deliver("c", &event()).await.unwrap_err().to_string().contains("longer than 2 s"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/a-token-in-the-path", silent.local_addr().unwrap());
    let text = format!("name = \"p\"\nwebhook = \"{address}\"\nsecret_file = \"secret\"");
    let error = open(home.path(), &text).unwrap().deliver("p", &event()).await.unwrap_err().to_string();
    assert!(!error.contains("a-token"), "{error}");
    let long = Notice { summary: "x".repeat(100_000), ..event() };
    assert!(slow.deliver("c", &long).await.unwrap_err().to_string().contains("too long"));
    assert!(since.elapsed() < Duration::from_secs(20));
}
