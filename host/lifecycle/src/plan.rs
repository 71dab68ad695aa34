//! Rehearsals, and the plans they leave.

use std::path::Path;

use jiff::Timestamp;
use remit_gate::{Allow, Facts, Gate, Limits, Pattern, Plan, Scope, Setup};
use remit_journal::{ActionRef, Ended, Mode, Record, RunId, RunState, Started};
use remit_sandbox::{Admitted, Call, Candidate, Consumed, Meter, Stop};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;

use crate::claim::Claim;
use crate::host::principal;
use crate::{Error, Host, Input, components};

/// A plan as a file: what was rehearsed, and what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// The rehearsal, in the journal.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
    /// Which action.
    pub action: ActionRef,
    /// What it was given.
    pub input: serde_json::Value,
    /// What it asked for.
    pub plan: Plan,
}

impl PlanFile {
    /// Reads a plan that `remit plan --out` wrote.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, &error))?;
        serde_json::from_str(&text).map_err(|error| Error::Document {
            file: path.display().to_string(),
            wanted: "a plan",
            why: crate::input::with_caret(&text, &error),
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
) -> Result<Started, Error> {
    Ok(Started {
        mode,
        action: reference(action),
        publisher: action.publisher.as_ref().map(ToString::to_string),
        input: input.raw()?,
        input_digest: input.digest(),
        scope_digest: scope.digest()?,
        scope: Some(to_raw_value(scope)?),
        grant: None,
        principal: principal(),
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

pub(crate) fn facts(reason: &str) -> Result<Facts, Error> {
    Ok(Facts {
        run: RunId::new(),
        started: Timestamp::now(),
        reason: reason.to_owned(),
        seed: remit_trust::random()?,
    })
}

/// What a rehearsal may do without being told: read metadata of anything the action imports, and files. It never
/// hands out secret material, and changes nothing.
fn planning_scope(action: &Admitted) -> Scope {
    let allow = action
        .inspection()
        .imports
        .iter()
        .filter_map(|import| import.interface)
        .flat_map(|interface| std::iter::once(interface).chain(remit_capability::powers(interface.name)))
        .filter_map(|interface| Some((interface, Pattern::all(interface.kind?).ok()?)))
        .map(|(interface, everything)| Allow {
            capability: interface.name.to_owned(),
            resources: vec![everything],
            irrevocable: false,
            disclose: false,
        })
        .collect();
    let limits = Limits { changes: 1_000, ..Limits::default() };
    Scope { on_failure: remit_gate::OnFailure::Revert, allow, limits }
}

/// Lets the action in, with this input: every check that comes before anything is started.
pub(crate) fn admit(
    host: &Host,
    candidate: &Candidate,
    input: &Input,
    scope: Option<&Scope>,
) -> Result<Admitted, Error> {
    let action = host.sandbox.admit(candidate, &host.publishers, scope)?;
    input.check(action.inspection())?;
    Ok(action)
}

/// Rehearses an action: observations are real, changes are simulated, and what it asked for is the plan.
/// With `scope`, within that scope; without, see [`PlanFile`]: whatever it imports, never a disclosure.
pub async fn rehearse(
    host: &Host,
    candidate: &Candidate,
    input: &Input,
    scope: Option<Scope>,
) -> Result<PlanFile, Error> {
    let action = admit(host, candidate, input, scope.as_ref())?;
    let scope = scope.unwrap_or_else(|| planning_scope(&action));
    let facts = facts("rehearsal")?;
    let (run, seed, at) = (facts.run, facts.seed, facts.started);
    components::keep(host, candidate)?;
    let Some(_claim) = Claim::take(&host.home, run)? else {
        return Err(Error::Busy { home: run.to_string() });
    };
    let (sealer, key) = host.keyring.new_run(run)?;
    let watch = host.journal.watch(run);
    let started = header(&action, Mode::Rehearse, input, &scope, &facts)?;
    host.journal.start(Record::now(run, started), key).await?;
    let gate = Gate::new(Setup {
        facts,
        mode: Mode::Rehearse,
        scope: scope.clone(),
        plan: None,
        window: None,
        watch: Some(watch),
        estate: host.estate.clone(),
        journal: host.journal.clone(),
        sealer,
    });
    let mut meter = Meter::start(scope.limits);
    let answer = host.sandbox.call(&action, &gate, seed, &mut meter, Call::Run { input: input.json() }).await;
    gate.settle().await;
    let consumed = meter.consumed(gate.used());
    let (state, detail) = match &answer {
        Ok(_) => (RunState::Rehearsed, "the rehearsal came to its end".to_owned()),
        Err(stop) if stop.is_refusal() => (RunState::Refused, stop.to_string()),
        Err(stop) => (RunState::Failed, stop.to_string()),
    };
    end(host, run, state, detail, &consumed, None).await?;
    answer?;
    Ok(PlanFile { run, at, action: reference(&action), input: input.value()?, plan: gate.observed() })
}

/// Writes the last record of a run.
pub(crate) async fn end(
    host: &Host,
    run: RunId,
    state: RunState,
    detail: String,
    consumed: &Consumed,
    output: Option<serde_json::Value>,
) -> Result<(), Error> {
    let consumed = serde_json::value::to_raw_value(consumed)?;
    Ok(host.journal.commit(Record::now(run, Ended { state, detail, consumed, output })).await?)
}

/// The action's output as JSON.
pub(crate) fn output(text: &str) -> Result<serde_json::Value, Stop> {
    serde_json::from_str(text).map_err(|error| Stop::Output(error.to_string()))
}
