//! Where actions are tried: a home in a folder that is gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use remit_capability::connected::Rehearsal;
use remit_capability::fixture::{MadeUp, State, Things};
use remit_capability::{Registry, systems};
use remit_file::Durable;
use remit_gate::{Estate, Failure, Injected, Phase, Plan, Step};
use remit_journal::RunState;
use remit_lifecycle::{
    Decision, Error, Home, Host, InitOptions, InitPrincipal, Input, KeyHolder, RequestOptions,
    keep_sealed_input,
};
use remit_sandbox::{Candidate, Inspection, Sandbox, Stop};
use remit_trust::principals::PrincipalKind;
use remit_trust::{Handle, Opening, Signer, SigningKey, blob};
use tempfile::TempDir;

use crate::scripted::Cast;
use crate::{Expect, FailAt, Fixture, OfflineError};

/// A host to try one action on.
pub struct Bench {
    dir: TempDir,
    host: Host,
    author: KeyHolder,
    approver: KeyHolder,
    candidate: Candidate,
    inspection: Inspection,
    tried: u32,
}

/// One try: a fixture as it is, or with one of its faults.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The fixture that is tried.
    pub fixture: &'a Fixture,
    /// The call that fails, if one does.
    pub fault: Option<&'a FailAt>,
}

/// The result of a case.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The whole result, in the form of an expectation.
    pub came_of_it: Expect,
    /// How many calls the run made, where these are too few for the case's fault: nothing has failed then.
    pub missed: Option<u64>,
    /// The calls to connectors that the fixture has no answer to.
    pub unanswered: Vec<String>,
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
        let inspection = Inspection::of(&original)?;
        // What connectors serve in a home, each fixture answers.
        let cast = Cast::of(&inspection, &[]).map_err(|why| wrong(action, why))?;
        let registry = Registry::new(&cast.instances).map_err(|why| wrong(action, why))?;
        if let Some(obstacle) = inspection.obstacles(original.shown(), &registry).into_iter().next() {
            return Err(obstacle.into());
        }
        let dir = TempDir::with_prefix("remit-test-")
            .map_err(|error| OfflineError::file(&std::env::temp_dir(), &error))?;
        let path = |name: &str| dir.path().join(name);
        let write = |to: PathBuf, bytes: &[u8]| remit_file::write_with(&to, bytes, Durable::No);
        let publisher = SigningKey::generate()?;
        write(path("publisher.pub"), publisher.verifying_key().to_text().as_bytes())?;
        let founder = |name: &str, kind| -> Result<(SigningKey, InitPrincipal), OfflineError> {
            let (key, file) = (SigningKey::generate()?, path(&format!("{name}.pub")));
            write(file.clone(), key.verifying_key().to_text().as_bytes())?;
            Ok((key, InitPrincipal { name: name.to_owned(), kind, groups: Vec::new(), key: file }))
        };
        let (author_key, author) = founder("author", PrincipalKind::Service)?;
        let (approver_key, approver) = founder("approver", PrincipalKind::Human)?;
        let signed = path("action.wasm");
        write(signed.clone(), original.bytes()?)?;
        write(path("action.wasm.sig"), blob::sign_blob(&publisher, original.bytes()?)?.as_bytes())?;
        let home = Home::at(&path("home"));
        home.init(&InitOptions {
            log: "test.invalid/journal".to_owned(),
            publishers: vec![path("publisher.pub")],
            admin: Some(path("approver.pub")),
            principals: vec![author, approver],
        })?;
        // What is tried is the action, not the policy of a house.
        write(home.policies().join("default.cedar"), POLICY.as_bytes())?;
        let approver_key = Signer::from(approver_key);
        home.sign_rules(&approver_key, |_| true)?;
        let (author, approver) = (KeyHolder::from(Signer::from(author_key)), KeyHolder::from(approver_key));
        let mut host = home.open()?;
        if let Some(cache) = cache {
            let cache = remit_engine::Cache::open(cache, &cache.with_extension("key"))?;
            host.sandbox = Sandbox::new(Some(cache)).map_err(Error::from)?.into();
        }
        let candidate = Candidate::read(&signed)?;
        Ok(Self { dir, host, author, approver, candidate, inspection, tried: 0 })
    }

    /// Tries a case: rehearsal, grant of its least scope, run. Everything begins anew.
    pub async fn try_case(&mut self, case: Case<'_>) -> Result<Seen, OfflineError> {
        self.tried += 1;
        let folder = self.dir.path().join(format!("systems-{}", self.tried));
        let mut estate = Rehearsal::serve(Estate::default());
        let mut all = Vec::new();
        for (domain, things) in systems().zip(&case.fixture.things) {
            let folder = folder.join(domain.table());
            fs::create_dir_all(&folder).map_err(|error| OfflineError::file(&folder, &error))?;
            let made_up = things.make_up(&folder, estate).await;
            let (with, made_up) = made_up.map_err(|failure| failed(domain.table(), &failure))?;
            estate = with;
            all.push(made_up);
        }
        let estate = match case.fault {
            None => estate,
            Some(fault) => estate.failing(Injected {
                at: fault.at,
                failure: fault.failure.failure(),
                answer_lost: fault.answer_lost,
            }),
        };
        self.host.serve(estate.clone());
        let cast = Cast::of(&self.inspection, &case.fixture.answers);
        let cast = cast.map_err(|why| wrong(Path::new("the test"), why))?;
        Registry::new(&cast.instances).map_err(|why| wrong(Path::new("the test"), why))?;
        self.host.serve_through(cast.instances.clone());
        let mut seen = self.run(case.fixture).await?;
        for ((domain, things), made_up) in systems().zip(&case.fixture.things).zip(&all) {
            let states = after(domain.table(), &**things, &**made_up, case).await?;
            seen.after.push((domain.table(), states));
        }
        let calls = estate.counted();
        let missed = case.fault.filter(|fault| calls < fault.at).map(|_| calls);
        Ok(Seen { came_of_it: seen, missed, unanswered: cast.unanswered() })
    }

    async fn run(&self, fixture: &Fixture) -> Result<Expect, OfflineError> {
        let Self { host, author, approver, candidate, .. } = self;
        let mut handles = Vec::new();
        for (name, value) in &fixture.sealed {
            let opening = Opening::new(value.clone().into())?;
            let handle = opening.handle(&host.rules()?.log, name);
            keep_sealed_input(host, author.key(), &handle, &opening)?;
            handles.push(handle);
        }
        let input = Input::of(&fixture.input)?.with_sealed(&handles)?;
        let options = RequestOptions {
            reason: "an offline test".to_owned(),
            incident: None,
            ttl: SignedDuration::from_mins(15),
            uses: Some(1),
            triggers: Vec::new(),
            break_glass: false,
        };
        let how = (fixture.scope.clone(), false);
        let asked = match author.request_run(host, candidate, &input, how, options).await {
            Ok(case) => case.request,
            Err(error) => return not_rehearsed(error),
        };
        let operations = asked.plan().map(lines);
        let decision = Decision { approve: true, reason: String::new(), expect: None };
        approver.decide(host, asked.id, &decision).await?;
        let done = author.execute(host, asked.id, Some((candidate, &input))).await?;
        Ok(Expect {
            outcome: Some(done.state),
            because: done.cause.map(|cause| cause.to_string()),
            operations,
            output: done.output,
            after: Vec::new(),
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

/// All that the fixture speaks of in one of its tables, as it is now.
async fn after(
    table: &'static str,
    things: &dyn Things,
    systems: &dyn MadeUp,
    case: Case<'_>,
) -> Result<Vec<State>, OfflineError> {
    let expect = case.fault.map_or(&case.fixture.expect, |fault| &fault.expect);
    let expected = expect.iter().flat_map(|expect| expect.states(table));
    let mut paths = things.paths();
    paths.extend(expected.map(|state| &*state.path));
    paths.sort_unstable();
    paths.dedup();
    let mut found = Vec::new();
    for path in paths {
        found.push(systems.look(path).await.map_err(|failure| failed(path, &failure))?);
    }
    Ok(found)
}

fn wrong(file: &Path, why: String) -> OfflineError {
    OfflineError::Fixture { file: file.display().to_string(), why }
}

fn failed(what: &str, failure: &Failure) -> OfflineError {
    OfflineError::Fixture { file: what.to_owned(), why: failure.to_string() }
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
        // A sealed input is told by its name: its handle is another one each time.
        for value in object.values_mut() {
            if let Some(handle) = value.as_str().and_then(|text| text.parse::<Handle>().ok()) {
                *value = handle.name().into();
            }
        }
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
