//! One function for each parser of bytes that somebody else wrote. Whatever they are, it returns: no panic, no endless
//! work, and what was read reads the same once it was written. The way in is the function that a user's file takes.
//!
//! The workspace's test `corpus` has this file as a module too: nothing here belongs to a fuzzer.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use remit_backend::accounts::{Account, Before, Directory, LdapConfig};
use remit_backend::{Act, OpenBao, OpenBaoConfig, SecretView as _, Turn};
use remit_connector::{Call, Description, Entry, Exchange, Origin, Phase, Replay, Request};
use remit_gate::{Failure, Pattern, Resource, Scope};
use remit_journal::{About, Journal, Proof, Record, RequestId, RunId};
use remit_lifecycle::{Config, Enrolment};
use remit_manifest::{Manifest, Schema};
use remit_offline::Fixture;
use remit_policy::Policies;
use remit_sandbox::{Candidate, Inspection, Sandbox};
use remit_server::check_proof;
use remit_tlog::{Bundle, Checkpoint, Frontier, NoteSigner, NoteVerifier, Tile, TilePath, WitnessVerifier};
use remit_trust::dsse::Envelope;
use remit_trust::id_token::{IssuerKeys, Token};
use remit_trust::issuers::{Accepts, Issuer, IssuerKind};
use remit_trust::principals::Principals;
use remit_trust::{Assertion, Digest, Passkeys, Signer, SigningKey, VerifyingKey, blob};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What takes bytes.
pub type Target = fn(&[u8]);

/// Each by its name: that of its folder in `seeds/`.
pub const TARGETS: [(&str, Target); 21] = [
    ("inspection", inspection),
    ("admission", admission),
    ("manifest", manifest),
    ("schema", schema),
    ("keys", keys),
    ("signature", signature),
    ("dsse", dsse),
    ("ssh_signature", ssh_signature),
    ("passkey", passkey),
    ("dpop", dpop),
    ("id_token", id_token),
    ("scope", scope),
    ("proof", proof),
    ("note", note),
    ("records", records),
    ("openbao", openbao),
    ("directory", directory),
    ("policy", policy),
    ("config", config),
    ("fixture", fixture),
    ("connector", connector),
];

/// A folder of this thread's own, in memory where the machine has such a place.
fn folder<T>(with: impl FnOnce(&Path) -> T) -> T {
    thread_local!(static FOLDER: OnceCell<TempDir> = const { OnceCell::new() });
    FOLDER.with(|folder| {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        with(folder.get_or_init(|| TempDir::with_prefix_in("remit-fuzz-", parent).expect("a folder")).path())
    })
}

/// The bytes as a file that only its owner may read, as long as `with` looks at it.
fn file<T>(name: &str, bytes: &[u8], with: impl FnOnce(&Path) -> T) -> T {
    folder(|folder| {
        let path = folder.join(name);
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&path).expect("a file");
        file.write_all(bytes).expect("room");
        with(&path)
    })
}

/// Nothing is said of what is no text: the reader of files has refused it.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The bytes before and after a line `---`.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let line = b"\n---\n";
    match bytes.windows(line.len()).position(|window| window == line) {
        Some(at) => (&bytes[..=at], &bytes[at + line.len()..]),
        None => (bytes, &[]),
    }
}

/// A component file: `remit inspect`.
pub fn inspection(bytes: &[u8]) {
    let _ = inspected(bytes, |_| ());
}

fn inspected<T>(bytes: &[u8], then: impl FnOnce(&Candidate) -> T) -> Option<T> {
    file("foreign.wasm", bytes, |path| {
        let candidate = Candidate::read(path).ok()?;
        let found = Inspection::of(&candidate).ok()?;
        serde_json::to_string(&found).expect("what was found is JSON");
        Some(then(&candidate))
    })
}

/// A component file: what `remit plan` and `install` do before any of it runs.
pub fn admission(bytes: &[u8]) {
    static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None).expect("an engine"));
    inspected(bytes, |candidate| SANDBOX.readmit(candidate, &remit_sandbox::BUILT_IN).map(drop));
}

/// `action.toml`, and the section of a component that holds it.
pub fn manifest(bytes: &[u8]) {
    let parsed = text(bytes).and_then(|text| Manifest::parse(text, "action.toml").ok());
    let carried = Manifest::from_section(bytes, "an action").ok();
    for manifest in parsed.into_iter().chain(carried) {
        let section = manifest.to_section().expect("what was read can be written");
        if let Ok(again) = Manifest::from_section(&section, "an action") {
            assert_eq!(again.to_section().expect("JSON"), section, "canonical is canonical");
        }
        let _ = manifest.schema("an action");
    }
}

/// The JSON Schema of a foreign action, and an input that is held to it.
pub fn schema(bytes: &[u8]) {
    let (schema, input) = halves(bytes);
    let Ok(schema) = serde_json::from_slice(schema) else { return };
    let Ok(schema) = Schema::new(&schema) else { return };
    if let Ok(input) = serde_json::from_slice(input) {
        let _ = schema.check(&input);
    }
}

/// Files with keys: public ones of principals and publishers, private ones of who signs, and `principals.toml`.
pub fn keys(bytes: &[u8]) {
    let _ = file("some.key", bytes, Signer::load);
    let _ = file("some.key", bytes, VerifyingKey::load_publisher);
    let Some(text) = text(bytes) else { return };
    let _ = SigningKey::from_pem(text, "a key");
    if let Ok(key) = VerifyingKey::from_text(text, "a key") {
        let written = key.to_text();
        let again = VerifyingKey::from_text(&written, "the same").expect("what we write, we read");
        assert_eq!(again.id(), key.id(), "{written}");
    }
    let _ = folder(|base| Principals::parse(text, "principals.toml", base).map(|found| found.digest()));
}

/// The keys that are trusted here, and what was signed: of each form one.
pub static TRUSTED: LazyLock<Vec<VerifyingKey>> = LazyLock::new(|| {
    let key = |text| VerifyingKey::from_text(text, "a key of these tests").expect("a key");
    include_str!("../keys.txt").split("\n\n").map(key).collect()
});

/// What the seeds are signatures over.
pub const SIGNED: &[u8] = b"what was signed\n";
/// The type of documents in the seeds' envelopes.
pub const TYPE: &str = "application/vnd.remit.test+json";

/// The text beside a component: `FILE.sig`.
pub fn signature(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        let _ = blob::verify_blob(&TRUSTED, SIGNED, text);
    }
}

/// A signed document, as others hand it in.
pub fn dsse(bytes: &[u8]) {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) else { return };
    let payload = envelope.payload_digest();
    let _ = envelope.for_ssh_keygen();
    if let Ok(verified) = envelope.verify(TYPE, &TRUSTED) {
        assert_eq!(payload.ok(), Some(Digest::of(&verified.payload)), "what was verified is what it holds");
        let signers: BTreeSet<_> = verified.signers.iter().map(ToString::to_string).collect();
        assert_eq!(signers.len(), verified.signers.len(), "each counts once");
    }
    let written = serde_json::to_vec(&envelope).expect("JSON");
    assert_eq!(serde_json::from_slice::<Envelope>(&written).ok(), Some(envelope));
}

/// A signature by an SSH key, armoured as `ssh-keygen -Y sign` writes it or bare.
pub fn ssh_signature(bytes: &[u8]) {
    for key in TRUSTED.iter() {
        let _ = key.verify(SIGNED, bytes);
        if let Ok(envelope) = Envelope::signed_elsewhere(TYPE, SIGNED, &key.id(), bytes) {
            let _ = envelope.verify(TYPE, std::slice::from_ref(key));
            let _ = envelope.for_ssh_keygen();
            let _ = (envelope.claimed_passkeys(), envelope.uses_of_passkeys());
        }
    }
}

/// What a browser answers of a passkey, in three parts: what the authenticator says, what the browser says, and the signature or,
/// of a new key, the public key.
pub fn passkey(bytes: &[u8]) {
    const GOOD: &[u8] = include_bytes!("../seeds/passkey/good.bin");
    let part = |bytes: &[u8]| bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec();
    let (data, rest) = halves(bytes);
    let (said, last) = halves(rest);
    let assertion =
        Assertion { authenticator_data: part(data), client_data: part(said), signature: last.to_vec() };
    let mut held = false;
    for key in TRUSTED.iter().filter(|key| key.passkey_of().is_some()) {
        let Ok(signature) = key.envelop(&assertion) else { continue };
        held |= key.verify(SIGNED, &signature).is_ok();
        let envelope = Envelope::signed_elsewhere(TYPE, SIGNED, &key.id(), &signature).expect("an envelope");
        assert_eq!(envelope.claimed_passkeys(), [key.id()], "it is read as it was written");
        let _ = (envelope.uses_of_passkeys(), envelope.for_ssh_keygen());
    }
    assert!(bytes != GOOD || held, "the seed is a right answer");
    let rp = "remit.example";
    if let Some(key) = VerifyingKey::of_passkey(last, rp, "dana (passkey)") {
        let again = VerifyingKey::from_text(&key.to_text(), "the same").expect("what we write, we read");
        assert_eq!((again.id(), again.passkey_of()), (key.id(), Some(rp)));
    }
    let passkeys = Passkeys { rp: rp.to_owned(), origins: ["https://remit.example".to_owned()].into() };
    if let Ok(payload) = Enrolment::prepare("test.invalid/journal", "dana", last, &passkeys) {
        Enrolment::claimed(&payload).expect("what we prepare, we read");
    }
    let _ = Enrolment::claimed(&assertion.client_data);
}

/// A scope, and the patterns and resources that people and guests write.
pub fn scope(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(scope) = Scope::parse(text, "scope.toml") {
        let _ = remit_capability::BUILT_IN.check(&scope);
        let rules = scope.compile();
        let resource = Resource::new("secret", "prod/payments/stripe").expect("canonical");
        let _ = rules.permits("remit:secrets/rotate", &resource);
        let written = scope.to_toml().expect("TOML");
        let again = Scope::parse(&written, "the same").expect("what we write, we read");
        assert_eq!(again.digest().ok(), scope.digest().ok(), "{written}");
    }
    for line in text.lines().take(64) {
        let _ = line.parse::<RunId>();
        let _ = line.parse::<RequestId>();
        if let Ok(resource) = Resource::new("secret", line) {
            assert!(resource.path().split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
            let exact = Pattern::new(resource.as_str()).expect("a resource is a pattern");
            assert_eq!(exact.exact().as_ref(), Some(&resource));
        }
        let _ = Pattern::new(line).map(|pattern| pattern.may_touch("prod"));
        for directory in
            [Resource::new("file", "etc"), Resource::new("file", "srv/www")].into_iter().flatten()
        {
            if let Ok(found) = remit_capability::wasi::path_below(&directory, line) {
                let below =
                    found.path().strip_prefix(directory.path()).expect("never outside of its directory");
                assert!(below.is_empty() || below.starts_with('/'), "{found}");
                assert!(found.path().split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
            }
        }
    }
}

/// A file of policies.
pub fn policy(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let files = [("some.cedar".to_owned(), text.to_owned())].into();
    let _ = Policies::parse(files, ["secret", "file"]);
}

/// `remit.toml`.
pub fn config(bytes: &[u8]) {
    let _ = file("remit.toml", bytes, Config::load);
}

/// What `remit test` reads.
pub fn fixture(bytes: &[u8]) {
    let _ = file("fixture.toml", bytes, Fixture::load);
}

/// The log that signed the seeds.
pub static LOG: LazyLock<NoteVerifier> =
    LazyLock::new(|| NoteVerifier::parse(include_str!("../log.pub")).expect("a log's key"));

/// A proof that somebody brought.
pub fn proof(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(proof) = Proof::parse(text) else { return };
    let _ = proof.check(&LOG);
}

/// Checkpoints, signed notes, the keys of logs and witnesses, what witnesses answer, and the parts of a published log.
pub fn note(bytes: &[u8]) {
    if let Ok(frontier) = Frontier::from_bytes(bytes) {
        assert_eq!(frontier.to_bytes(), bytes);
        let _ = frontier.root();
    }
    for width in [1, 3, 256] {
        let _ = Tile::new(0, 0, width).map(|tile| tile.hashes(bytes).map(<[_]>::len));
        let _ = Bundle::new(0, width).map(|bundle| bundle.entries(bytes).map(|entries| entries.len()));
    }
    let Some(text) = text(bytes) else { return };
    let _ = LOG.verify(text);
    let _ = NoteVerifier::parse(text).map(|key| key.verify(text));
    if let Ok(witness) = WitnessVerifier::parse(text.lines().next().unwrap_or_default()) {
        let _ = witness.verify_note(text);
        let _ = witness.verify(text, text);
    }
    let _ = remit_tlog::conflict_size(text);
    let _ = text.trim_ascii_end().parse::<TilePath>();
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        let written = checkpoint.to_text();
        assert_eq!(Checkpoint::parse(&written).ok().map(|again| again.to_text()), Some(written));
    }
}

fn journal_signer() -> NoteSigner {
    NoteSigner::from_seed("test.invalid/journal", &[7; 32]).expect("a name")
}

/// The rows of a journal, a line each: whoever can write the file can write anything into it.
pub fn records(bytes: &[u8]) {
    // One for each thread, and open all the time: closing the last connection moves all of the log into the file.
    thread_local!(static JOURNAL: OnceCell<(PathBuf, RefCell<Connection>)> = const { OnceCell::new() });
    JOURNAL.with(|journal| {
        let (path, database) = journal.get_or_init(|| {
            let path = folder(|folder| folder.join("journal.db"));
            drop(Journal::open(&path, journal_signer()).expect("a new journal"));
            let database = Connection::open(&path).expect("the journal's file");
            database.pragma_update(None, "synchronous", "off").expect("a setting");
            (path, RefCell::new(database))
        });
        read_records(bytes, path, &mut database.borrow_mut());
    });
}

fn read_records(bytes: &[u8], path: &Path, database: &mut Connection) {
    let rows: Vec<_> = bytes.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()).take(16).collect();
    let insert = |database: &mut Connection| -> rusqlite::Result<()> {
        let change = database.transaction()?;
        change.execute("DELETE FROM record", [])?;
        for (n, row) in (1_i64..).zip(&rows) {
            let read: serde_json::Value = serde_json::from_slice(row).unwrap_or_default();
            let run = read["run"].as_str().or(read["about"].as_str()).unwrap_or("host");
            let event = read["event"].as_object();
            let kind = event.and_then(|event| event.keys().next()).map_or("started", String::as_str);
            let values = rusqlite::params![n, run, kind, row, [0_u8; 32], n];
            change.execute(
                "INSERT INTO record (seq, run, kind, body, chain, place) VALUES (?,?,?,?,?,?)",
                values,
            )?;
        }
        change.commit()
    };
    insert(database).expect("rows");
    let Ok(reader) = Journal::open_read_only(path) else { return };
    let _ = reader.runs();
    for id in reader.requests().unwrap_or_default() {
        let _ = reader.acts(About::Request(id));
    }
    let _ = reader.acts(About::Host);
    let _ = reader.newest_runs(|_, _| true);
    let _ = (reader.stopped(), reader.unfinished(), reader.highest(), reader.now());
    let key = journal_signer().verifier();
    for row in rows {
        if let Ok(record) = serde_json::from_slice::<Record>(row) {
            let _ = reader.run(&record.run);
            let _ = reader.genuine(&record.run, &key);
            let _ = record.event.kind();
        }
    }
    let _ = reader.verify(&key, None);
}

/// A proof of possession: as it comes; or its header and claims, each in a line, which are signed here. `KEY` in them is the
/// signer's public key, `NOW` the time.
pub fn dpop(bytes: &[u8]) {
    const GOOD: &str = include_str!("../seeds/dpop/good.txt");
    let Some(text) = text(bytes) else { return };
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes");
    let public = URL_SAFE_NO_PAD.encode(key.public_key());
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#);
    let of = |text: &str| URL_SAFE_NO_PAD.encode(Digest::of(text.as_bytes()).as_bytes());
    let proof = match text.split_once('\n') {
        None => text.to_owned(),
        Some((header, claims)) => {
            let now = jiff::Timestamp::now().as_second().to_string();
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text.replace("KEY", &public).replace("NOW", &now));
            let signed = format!("{}.{}", part(header), part(claims.trim_end()));
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())))
        }
    };
    let call = ["GET", "https://remit.example/api/v1/runs", "the token", &of(&jwk)];
    let judged = check_proof(&proof, call);
    assert!(text != GOOD || judged.is_ok(), "{judged:?}");
}

/// An ID token: as it comes; or its header and claims, each in a line, which are signed here, and a third line with the keys that
/// the issuer publishes, if they are others than the signer's. `KEY` and `NOW` are as in [`dpop`].
pub fn id_token(bytes: &[u8]) {
    const GOOD: &str = include_str!("../seeds/id_token/good.txt");
    const PUBLISHED: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"KEY"}]}"#;
    let Some(text) = text(bytes) else { return };
    let issuer = Issuer {
        name: "jobs".to_owned(),
        kind: IssuerKind::Github,
        url: "https://issuer.example".to_owned(),
        audience: "remit".to_owned(),
        accepts: Accepts::Exchange,
        jwks: None,
        ca: None,
        ttl: jiff::SignedDuration::from_mins(10),
    };
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes");
    let (now, public) = (jiff::Timestamp::now(), URL_SAFE_NO_PAD.encode(key.public_key()));
    let filled = |text: &str| text.replace("KEY", &public).replace("NOW", &now.as_second().to_string());
    let mut lines = text.splitn(3, '\n');
    let (first, claims, published) = (lines.next().unwrap_or_default(), lines.next(), lines.next());
    let token = match claims {
        None => first.to_owned(),
        Some(claims) => {
            let part = |text: &str| URL_SAFE_NO_PAD.encode(filled(text));
            let signed = format!("{}.{}", part(first), part(claims));
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())))
        }
    };
    let published = published.filter(|line| !line.trim().is_empty()).unwrap_or(PUBLISHED);
    let judged = IssuerKeys::parse(&filled(published)).and_then(|keys| {
        let token = Token::parse(&token)?;
        let _ = (token.claims_issuer(&issuer), token.has_key(&keys));
        token.verify(&issuer, &keys, now)
    });
    assert!(text != GOOD || judged.is_ok(), "{:?}", judged.err());
    if let Ok(verified) = judged {
        let says = |name: &str| verified.claims[name].as_str();
        assert_eq!(says("iss"), Some("https://issuer.example"));
        assert!(says("event_name").is_some_and(|event| !event.starts_with("pull_request")));
        assert!(verified.expires > now && !verified.jti.is_empty());
    }
}

/// A server that answers each request with what it is given, and who asks it.
struct Answers {
    answer: Arc<Mutex<Vec<u8>>>,
    runtime: Runtime,
    store: OpenBao,
}

impl Answers {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its number"));
        let answer = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&answer);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
                let _ = stream.read(&mut [0; 4096]);
                let answer = given.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let _ = stream.write_all(&answer);
            }
        });
        let home = folder(Path::to_owned);
        file("token", b"s.token", |_| ());
        let server = OpenBaoConfig {
            address,
            mount: "secret".to_owned(),
            namespace: None,
            token_file: Some(PathBuf::from("token")),
            token_env: None,
            ca_file: None,
            // Too short to ask twice.
            timeout: jiff::SignedDuration::from_millis(40),
        };
        let store = OpenBao::open(&server, &home).expect("settings");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads");
        Self { answer, runtime, store }
    }
}

/// The answers of an OpenBao: the body of one (of a 404 after `404` and a line feed), or a whole one from `HTTP/1.1` on.
pub fn openbao(bytes: &[u8]) {
    // One of its own for each thread: it belongs to the thread's folder.
    thread_local!(static SERVER: OnceCell<Answers> = const { OnceCell::new() });
    let (status, body) = match bytes.strip_prefix(b"404\n") {
        Some(body) => ("404 Not Found", body),
        None => ("200 OK", bytes),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nDate: Sat, 10 Oct 2026 10:00:00 GMT\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = if bytes.starts_with(b"HTTP/") { bytes.to_vec() } else { [head.as_bytes(), body].concat() };
    let secret = Resource::new("secret", "app/db").expect("canonical");
    SERVER.with(|server| {
        let server = server.get_or_init(Answers::new);
        *server.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
        server.runtime.block_on(async {
            let _ = server.store.metadata(&secret).await;
            let _ = server.store.read(&secret, 1).await;
            let _ = server.store.right(&secret, Act::Turn(Turn::Disable)).await;
            let _ = server.store.check("app").await;
        });
    });
}

/// A server of LDAP that answers what it is told to, and what asks it.
pub struct Listing {
    answers: Arc<Mutex<Vec<u8>>>,
    runtime: Runtime,
    directory: Directory,
}

/// What the host makes of the answers of a directory.
pub type Listed = (Result<Vec<Account>, Failure>, Result<Account, Failure>, Result<Before, Failure>);

impl Listing {
    /// Each waits so long for the other.
    pub fn new(patience: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("ldap://{}", listener.local_addr().expect("its number"));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&answers);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(patience));
                let mut asked = [0; 4096];
                let answers: Vec<u8> = given.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let mut rest = answers.as_slice();
                while !rest.is_empty() && stream.read(&mut asked).is_ok_and(|read| read > 0) {
                    let line = b"\n---\n";
                    let end = rest.windows(line.len()).position(|window| window == line);
                    let _ = stream.write_all(&rest[..end.unwrap_or(rest.len())]);
                    rest = end.map_or(&[], |end| &rest[end + line.len()..]);
                }
                let _ = stream.shutdown(Shutdown::Write);
                while stream.read(&mut asked).is_ok_and(|read| read > 0) {}
            }
        });
        file("ldap.key", b"a password", |_| ());
        let server = LdapConfig {
            address,
            bind_dn: "CN=remit,OU=people,DC=example,DC=org".to_owned(),
            password_file: PathBuf::from("ldap.key"),
            base: "OU=people,DC=example,DC=org".to_owned(),
            filter: None,
            attribute: None,
            groups: None,
            policy: None,
            tls: None,
            ca_file: None,
            timeout: (10 * patience).try_into().expect("not long"),
        };
        let directory = folder(|home| Directory::active_directory(&server, home)).expect("settings");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads");
        Self { answers, runtime, directory }
    }

    /// Answers, each to a request, with a line `---` between them.
    pub fn says(&self, bytes: &[u8]) -> Listed {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
        let directory = &self.directory;
        self.runtime.block_on(async {
            (directory.list().await, directory.account("alice").await, directory.before("alice").await)
        })
    }
}

/// The answers of a directory. The client, whose panics the host survives, does not panic either.
pub fn directory(bytes: &[u8]) {
    thread_local!(static SERVER: OnceCell<Listing> = const { OnceCell::new() });
    thread_local!(static PANICKED: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED.set(true);
            told(panic);
        }));
    });
    // All of it runs on this thread.
    let _ = SERVER.with(|server| server.get_or_init(|| Listing::new(Duration::from_millis(20))).says(bytes));
    assert!(!PANICKED.take(), "the client of LDAP panicked");
}

/// `connector.toml`; what its connector asks to be sent, in every phase of every function; and what it is answered.
pub fn connector(bytes: &[u8]) {
    let (description, rest) = halves(bytes);
    let (asked, answer) = halves(rest);
    let Some(Ok(description)) = text(description).map(Description::parse) else { return };
    let Ok(asked) = serde_json::from_slice::<serde_json::Value>(asked) else { return };
    let description = Arc::new(description);
    let texts = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
    };
    let pairs = |value: &serde_json::Value| -> Vec<(String, String)> {
        let pair =
            |pair: &serde_json::Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()));
        value.as_array().into_iter().flatten().filter_map(pair).collect()
    };
    let request = Request {
        method: asked["method"].as_str().unwrap_or_default().to_owned(),
        path: texts(&asked["path"]),
        query: pairs(&asked["query"]),
        headers: pairs(&asked["headers"]),
        body: asked["body"].as_str().map(|body| body.as_bytes().to_vec()),
        credential: asked["credential"].as_str().map(ToOwned::to_owned),
    };
    let entry =
        "[[connector]]\nname = 'a'\ncomponent = 'a'\norigin = 'https://a.example'\npost_reads = true\n";
    let entry = remit_text::Table::parse(entry).and_then(|mut entry| entry.entries("connector"));
    let entry = Entry::read(entry.expect("an entry").remove(0)).expect("an entry");
    for (name, function) in description.functions() {
        let call = Call {
            function: name.to_owned(),
            path: format!("a{}", "/b".repeat(function.path().names().len())),
            arguments: asked["arguments"].clone(),
            undo: asked["undo"].clone(),
            got: asked["got"].clone(),
            ..Call::default()
        };
        for phase in [Phase::Observe, Phase::Prepare, Phase::Perform, Phase::State, Phase::Undo] {
            let origin = Arc::new(Origin::replaying(&entry, Replay::always(200, answer)));
            let exchange =
                Exchange::new(Arc::clone(&description), origin, phase, call.clone(), Arc::default());
            let Ok(exchange) = exchange else { continue };
            let seen = exchange.send(request.clone());
            let sent = exchange.sent();
            assert_eq!(sent.is_empty(), exchange.breach().is_some(), "it is sent, or it is a breach");
            for sent in sent {
                let writes = matches!(phase, Phase::Perform | Phase::Undo);
                assert!(writes || (!sent.change && matches!(sent.method.as_str(), "GET" | "HEAD" | "POST")));
            }
            if let Ok(seen) = seen {
                let seen = String::from_utf8_lossy(&seen.body);
                assert!(!exchange.masked(&seen).contains("remit-secret-"), "no placeholder is shown");
            }
        }
    }
}
