//! Where actions are tried: a home in a folder that is gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use remit_backend::{
    Embedded, EmbeddedConfig, Fields, Files, FilesConfig, Generator, Secrets, SecretsConfig, Serving,
    Systems as _, VersionState,
};
use remit_file::{Durable, Kind as Of};
use remit_gate::{Estate, Failure, Injected, Phase, Plan, Resource, Step};
use remit_journal::RunState;
use remit_lifecycle::{
    Error, Founder, Founding, Home, Host, Identity, Input, Opinion, Rules, Terms, decide, execute,
    request_run,
};
use remit_sandbox::{Candidate, Inspection, Sandbox, Stop};
use remit_trust::principals::Kind;
use remit_trust::{Signer, SigningKey, blob};
use tempfile::TempDir;

use crate::{Expect, FailAt, FileAfter, FileBefore, Fixture, OfflineError, SecretAfter, SecretBefore};

/// A host to try one action on.
pub struct Bench {
    dir: TempDir,
    host: Host,
    rules: Rules,
    author: Identity,
    approver: Identity,
    candidate: Candidate,
    tried: u32,
}

/// One try: a fixture as it is, or with one of its faults.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The fixture.
    pub fixture: &'a Fixture,
    /// The call that fails, if one does.
    pub fault: Option<&'a FailAt>,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The whole of it.
    pub came_of_it: Expect,
    /// How many calls the run made, where these are too few for the case's fault: nothing has failed then.
    pub missed: Option<u64>,
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bench({:?})", self.candidate)
    }
}

impl Bench {
    /// A home that trusts this action, for as long as the bench lives. Compiled components are kept in
    /// `cache`, if there is one.
    pub fn new(action: &Path, cache: Option<&Path>) -> Result<Self, OfflineError> {
        let original = Candidate::read(action)?;
        if let Some(obstacle) = Inspection::of(&original)?.obstacles(original.shown()).into_iter().next() {
            return Err(obstacle.into());
        }
        let dir = TempDir::with_prefix("remit-test-")
            .map_err(|error| OfflineError::file(&std::env::temp_dir(), &error))?;
        let path = |name: &str| dir.path().join(name);
        let write = |to: PathBuf, bytes: &[u8]| remit_file::write_with(&to, bytes, Durable::No);
        let publisher = SigningKey::generate()?;
        write(path("publisher.pub"), publisher.verifying_key().to_text().as_bytes())?;
        let founder = |name: &str, kind| -> Result<(SigningKey, Founder), OfflineError> {
            let (key, file) = (SigningKey::generate()?, path(&format!("{name}.pub")));
            write(file.clone(), key.verifying_key().to_text().as_bytes())?;
            Ok((key, Founder { name: name.to_owned(), kind, groups: Vec::new(), key: file }))
        };
        let (author_key, author) = founder("author", Kind::Service)?;
        let (approver_key, approver) = founder("approver", Kind::Human)?;
        let signed = path("action.wasm");
        write(signed.clone(), original.bytes()?)?;
        write(path("action.wasm.sig"), blob::sign_blob(&publisher, original.bytes()?)?.as_bytes())?;
        let home = Home::at(&path("home"));
        home.init(&Founding {
            log: "test.invalid/journal".to_owned(),
            publishers: vec![path("publisher.pub")],
            admin: Some(path("approver.pub")),
            principals: vec![author, approver],
        })?;
        // What is tried is the action, not the policy of a house.
        write(home.policies().join("default.cedar"), POLICY.as_bytes())?;
        let approver_key = Signer::from(approver_key);
        home.sign_rules(&approver_key, |_| true)?;
        let rules = home.rules()?;
        let (author, approver) = (rules.identify(author_key.into())?, rules.identify(approver_key)?);
        let mut host = home.open()?;
        if let Some(cache) = cache {
            let cache = remit_sandbox::Cache::open(cache, &cache.with_extension("key"))?;
            host.sandbox = Sandbox::new(Some(cache)).map_err(Error::from)?;
        }
        let candidate = Candidate::read(&signed)?;
        Ok(Self { dir, host, rules, author, approver, candidate, tried: 0 })
    }

    /// Tries a case: rehearsal, grant of its least scope, run. Everything begins anew.
    pub async fn try_case(&mut self, case: Case<'_>) -> Result<Seen, OfflineError> {
        self.tried += 1;
        let file = self.dir.path().join(format!("estate-{}.db", self.tried));
        let store = Embedded::open(&file)?;
        for secret in &case.fixture.secrets {
            seed(&store, secret).await?;
        }
        let serving =
            SecretsConfig { serving: Serving::Embedded(EmbeddedConfig { file }), ..SecretsConfig::default() };
        let secrets = Secrets::open(&[serving], self.dir.path())?;
        let estate = remit_capability::secrets::served(Estate::default(), secrets);
        let files = self.dir.path().join(format!("files-{}", self.tried));
        let directories = seed_files(&files, &case.fixture.files)?;
        let directories = Files::open(&directories, self.host.home.path())?;
        let estate = remit_capability::files::served(estate, directories);
        self.host.estate = match case.fault {
            None => estate,
            Some(fault) => estate.failing(Injected {
                at: fault.at,
                failure: fault.failure.failure(),
                answer_lost: fault.answer_lost,
            }),
        };
        let mut seen = self.run(case.fixture).await?;
        seen.secrets = after(&store, case).await?;
        seen.files = files_after(&files, case)?;
        let calls = self.host.estate.counted();
        let missed = case.fault.filter(|fault| calls < fault.at).map(|_| calls);
        Ok(Seen { came_of_it: seen, missed })
    }

    async fn run(&self, fixture: &Fixture) -> Result<Expect, OfflineError> {
        let input = Input::of(&fixture.input)?;
        let Self { host, rules, author, approver, candidate, .. } = self;
        let terms = Terms {
            reason: "an offline test".to_owned(),
            incident: None,
            ttl: SignedDuration::from_mins(15),
            uses: Some(1),
            triggers: Vec::new(),
            break_glass: false,
        };
        let how = (fixture.scope.clone(), false);
        let asked = match request_run(host, rules, author, candidate, &input, how, terms).await {
            Ok(case) => case.request,
            Err(error) => return not_rehearsed(error),
        };
        let operations = asked.plan().map(lines);
        let opinion = Opinion { approve: true, reason: String::new(), expect: None };
        decide(host, rules, approver, asked.id, opinion).await?;
        let done = execute(host, rules, author, asked.id, Some((candidate, &input))).await?;
        Ok(Expect {
            outcome: Some(done.state),
            because: done.cause.map(|cause| cause.to_string()),
            operations,
            output: done.output,
            secrets: Vec::new(),
            files: Vec::new(),
        })
    }
}

const POLICY: &str = r#"
@id("offline")
@needs("1 human")
permit (principal, action == Remit::Action::"require", resource);
@id("all")
permit (
    principal,
    action in [Remit::Action::"rehearse", Remit::Action::"propose", Remit::Action::"approve", Remit::Action::"trigger"],
    resource
);
"#;

/// An action that stops in its rehearsal has an end too.
fn not_rehearsed(error: Error) -> Result<Expect, OfflineError> {
    let outcome = match &error {
        Error::Input { .. } | Error::Admission(_) => RunState::Refused,
        Error::Stop(stop) if stop.is_refusal() => RunState::Refused,
        Error::AfterFailure { .. }
        | Error::Stop(
            Stop::Failed(_) | Stop::Unverified(_) | Stop::Trapped(_) | Stop::Output(_) | Stop::Exceeded(_),
        ) => RunState::Failed,
        _ => return Err(error.into()),
    };
    Ok(Expect { outcome: Some(outcome), because: Some(error.to_string()), ..Expect::default() })
}

async fn seed(store: &Embedded, secret: &SecretBefore) -> Result<(), OfflineError> {
    let resource = Resource::new("secret", &secret.path)?;
    let failed =
        |failure: Failure| OfflineError::Fixture { file: secret.path.clone(), why: failure.to_string() };
    for _ in 0..secret.versions {
        let mut fields = Fields::default();
        for field in &secret.fields {
            fields.insert(field.clone(), Generator::default().generate().map_err(failed)?);
        }
        store.seed(&resource, fields).await.map_err(failed)?;
    }
    let states = [(&secret.disabled, VersionState::Disabled), (&secret.destroyed, VersionState::Destroyed)];
    for (versions, state) in states {
        for version in versions {
            store.seed_state(&resource, *version, state).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Makes the files in a folder, and a directory to grant of each first segment.
fn seed_files(folder: &Path, files: &[FileBefore]) -> Result<Vec<FilesConfig>, OfflineError> {
    let mut directories: Vec<FilesConfig> = Vec::new();
    for file in files {
        let to = file_at(folder, &file.path)?;
        let name = file.path.split('/').next().unwrap_or_default();
        if !directories.iter().any(|known| known.name == name) {
            directories.push(FilesConfig { name: name.to_owned(), path: folder.join(name) });
        }
        let parent = to.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| OfflineError::file(parent, &error))?;
        remit_file::write_with(&to, file.content.as_bytes(), Durable::No)?;
    }
    Ok(directories)
}

/// Where a file of a fixture lies: a canonical path leads nowhere else.
fn file_at(folder: &Path, path: &str) -> Result<PathBuf, OfflineError> {
    Resource::new(remit_backend::files::KIND, path)?;
    Ok(folder.join(path))
}

/// Every file that the fixture speaks of, as it is now.
fn files_after(folder: &Path, case: Case<'_>) -> Result<Vec<FileAfter>, OfflineError> {
    let expect = case.fault.map_or(&case.fixture.expect, |fault| &fault.expect);
    let expected = expect.iter().flat_map(|expect| &expect.files).map(|file| &file.path);
    let mut paths: Vec<&String> = case.fixture.files.iter().map(|file| &file.path).chain(expected).collect();
    paths.sort();
    paths.dedup();
    let mut found = Vec::new();
    for path in paths {
        let at = file_at(folder, path)?;
        let content = match remit_file::plain(&at, Of::Kept) {
            Ok(read) => Some(String::from_utf8_lossy(read.bytes()).into_owned()),
            Err(error) if error.is_missing() => None,
            Err(error) => return Err(error.into()),
        };
        found.push(FileAfter { path: path.clone(), content });
    }
    Ok(found)
}

/// Every secret that the fixture speaks of, as it is now.
async fn after(store: &Embedded, case: Case<'_>) -> Result<Vec<SecretAfter>, OfflineError> {
    use remit_backend::SecretView as _;
    let expect = case.fault.map_or(&case.fixture.expect, |fault| &fault.expect);
    let expected = expect.iter().flat_map(|expect| &expect.secrets).map(|secret| &secret.path);
    let mut paths: Vec<&String> =
        case.fixture.secrets.iter().map(|secret| &secret.path).chain(expected).collect();
    paths.sort();
    paths.dedup();
    let mut found = Vec::new();
    for path in paths {
        let of = |versions: &[remit_backend::Version], state| {
            versions.iter().filter(|v| v.state == state).map(|v| v.number).collect()
        };
        found.push(match store.metadata(&Resource::new("secret", path)?).await {
            Ok(now) => SecretAfter {
                path: path.clone(),
                current: now.current,
                disabled: of(&now.versions, VersionState::Disabled),
                destroyed: of(&now.versions, VersionState::Destroyed),
            },
            Err(_) => {
                SecretAfter { path: path.clone(), current: 0, disabled: Vec::new(), destroyed: Vec::new() }
            }
        });
    }
    Ok(found)
}

/// The plan as fixtures write it: `remit:secrets/rotate.rotate secret:app/db {"field":"password"}`, and `verify: ` before
/// what is asked for there.
fn lines(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(line).collect()
}

fn line(step: &Step) -> String {
    let mut arguments = step.arguments.clone();
    if let Some(object) = arguments.as_object_mut() {
        // What the resource says already, and what was left out.
        object.retain(|_, value| !value.is_null() && value.as_str() != Some(step.resource.as_str()));
        // One spelling, whatever order the operation has them in.
        object.sort_keys();
    }
    let arguments = match arguments.as_object() {
        Some(object) if object.is_empty() => String::new(),
        _ => format!(" {arguments}"),
    };
    let phase = if step.phase == Phase::Run { String::new() } else { format!("{}: ", step.phase) };
    format!("{phase}{} {}{arguments}", step.operation, step.resource)
}
