//! All calls into the product: a home, an estate, and what a principal can do there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use remit_backend::{Embedded, SecretView as _};
use remit_gate::{Resource, Scope};
use remit_journal::{RequestId, RunId};
use remit_lifecycle::{
    ActionSelector, Decision, Error, Home, Host, InitOptions, InitPrincipal, Input, KeyHolder,
    RequestOptions, StandingScope, Target, Under, certify_exchanged, keep_sealed_input, recover, rehearse,
};
use remit_sandbox::Candidate;
use remit_trust::dsse::Envelope;
use remit_trust::principals::PrincipalKind;
use remit_trust::{Digest, Opening, Sign as _, Signer, SigningKey, blob};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::estate::{Meddler, Node, Snapshot, Version, estate, furnish, nodes, seed};
use super::jobs::Jobs;
use super::model::{Certified, Law};
use super::remote::Remote;
use super::script::Script;

/// Who there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Software.
    Bot,
    Imp,
    /// People.
    Alice,
    Bob,
    Carol,
}

impl Who {
    pub const ALL: [Self; 5] = [Self::Bot, Self::Imp, Self::Alice, Self::Bob, Self::Carol];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Imp => "imp",
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Carol => "carol",
        }
    }

    pub fn is_human(self) -> bool {
        !matches!(self, Self::Bot | Self::Imp)
    }

    /// Alice operates the bot, so that both count as one. The imp is nobody's.
    pub fn person(self) -> Self {
        if self == Self::Bot { Self::Alice } else { self }
    }
}

const LOG_NAME: &str = "hostile.invalid/journal";

/// For how long a key counts that ends in the middle of a case: what one act takes, and some.
const BRIEF: Duration = Duration::from_millis(150);

/// The reason of every rehearsal and request.
pub const REASON: &str = "as the test wants";

/// How a run ended, or why there was none.
#[derive(Debug)]
pub struct Ran {
    pub run: RunId,
    pub state: String,
    /// All that was told of it.
    pub words: String,
}

/// A request on record.
#[derive(Debug)]
pub struct Asked {
    pub id: RequestId,
    /// As signed, in JSON: what an approver can see.
    pub request: Value,
}

/// What a start came to.
pub enum Started {
    Ran(Ran),
    /// Outside the standing scope: a request of its own.
    Asked(Asked),
}

/// A row of the embedded store's table.
type Row = (String, i64, i64, bool, Option<Vec<u8>>);

pub struct House {
    threads: Runtime,
    host: Host,
    people: BTreeMap<Who, KeyHolder>,
    candidate: Candidate,
    dir: TempDir,
    store: Embedded,
    meddler: Arc<Meddler>,
    /// The store's own file, past everything.
    db: rusqlite::Connection,
    /// What each sealed value is.
    opened: Mutex<BTreeMap<Vec<u8>, BTreeMap<String, String>>>,
    first: (Vec<Row>, Vec<(String, String)>, BTreeMap<String, Node>),
    /// The values that were given sealed.
    given: Mutex<Vec<String>>,
    jobs: Jobs,
    /// Where the next case's records begin, and its log lines.
    since: u64,
    logged: usize,
    /// Principals act through a server, if there is one.
    remote: Option<Remote>,
}

impl House {
    /// A home under a law, with an estate.
    pub fn new(law: &Law) -> Self {
        Self::with(law, BRIEF)
    }

    /// The same, with keys that end after so long.
    pub fn with(law: &Law, brief_for: Duration) -> Self {
        LazyLock::force(&LOG);
        let dir = TempDir::with_prefix("remit-hostile-").unwrap();
        let path = |name: &str| dir.path().join(name);
        let key = |name: &str| {
            let key = SigningKey::generate().unwrap();
            key.write_pair(&path(name)).unwrap();
            key
        };
        let (publisher, admin) = (key("publisher"), key("admin"));
        let action = fs::read(crate::common::plugins().join("hostile-sealed.wasm")).unwrap();
        fs::write(path("action.wasm"), &action).unwrap();
        fs::write(path("action.wasm.sig"), blob::sign_blob(&publisher, &action).unwrap()).unwrap();
        let principals = Who::ALL.map(|who| {
            key(who.name());
            let kind = if who.is_human() { PrincipalKind::Human } else { PrincipalKind::Agent };
            let key = path(&format!("{}.pub", who.name()));
            InitPrincipal { name: who.name().to_owned(), kind, groups: Vec::new(), key }
        });
        let home = Home::at(&path("home"));
        home.init(&InitOptions {
            log: LOG_NAME.to_owned(),
            publishers: vec![path("publisher.pub")],
            admin: Some(path("admin.pub")),
            principals: principals.to_vec(),
        })
        .unwrap();
        let policy = home.policies().join("default.cedar");
        let shipped = fs::read_to_string(&policy).unwrap();
        fs::write(&policy, law.policy(&shipped)).unwrap();
        let config = fs::read_to_string(home.config()).unwrap();
        let etc = path("etc");
        let files = format!("\n[[files]]\nname = \"etc\"\npath = \"{}\"\n", etc.display());
        fs::write(home.config(), config + &files).unwrap();
        // As an administrator would write it.
        let principals = fs::read_to_string(home.principals()).unwrap();
        let operated = principals.replace("\"bot\"\n", "\"bot\"\noperator = \"alice\"\n");
        assert_ne!(operated, principals);
        let jobs = Jobs::new(brief_for);
        fs::write(home.principals(), jobs.in_rules(&operated)).unwrap();
        home.sign_rules(&Signer::from(admin), |_| true).unwrap();
        furnish(&etc);

        let people = Who::ALL.map(|who| {
            let key = Signer::load(&path(&format!("{}.key", who.name()))).unwrap();
            (who, KeyHolder::from(key))
        });
        let threads =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut host = home.open().unwrap();
        let store = Embedded::open(&home.path().join("secrets.db")).unwrap();
        threads.block_on(seed(&store));
        let meddler = Arc::new(Meddler::new(store.clone(), &home.path().join("secrets.db")));
        host.serve(estate(Arc::clone(&meddler), &home));
        let db = rusqlite::Connection::open(home.path().join("secrets.db")).unwrap();
        let mut house = Self {
            threads,
            host,
            people: people.into(),
            candidate: Candidate::read(&path("action.wasm")).unwrap(),
            store,
            meddler,
            db,
            opened: Mutex::default(),
            given: Mutex::default(),
            jobs,
            first: (Vec::new(), Vec::new(), BTreeMap::new()),
            since: 0,
            logged: 0,
            remote: None,
            dir,
        };
        house.first = (house.rows(), house.identities(), nodes(&house.etc()));
        house.certify();
        house
    }

    /// The imp exchanges a token for a key, if the one that it has does not count for long.
    pub fn certify(&mut self) {
        if let Some(token) = self.jobs.due() {
            self.exchange(token).unwrap();
        }
    }

    /// The imp exchanges a token for a key that soon ends.
    pub fn certify_briefly(&mut self) -> Certified {
        let began = jiff::Timestamp::now();
        if let Err(why) = self.exchange(self.jobs.brief()) {
            // On a slow machine it has ended when it is there.
            assert!(why.contains("imp's until"), "{why}");
        }
        self.jobs.is_brief(began)
    }

    /// What is known of the end of this principal's key, if it ends soon.
    pub fn ends(&self, who: Who) -> Option<Certified> {
        self.jobs.ends().filter(|_| who == Who::Imp)
    }

    fn exchange(&mut self, token: String) -> Result<(), String> {
        let signer = Signer::from(SigningKey::generate().unwrap());
        if let Some(remote) = &mut self.remote {
            return remote.certify(Who::Imp, signer, token);
        }
        let (key, audience) = (signer.verifying_key(), "https://hostile.invalid");
        let document = serde_json::json!({
            "log": LOG_NAME, "audience": audience, "key": key.id().to_string(),
            "token": Digest::of(token.as_bytes()), "at": jiff::Timestamp::now(),
        });
        let payload = remit_trust::canonical(&document).unwrap();
        let proof = Envelope::sign("application/vnd.remit.certifying.v1+json", &payload, &signer).unwrap();
        let done = self.threads.block_on(certify_exchanged(&self.host, &token, &key, &proof, audience));
        self.people.insert(Who::Imp, KeyHolder::from(signer));
        done.map(drop).map_err(|error| words(&error))
    }

    /// The same, with a server through which everybody acts. What somebody else does, they do between two acts.
    pub fn served(law: &Law) -> Self {
        let mut house = Self::new(law);
        house.remote = Some(Remote::new(house.dir.path()));
        house.jobs.again();
        house.certify();
        house
    }

    fn etc(&self) -> PathBuf {
        self.dir.path().join("etc")
    }

    fn who(&self, who: Who) -> &KeyHolder {
        &self.people[&who]
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = self
            .db
            .prepare_cached(
                "SELECT path, number, created_ms, disabled, sealed FROM version ORDER BY path, number",
            )
            .unwrap();
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    fn identities(&self) -> Vec<(String, String)> {
        let mut rows = self.db.prepare_cached("SELECT path, identity FROM secret ORDER BY path").unwrap();
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut secrets: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for (path, number, _, disabled, sealed) in self.rows() {
            let state = match (disabled, &sealed) {
                (_, None) => 'x',
                (true, _) => 'd',
                (false, _) => 'e',
            };
            let fields = sealed.map_or_else(BTreeMap::new, |sealed| self.open(&path, number, state, sealed));
            secrets.entry(path).or_default().push(Version { fields, state });
        }
        Snapshot { secrets, files: nodes(&self.etc()) }
    }

    /// What a sealed value is. A disabled one was seen while it was enabled.
    fn open(&self, path: &str, number: i64, state: char, sealed: Vec<u8>) -> BTreeMap<String, String> {
        if let Some(known) = self.opened.lock().unwrap().get(&sealed) {
            return known.clone();
        }
        if state == 'd' {
            self.db
                .execute("UPDATE version SET disabled = 0 WHERE path = ?1 AND number = ?2", (path, number))
                .unwrap();
        }
        let secret = Resource::new("secret", path).unwrap();
        let fields = self.threads.block_on(self.store.read(&secret, number.cast_unsigned())).unwrap();
        if state == 'd' {
            self.db
                .execute("UPDATE version SET disabled = 1 WHERE path = ?1 AND number = ?2", (path, number))
                .unwrap();
        }
        let fields: BTreeMap<_, _> =
            fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.opened.lock().unwrap().insert(sealed, fields.clone());
        fields
    }

    /// Gives a value sealed, in the name of this principal; the handle, or why it is not taken.
    pub fn seal(&self, by: Who, value: &str) -> Result<String, String> {
        let opening = Opening::new(value.to_owned().into()).unwrap();
        let handle = opening.handle(LOG_NAME, "token");
        self.given.lock().unwrap().push(value.to_owned());
        match &self.remote {
            Some(remote) => remote.seal(by, &handle, &opening)?,
            None => keep_sealed_input(&self.host, self.who(by).key(), &handle, &opening)
                .map_err(|error| words(&error))?,
        }
        Ok(handle.to_string())
    }

    /// The files in which the home keeps what was given sealed.
    fn kept(&self) -> Vec<PathBuf> {
        let kept = fs::read_dir(self.dir.path().join("home/sealed")).into_iter().flatten();
        kept.map(|entry| entry.unwrap().path()).collect()
    }

    /// Makes the estate what it was at the beginning.
    pub fn restore(&self) {
        // There is a limit for each principal, and the requests of other cases may wait for an hour.
        self.kept().into_iter().for_each(|file| fs::remove_file(file).unwrap());
        if self.rows() != self.first.0 || self.identities() != self.first.1 {
            self.db.execute_batch("BEGIN IMMEDIATE; DELETE FROM version; DELETE FROM secret").unwrap();
            for (path, identity) in &self.first.1 {
                self.db
                    .execute("INSERT INTO secret (path, identity) VALUES (?1, ?2)", (path, identity))
                    .unwrap();
            }
            for (path, number, created, disabled, sealed) in &self.first.0 {
                self.db
                    .execute(
                        "INSERT INTO version (path, number, created_ms, disabled, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
                        (path, number, created, disabled, sealed),
                    )
                    .unwrap();
            }
            self.db.execute_batch("COMMIT").unwrap();
        }
        if nodes(&self.etc()) != self.first.2 {
            let etc = self.etc();
            for entry in fs::read_dir(&etc).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
            }
            for (name, node) in &self.first.2 {
                let path = etc.join(name);
                match &node.content {
                    None => fs::create_dir(&path).unwrap(),
                    Some(content) => fs::write(&path, content).unwrap(),
                }
                fs::set_permissions(&path, fs::Permissions::from_mode(node.mode)).unwrap();
            }
        }
    }

    /// A new version of a secret, by the hand of somebody else.
    pub fn rotate_by_hand(&self, path: &str) {
        self.threads.block_on(self.meddler.meddle(path));
    }

    /// A secret deleted with all that is known of it, and made anew under the same name.
    pub fn remake_by_hand(&self, path: &str) {
        self.meddler.forget(path);
        self.rotate_by_hand(path);
    }

    pub fn edit_by_hand(&self, file: &str) {
        let path = self.etc().join(file);
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        text.push_str("# theirs\n");
        fs::write(path, text).unwrap();
    }

    /// Somebody else rotates a secret, or remakes it, just before the host's n-th call of the store from now on.
    pub fn meddle_at(&self, look: Option<(u32, String, bool)>) {
        self.meddler.come_at(look);
    }

    /// Before the host's n-th call of the store from now on that key has ended.
    pub fn wait_at(&self, look: Option<(u32, Certified)>) {
        self.meddler.wait_at(look);
    }

    /// When it had, if that call came since the last time.
    pub fn waited(&self) -> Option<jiff::Timestamp> {
        self.meddler.waited()
    }

    /// The versions that somebody else made since the last time.
    pub fn meddled(&self) -> Vec<(String, u64)> {
        self.meddler.made()
    }

    pub fn rehearse(&self, by: Who, script: &Script, scope: Option<&Scope>) -> Result<Value, String> {
        if let Some(remote) = &self.remote {
            return remote.rehearse(by, script, scope);
        }
        let input = input(script);
        let done = self.threads.block_on(rehearsal(
            &self.host,
            self.who(by),
            (&self.candidate, &input),
            scope.cloned(),
        ));
        done.map_err(|error| words(&error))
    }

    pub fn request(
        &self,
        by: Who,
        script: &Script,
        (scope, open): (Option<&Scope>, bool),
        starters: &[Who],
    ) -> Result<Asked, String> {
        if let Some(remote) = &self.remote {
            return remote.request(by, script, (scope, open), starters);
        }
        let input = input(script);
        let case = self.threads.block_on(self.who(by).request_run(
            &self.host,
            &self.candidate,
            &input,
            (scope.cloned(), open),
            options(Some(1), starters),
        ));
        case.map(|case| asked(&case)).map_err(|error| words(&error))
    }

    /// For one run an hour, or as many as one may want.
    pub fn request_standing(
        &self,
        by: Who,
        scope: &Scope,
        starters: &[Who],
        runs_per_hour: u32,
    ) -> Result<Asked, String> {
        if let Some(remote) = &self.remote {
            return remote.request_standing(by, scope, starters, runs_per_hour);
        }
        let action = remit_journal::ActionRef {
            digest: self.candidate.digest(),
            name: "hostile-sealed".to_owned(),
            version: "0.1.0".to_owned(),
        };
        let standing = StandingScope {
            action: ActionSelector::Digest(action),
            hours: Vec::new(),
            runs_per_hour,
            changes_per_hour: 100,
        };
        let case = self.threads.block_on(self.who(by).request_standing(
            &self.host,
            standing,
            scope.clone(),
            options(None, starters),
        ));
        case.map(|case| asked(&case)).map_err(|error| words(&error))
    }

    pub fn approve(&self, by: Who, id: RequestId) -> Result<(), String> {
        if let Some(remote) = &self.remote {
            return remote.approve(by, id);
        }
        let decision = Decision { approve: true, reason: "looks right".to_owned(), expect: None };
        let decided = self.threads.block_on(self.who(by).decide(&self.host, id, &decision));
        decided.map(drop).map_err(|error| words(&error))
    }

    pub fn revoke(&self, by: Who, id: RequestId) -> Result<(), String> {
        if let Some(remote) = &self.remote {
            return remote.revoke(by, id);
        }
        let target = Target::Request(id);
        let done = self.threads.block_on(self.who(by).revoke(&self.host, target, REASON));
        done.map(drop).map_err(|error| words(&error))
    }

    pub fn freeze(&self, frozen: bool) {
        if let Some(remote) = &self.remote {
            return remote.freeze(frozen);
        }
        let done = self.who(Who::Alice).freeze(&self.host, frozen, REASON);
        self.threads.block_on(done).unwrap();
    }

    pub fn start(&self, by: Who, id: RequestId) -> Result<Started, String> {
        if let Some(remote) = &self.remote {
            return remote.start(by, id);
        }
        let done = self.threads.block_on(self.who(by).execute(&self.host, id, None));
        done.map(|finished| Started::Ran(ran(&finished))).map_err(|error| words(&error))
    }

    pub fn start_standing(&self, by: Who, id: RequestId, script: &Script) -> Result<Started, String> {
        if let Some(remote) = &self.remote {
            return remote.start_standing(by, id, script);
        }
        let input = input(script);
        let what = Some((&self.candidate, &input));
        let done = self.threads.block_on(self.who(by).start(&self.host, id, what, Some(REASON)));
        match done {
            Ok(Under::Started(started)) => match self.threads.block_on(started.end()) {
                Ok(finished) => Ok(Started::Ran(ran(&finished))),
                Err(error) => Err(words(&error)),
            },
            Ok(Under::Asked { request, .. }) => Ok(Started::Asked(asked(&request))),
            Err(error) => Err(words(&error)),
        }
    }

    /// Whether all of it was taken back; if not, why.
    pub fn revert(&self, by: Who, run: RunId) -> Result<(), String> {
        if let Some(remote) = &self.remote {
            return remote.revert(by, run);
        }
        let done = self.threads.block_on(self.who(by).revert(&self.host, run));
        let reverted = done.map_err(|error| words(&error))?;
        if reverted.state() == remit_journal::RunState::Reverted {
            Ok(())
        } else {
            Err(format!("{:?}", reverted.steps.iter().map(|step| &step.result).collect::<Vec<_>>()))
        }
    }

    /// What a recovery finds to do.
    pub fn recover(&self) -> Vec<String> {
        let found = self.threads.block_on(recover(&self.host)).unwrap();
        let stuck = found.stuck.iter().map(|(run, error)| format!("{run}: {error}"));
        found.recovered.iter().map(|one| format!("{one:?}")).chain(stuck).collect()
    }

    /// The journal's records since the last time: of which run, and the text.
    pub fn records(&mut self) -> Vec<(String, String)> {
        self.threads.block_on(self.host.journal.catch_up()).unwrap();
        let mut records = Vec::new();
        let mut next = self.since;
        self.host
            .journal
            .reader()
            .unwrap()
            .each(self.since, |seq, run, text| {
                records.push((run.to_owned(), text.to_owned()));
                next = seq + 1;
            })
            .unwrap();
        self.since = next;
        records
    }

    /// What the host wrote to its log since the last time. (Another test's lines may be among them.)
    pub fn log(&mut self) -> String {
        let log = match &self.remote {
            None => LOG.lock().unwrap().clone(),
            Some(remote) => remote.log(),
        };
        let from = std::mem::replace(&mut self.logged, log.len());
        String::from_utf8_lossy(log.get(from..).unwrap_or_default()).into_owned()
    }

    pub fn audit(&self) -> Result<(), String> {
        let key = self.host.home.verifier().unwrap();
        let audit = self.host.journal.reader().unwrap().verify(&key, None);
        audit.map(drop).map_err(|error| error.to_string())
    }

    /// Every byte of every file of the home.
    pub fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.dir.path().join("home")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.clone(), fs::read(path).unwrap()));
                }
            }
        }
        files
    }

    /// Every value that any snapshot ever held.
    pub fn every_value(&self) -> Vec<String> {
        let opened = self.opened.lock().unwrap();
        let given = self.given.lock().unwrap();
        opened.values().flat_map(|fields| fields.values()).chain(given.iter()).cloned().collect()
    }
}

async fn rehearsal(
    host: &Host,
    who: &KeyHolder,
    what: (&Candidate, &Input),
    scope: Option<Scope>,
) -> Result<Value, Error> {
    let plan = rehearse(host, who.key(), what, scope, REASON).await?;
    Ok(serde_json::to_value(plan).unwrap())
}

fn input(script: &Script) -> Input {
    Input::of(&serde_json::to_value(script).unwrap()).unwrap()
}

fn options(uses: Option<u32>, starters: &[Who]) -> RequestOptions {
    RequestOptions {
        reason: REASON.to_owned(),
        incident: None,
        ttl: SignedDuration::from_hours(1),
        uses,
        triggers: starters.iter().map(|who| who.name().to_owned()).collect(),
        break_glass: false,
    }
}

fn asked(case: &remit_lifecycle::RequestState) -> Asked {
    Asked { id: case.request.id, request: serde_json::to_value(&case.request).unwrap() }
}

fn ran(finished: &remit_lifecycle::Finished) -> Ran {
    let words =
        format!("{finished:?} {}", finished.cause.as_ref().map(ToString::to_string).unwrap_or_default());
    Ran { run: finished.run, state: finished.state.name().to_owned(), words }
}

fn words(error: &Error) -> String {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default();
    format!("{error} | {error:?} | {help}")
}

/// What the host writes to its log, at every level that somebody could switch on.
static LOG: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(|| {
    let filter = tracing_subscriber::EnvFilter::new("remit=trace");
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Log).init();
    Mutex::default()
});

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
