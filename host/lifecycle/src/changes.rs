//! The changes of a run, as its records show them.

use remit_capability::{BUILT_IN, Registry, connected};
use std::sync::Arc;

use remit_gate::{Effect, Failure, Fault, Gate, Known, Past, Resource, SealedValues, State, UndoGate};
use remit_journal::{CallResult, ConnectorRef, Event, Intent, Mode, Reader, Record, RunId, UndoResult};
use serde_json::value::RawValue;

use crate::timeline::{called, found_words, own_arguments};
use crate::{Error, Home, Host, Input, sealed};

/// A change that a run made, or may have made.
pub(crate) struct Change {
    pub(crate) intent: Intent,
    /// The connector through which it was made; none if it was made by the host itself.
    connector: Option<ConnectorRef>,
    /// The values of its run's handles, as far as they are known.
    inputs: Inputs,
    /// What it returned; none if that is not known.
    got: Option<Box<RawValue>>,
    /// Whether the journal does not say if the change took effect: the host was stopped, or the system did not answer.
    pub(crate) in_doubt: bool,
    /// How the last attempt to undo it ended; none if there was no attempt.
    pub(crate) undo: Option<UndoResult>,
}

/// The values of a run whose handles its calls have.
#[derive(Clone)]
pub(crate) enum Inputs {
    /// Their values: the process that runs the action has them.
    Known(Arc<SealedValues>),
    /// Whose they can be, and the input that names them. The home keeps the values until no run can need them.
    OnRecord(Arc<(Vec<String>, Box<RawValue>)>),
}

impl Inputs {
    fn open(&self, host: &Host) -> Arc<SealedValues> {
        match self {
            Self::Known(inputs) => Arc::clone(inputs),
            Self::OnRecord(of) => {
                let (owners, input) = &**of;
                let Ok(input) = serde_json::from_str(input.get()) else { return Arc::default() };
                let Ok(input) = Input::of(&input) else { return Arc::default() };
                let opened = owners.iter().find_map(|owner| sealed::open(host, owner, &input).ok());
                // Without a value, the request that needs it fails, and says so.
                opened.map(Arc::new).unwrap_or_default()
            }
        }
    }
}

impl Change {
    /// `connectors` are those that its run could reach.
    fn of(
        intent: Intent,
        connectors: &[ConnectorRef],
        inputs: Inputs,
        in_doubt: bool,
    ) -> Result<Self, Error> {
        let connector = connector(&intent, connectors).cloned();
        if connector.is_none() && BUILT_IN.operation(&intent.operation).is_none() {
            let why = "this version of Remit does not know it".to_owned();
            return Err(Fault::Record { operation: intent.operation.clone(), verb: "read", why }.into());
        }
        Ok(Self { intent, connector, inputs, got: None, in_doubt, undo: None })
    }

    /// The operation: the host's own, or through the connector of then.
    fn known(&self, host: &Host) -> Option<Known> {
        match &self.connector {
            None => BUILT_IN.operation(&self.intent.operation),
            Some(of) => {
                let by = host.connector_of_then(of);
                let inputs = self.inputs.open(host);
                Registry::of_record(std::slice::from_ref(of), &[by], &inputs)
                    .operation(&self.intent.operation)
            }
        }
    }

    fn past(&self) -> Past<'_> {
        Past { intent: &self.intent, got: self.got.as_deref() }
    }

    /// Takes it back, if the live system still is as it left it.
    pub(crate) async fn take_back(&self, host: &Host, gate: &UndoGate) -> Result<UndoResult, Fault> {
        match self.known(host) {
            Some(known) => known.undo(gate, self.past()).await,
            None => Err(self.unknown()),
        }
    }

    fn unknown(&self) -> Fault {
        let why = "nothing knows it any more".to_owned();
        Fault::Record { operation: self.intent.operation.clone(), verb: "read", why }
    }

    /// Whether only a person can find out if the change took effect: it is in doubt, and an undo cannot tell.
    pub(crate) fn needs_a_person(&self) -> bool {
        self.in_doubt && self.intent.effect == Effect::Irrevocable
    }

    /// Whether the change was undone for good: if the live system is changed again, somebody else did it. A call in doubt
    /// whose system looked unchanged is not undone for good, because it may have arrived later.
    pub(crate) fn is_undone(&self) -> bool {
        match self.undo {
            Some(UndoResult::Undone) => true,
            Some(UndoResult::AlreadyUndone) => !self.in_doubt,
            _ => false,
        }
    }

    /// `remit:secrets/disable.disable (version 2) on secret:prod/db (call 3)`.
    pub(crate) fn words(&self) -> String {
        let Intent { call, resource, .. } = &self.intent;
        format!("{} on {resource} (call {call})", self.operation_words())
    }

    /// `remit:secrets/disable.disable (version 2)`.
    pub(crate) fn operation_words(&self) -> String {
        called(&self.intent.operation, &self.arguments()).to_string()
    }

    /// The arguments of the operation, without the resource.
    pub(crate) fn arguments(&self) -> serde_json::Value {
        own_arguments(serde_json::from_str(self.intent.arguments.get()).unwrap_or_default())
    }

    /// The state before the change, in words; none if there is nothing to say.
    pub(crate) fn found(&self) -> Option<String> {
        let before = self.intent.before.as_ref()?;
        found_words(&serde_json::from_str(before.get()).unwrap_or_default())
    }

    /// The state of the live system, compared with the change.
    pub(crate) async fn live(&self, host: &Host, gate: &UndoGate) -> Result<State, Fault> {
        match self.known(host) {
            Some(known) => known.state(gate, self.past()).await,
            None => Err(self.unknown()),
        }
    }
}

/// The connector of a call, among those that its run could reach.
pub(crate) fn connector<'a>(intent: &Intent, connectors: &'a [ConnectorRef]) -> Option<&'a ConnectorRef> {
    let (interface, _) = intent.operation.rsplit_once('.')?;
    let resource = Resource::try_from(intent.resource.clone()).ok()?;
    connectors.iter().find(|connector| {
        let mut names = connector.interfaces.iter().filter_map(|of| of.name.split('@').next());
        connector.instance == connected::instance(&resource) && names.any(|name| name == interface)
    })
}

/// The changes that a run in this process made, or may have made, in order. Its own gate saw each of them.
pub(crate) fn made(gate: &Gate, connectors: &[ConnectorRef]) -> Result<Vec<Change>, Error> {
    let made = gate.made().into_iter().filter(|made| made.happened != Some(false));
    let inputs = Arc::new(gate.sealed_values());
    made.map(|made| {
        let inputs = Inputs::Known(Arc::clone(&inputs));
        Ok(Change { got: made.got, ..Change::of(made.intent, connectors, inputs, made.happened.is_none())? })
    })
    .collect()
}

/// The changes that a run made, or may have made, in order. A change did not happen if its outcome is a definite failure, or
/// if a person stated so. A rehearsal has no changes, whatever its records are.
pub(crate) fn changes(records: &[(u64, Record)]) -> Result<Vec<Change>, Error> {
    let mut changes: Vec<Change> = Vec::new();
    let live = records.iter().find_map(|(_, record)| match &record.event {
        Event::Started(started) if started.mode == Mode::Live => Some(started),
        _ => None,
    });
    let Some(started) = live else { return Ok(changes) };
    let connectors = &started.connectors;
    // Of the requester; under a standing scope, of whoever started the run.
    let owners = std::iter::once(started.principal.clone()).chain(started.started_by.clone()).collect();
    let inputs = Inputs::OnRecord(Arc::new((owners, started.input.clone())));
    for (_, record) in records {
        match &record.event {
            Event::Intent(intent) if matches!(intent.effect, Effect::Change | Effect::Irrevocable) => {
                // An intent without a prior state failed in preparation: nothing was attempted.
                if intent.before.is_none() {
                    continue;
                }
                changes.push(Change::of(intent.clone(), connectors, inputs.clone(), true)?);
            }
            Event::Outcome(outcome) => match &outcome.result {
                CallResult::Failed { failure } => {
                    let definite = serde_json::from_str::<Failure>(failure.get())
                        .is_ok_and(|failure| failure.is_definite());
                    changes.retain(|change| !(definite && change.intent.call == outcome.call));
                }
                got @ (CallResult::Ok { .. } | CallResult::Sealed { .. }) => {
                    for change in changes.iter_mut().filter(|change| change.intent.call == outcome.call) {
                        change.in_doubt = false;
                        if let CallResult::Ok { value } = got {
                            change.got = Some(value.clone());
                        }
                    }
                }
            },
            Event::Resolved(resolved) if resolved.happened => {
                for change in changes.iter_mut().filter(|change| change.intent.call == resolved.call) {
                    change.in_doubt = false;
                }
            }
            Event::Resolved(resolved) => changes.retain(|change| change.intent.call != resolved.call),
            Event::UndoOutcome(undone) => {
                for change in changes.iter_mut().filter(|change| change.intent.call == undone.call) {
                    change.undo = Some(undone.result.clone());
                }
            }
            _ => {}
        }
    }
    Ok(changes)
}

/// The records of a run, after each was found in the log that the newest checkpoint signs. Nothing is undone, decided or
/// replayed because of a record that somebody altered.
pub(crate) fn genuine(home: &Home, reader: &Reader, run: RunId) -> Result<Vec<(u64, Record)>, Error> {
    Ok(reader.genuine(&run, &home.verifier()?)?)
}
