//! Rehearsals and their plans.

use std::path::Path;

use jiff::Timestamp;
use miette::Diagnostic as _;
use remit_engine::blocking;
use remit_gate::{Allow, Facts, Fault, Gate, Limits, Pattern, Phase, Plan, Scope, SealedValues, Setup};
use remit_journal::{ActionRef, Due, Ended, Mode, Record, RunId, RunState, Started};
use remit_policy::PolicyAction;
use remit_sandbox::{AdmissionError, Admitted, Call, Candidate, Consumed, Meter, Stop};
use remit_trust::{KeyId, Sealed};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use tracing::Instrument as _;

use crate::authority::{Identity, check_length, policy_request_of_rehearsal};
use crate::claim::Claim;
use crate::own_words::{OwnWords, withheld};
use crate::{Error, Host, Input, Rules, components, connectors, sealed};

/// A plan as a file, with the rehearsal that it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// The run identifier of the rehearsal in the journal.
    pub run: RunId,
    /// When the rehearsal started.
    pub at: Timestamp,
    /// The action that was rehearsed.
    pub action: ActionRef,
    /// The input of the action.
    pub input: serde_json::Value,
    /// The calls that the action made.
    pub plan: Plan,
}

impl PlanFile {
    /// Reads a plan that `remit plan --out` wrote.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = remit_file::given(path, remit_file::Kind::Plan)?.into_text()?;
        remit_text::json::read(&text).map_err(|mistake| Error::Document {
            file: path.display().to_string(),
            wanted: "a plan",
            why: mistake.to_string(),
            help: "make it with `remit plan ACTION --input … --out FILE`".to_owned(),
        })
    }
}

/// The header of a run, live or rehearsed.
pub(crate) fn header(
    action: &Admitted,
    mode: Mode,
    input: &Input,
    scope: &Scope,
    facts: &Facts,
    principal: &str,
) -> Result<Started, Error> {
    Ok(Started {
        mode,
        action: reference(action),
        publisher: action.publisher.as_ref().map(ToString::to_string),
        connectors: connectors::reached(&action.registry, scope),
        input: input.raw()?,
        input_digest: input.digest(),
        scope_digest: scope.digest()?,
        scope: Some(to_raw_value(scope)?),
        grant: None,
        principal: principal.to_owned(),
        started_by: None,
        reason: facts.reason.clone(),
        seed: facts.seed,
        host_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

pub(crate) fn reference(action: &Admitted) -> ActionRef {
    ActionRef {
        digest: action.digest,
        name: action.inspection().name.clone(),
        version: action.inspection().version.clone(),
    }
}

/// How many changes a rehearsal simulates at most.
pub(crate) const MOST_CHANGES: u64 = 1_000;

/// The scope of a rehearsal for which none was given: everything that the action imports. Whether the principal may
/// rehearse that is for the policies.
fn planning_scope(action: &Admitted) -> Scope {
    let registry = &action.registry;
    let allow = action
        .inspection()
        .offered(registry)
        .flat_map(|interface| std::iter::once(interface).chain(registry.powers(&interface.name)))
        .filter_map(|interface| Some((interface, Pattern::all(interface.kind.as_deref()?).ok()?)))
        .map(|(interface, everything)| Allow {
            capability: interface.name.to_string(),
            resources: vec![everything],
            irrevocable: false,
            disclose: false,
        })
        .collect();
    let limits = Limits { changes: MOST_CHANGES, ..Limits::default() };
    let on_failure = remit_gate::OnFailure::Revert;
    Scope { on_failure, restore_after: None, page_after: None, require: Vec::new(), allow, limits }
}

/// Makes every check of an action and its input that comes before a start. `plan` is the plan that binds the run; none if
/// there is none.
pub(crate) fn admit(
    host: &Host,
    candidate: &Candidate,
    input: &Input,
    scope: Option<&Scope>,
    plan: Option<&Plan>,
) -> Result<Admitted, Error> {
    let setup = host.setup()?;
    if let Some(scope) = scope {
        setup.registry.check(scope)?;
    }
    // A plan of nothing but reads binds the run to reads, and the scope is checked at each of them. The other imports of the
    // action give it nothing then, so the scope need not cover them.
    let checked_scope = scope.filter(|_| plan.is_none_or(|plan| !plan.is_idle()));
    let action = host.sandbox.admit(candidate, &setup.publishers, checked_scope, &setup.registry)?;
    input.check(action.inspection())?;
    Ok(action)
}

/// Rehearses an action within `scope`, if the policies allow it to this principal. Observations are real, changes are
/// simulated, secrets are made up, and the calls of `run` and `verify` are the plan. Without `scope`, the action can observe
/// whatever it imports.
///
/// If the action turns out to change nothing, the scope need not cover its imports: each of its reads was inside the scope,
/// and the plan binds a run to reads.
pub async fn rehearse(
    host: &Host,
    by: &KeyId,
    (candidate, input): (&Candidate, &Input),
    scope: Option<Scope>,
    reason: &str,
) -> Result<PlanFile, Error> {
    // It is put on record, as those of documents are.
    check_length("reason", reason)?;
    let (action, uncovered, scope, by) = blocking(|| {
        let rules = host.rules()?;
        let by = rules.identify(&*host.journal.reader()?, by)?;
        let (action, uncovered) = match admit(host, candidate, input, scope.as_ref(), None) {
            Err(error @ Error::Admission(AdmissionError::NotGranted { .. })) => {
                (admit(host, candidate, input, None, None)?, Some(error))
            }
            admitted => (admitted?, None),
        };
        let scope = scope.unwrap_or_else(|| planning_scope(&action));
        may_rehearse(host, &rules, &by, &reference(&action), &scope)?;
        Ok::<_, Error>((action, uncovered, scope, by))
    })?;
    let sealed = sealed::open(host, by.name(), input)?;
    let played = play(host, &action, (candidate, input, sealed), scope, by.name(), reason).await;
    match (uncovered, &played) {
        (Some(uncovered), Ok(file)) if !file.plan.is_idle() => Err(uncovered),
        // This error names everything that the scope does not cover; the rehearsal stopped at the first.
        (Some(uncovered), Err(Error::Stop(Stop::Fault(Fault::OutOfScope { .. })))) => Err(uncovered),
        _ => played,
    }
}

/// Checks that the policies let a principal rehearse an action within a scope, and that its limits are not above what this home
/// lets a rehearsal use. Whoever may rehearse needs no approval, so that these limits are nobody's but the principal's own.
pub(crate) fn may_rehearse(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    action: &ActionRef,
    scope: &Scope,
) -> Result<(), Error> {
    let reader = host.journal.reader()?;
    by.stands(&reader)?;
    if let Some(beyond) = scope.limits.beyond(host.setup()?.config.rehearsals.most_times_default) {
        return Err(Error::RehearsalLimit(beyond));
    }
    let connectors = connectors::reached(&host.setup()?.registry, scope);
    let request = policy_request_of_rehearsal(&reader, rules, by, action, (scope, &connectors))?;
    let verdict =
        rules.policies.may(&by.who(), PolicyAction::Rehearse, Some(&request), Timestamp::now(), &[]);
    if verdict.allowed {
        return Ok(());
    }
    let (who, what) = (by.name().to_owned(), "rehearse this");
    Err(Error::Forbidden { who, what, why: verdict.words() })
}

/// Rehearses an admitted action within a scope. Whether the principal may do so is for the caller to check.
pub(crate) async fn play(
    host: &Host,
    action: &Admitted,
    (candidate, input, sealed): (&Candidate, &Input, SealedValues),
    scope: Scope,
    by: &str,
    reason: &str,
) -> Result<PlanFile, Error> {
    let facts = Facts {
        run: RunId::new(),
        started: Timestamp::now(),
        reason: reason.to_owned(),
        seed: remit_trust::random()?,
    };
    let (run, seed, at) = (facts.run, facts.seed, facts.started);
    let (_claim, (sealer, key)) = blocking(|| {
        components::keep(host, candidate)?;
        let Some(claim) = Claim::take(&host.home, run)? else {
            return Err(Error::Busy { home: run.to_string() });
        };
        Ok((claim, host.keyring.new_run(run)?))
    })?;
    let estate = host.estate()?.with_sealed_values(sealed);
    let watch = host.journal.watch(run);
    let started = header(action, Mode::Rehearse, input, &scope, &facts, by)?;
    blocking(|| host.keep_connectors(&started.connectors))?;
    host.journal.start(Record::now(run, started), key).await?;
    let mut meter = Meter::start(scope.limits.clone());
    let gate = Gate::new(Setup {
        facts,
        mode: Mode::Rehearse,
        scope,
        plan: None,
        window: None,
        watch: Some(watch),
        estate,
        journal: host.journal.clone(),
        sealer: sealer.clone(),
    });
    let span = tracing::trace_span!("rehearsal", %run);
    let answer = async {
        let call = Call::Run { input: input.json() };
        let text = host.sandbox.call(action, &gate, seed, &mut meter, call).await?;
        gate.settle().await;
        output(&text)?;
        gate.enter(Phase::Verify).map_err(Stop::Fault)?;
        let verify = Call::Verify { input: input.json(), output: &text };
        host.sandbox.call(action, &gate, seed, &mut meter, verify).await
    }
    .instrument(span)
    .await;
    gate.settle().await;
    let consumed = meter.consumed(gate.used());
    let (state, said) = match &answer {
        Ok(_) => (RunState::Rehearsed, "the rehearsal came to its end".to_owned()),
        Err(stop) if stop.is_refusal() => (RunState::Refused, stop.to_string()),
        Err(stop) => (RunState::Failed, stop.to_string()),
    };
    let own = OwnWords { detail: said.clone(), output: None }.sealed(&gate, run, &sealer)?;
    let answer = answer.map_err(|stop| withheld(&gate, run, stop.into()));
    let told = match &answer {
        Ok(_) => (said, None),
        Err(error) => (error.to_string(), code(error)),
    };
    end_with(host, run, (state, Due::default()), told, &consumed, None, own).await?;
    answer?;
    Ok(PlanFile { run, at, action: reference(action), input: input.value()?, plan: gate.observed() })
}

/// The code of an error, as the journal keeps it.
pub(crate) fn code(error: &Error) -> Option<String> {
    error.code().map(|code| code.to_string())
}

/// Writes the state of a run whose action is not running: after a revert, a recovery or a resolution.
/// `due` is what the host does by itself from now on.
pub(crate) async fn end(
    host: &Host,
    run: RunId,
    state: RunState,
    detail: String,
    due: Due,
) -> Result<(), Error> {
    end_with(host, run, (state, due), (detail, None), &Consumed::default(), None, None).await
}

/// Writes the state of a run whose action has ended. `own_words` are the sealed words of an action that was given a secret
/// or content.
pub(crate) async fn end_with(
    host: &Host,
    run: RunId,
    (state, due): (RunState, Due),
    (detail, code): (String, Option<String>),
    consumed: &Consumed,
    output: Option<serde_json::Value>,
    own_words: Option<Sealed>,
) -> Result<(), Error> {
    let consumed = to_raw_value(consumed)?;
    Ok(host
        .journal
        .commit(Record::now(run, Ended { state, detail, code, consumed, output, own_words, due }))
        .await?)
}

/// Parses the JSON that the action returned.
pub(crate) fn output(text: &str) -> Result<serde_json::Value, Stop> {
    remit_text::json::read(text).map_err(|mistake| Stop::Output(mistake.to_string()))
}
