//! One phase of one call: a fresh instance with limits of its own, whose only way out is an [`Exchange`].

use std::sync::Arc;
use std::time::Duration;

use remit_capability::CallError;
use remit_capability::connected::{Call, Connector as _, Played, Requests};
use remit_engine::{Engine, Halt, Limits, Meter, Metered, Type, blocking, instantiated};
use remit_gate::Failure;
use remit_text::json;
use remit_trust::canonical;
use serde_json::Value;
use serde_json::value::RawValue;
use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::exports::remit::connector::operations as wit;
use super::bindings::remit::connector::http;
use super::bindings::remit::host::log;
use super::bindings::remit::types::errors;
use super::bindings::{Connector, ConnectorPre};
use super::connected::{Before, Connected};
use super::inspection::Candidate;
use crate::{Exchange, NoAnswer, Phase, Placeholders, Request};

/// What one phase may use of the machine.
const FUEL: u64 = 10_000_000_000;
const MEMORY: u64 = 256 * 1024 * 1024;
const TABLE_ELEMENTS: u64 = 100_000;
/// How long it may compute, beside the time that its requests have.
const COMPUTES: Duration = Duration::from_secs(5);
/// The longest result, in bytes.
const LONGEST: usize = 1024 * 1024;
/// The longest words of a failure, in columns.
const LONGEST_WORDS: usize = 400;
/// How many bytes one phase may log.
const LOG: usize = 16 * 1024;

/// What is in the store of one phase.
pub(super) type Guest = Metered<Own>;

/// The host's side of one phase.
pub(super) struct Own {
    exchange: Arc<Exchange>,
    instance: String,
    log_left: usize,
}

/// A phase that ended well.
pub(super) struct Ended<R> {
    pub(super) value: R,
    pub(super) exchange: Arc<Exchange>,
}

/// The connector is at fault, and nothing was changed.
pub(super) fn unusable(of: &Connected, why: &str) -> Failure {
    let name = &of.reference().instance;
    Failure::Unavailable(format!("the connector {name}: {}", remit_text::short_line(why, LONGEST_WORDS)))
}

/// Compiles a connector and links it to what it may have.
pub(super) fn link(engine: &Engine, candidate: &Candidate) -> Result<ConnectorPre<Guest>, String> {
    let component = engine.compile(candidate).map_err(|error| error.to_string())?;
    let mut linker = Linker::<Guest>::new(engine.wasmtime());
    let pre = http::add_to_linker::<Guest, HasSelf<Own>>(&mut linker, AsMut::as_mut)
        .and_then(|()| log::add_to_linker::<Guest, HasSelf<Own>>(&mut linker, AsMut::as_mut))
        .and_then(|()| errors::add_to_linker::<Guest, HasSelf<Own>>(&mut linker, AsMut::as_mut))
        .and_then(|()| linker.instantiate_pre(&component))
        .and_then(ConnectorPre::new);
    pre.map_err(|error| format!("{error:#}"))
}

/// A phase before it runs.
pub(super) struct Running {
    phase: Phase,
    call: crate::Call,
    placeholders: Arc<Placeholders>,
    sent: Requests,
}

impl Running {
    pub(super) fn new(phase: Phase, call: &Call, before: Option<&Before>, got: Option<&RawValue>) -> Self {
        let value = |text: &str| serde_json::from_str(text).unwrap_or_default();
        Self {
            phase,
            call: crate::Call {
                function: call.operation.to_string(),
                path: call.resource.path().to_owned(),
                arguments: value(call.arguments.get()),
                undo: before.map(|before| before.undo.clone()).unwrap_or_default(),
                got: got.map(|got| value(got.get())).unwrap_or_default(),
                sealed: Arc::clone(&call.sealed),
            },
            placeholders: before.map(|before| Arc::clone(&before.placeholders)).unwrap_or_default(),
            sent: call.sent.clone(),
        }
    }

    /// The call as the component gets it.
    pub(super) fn told(of: &Connected, call: &Call, played: Vec<Played>) -> wit::Call {
        let plain = |value: &Value| {
            canonical(value).ok().and_then(|text| String::from_utf8(text).ok()).unwrap_or_default()
        };
        let simulated = played.into_iter().map(|played| wit::Simulated {
            function: played.operation.to_string(),
            arguments: played.arguments.get().to_owned(),
            undo: plain(&played.undo),
        });
        wit::Call {
            function: call.operation.to_string(),
            arguments: call.arguments.get().to_owned(),
            config: plain(of.origin.config()),
            simulated: simulated.collect(),
        }
    }

    /// Runs it in an instance of its own.
    pub(super) async fn run<R>(
        self,
        of: &Connected,
        call: impl AsyncFnOnce(&wit::Guest, &mut Store<Guest>) -> wasmtime::Result<Result<R, errors::Failure>>,
    ) -> Result<Ended<R>, Failure> {
        let Self { phase, call: with, placeholders, sent } = self;
        let ready = of.ready().await?;
        let exchange =
            Exchange::new(Arc::clone(&of.description), Arc::clone(&of.origin), phase, with, placeholders)?;
        let exchange = Arc::new(exchange);
        let mut meter = Meter::start(Limits {
            fuel: FUEL,
            wall_time: of.origin.timeout() + COMPUTES,
            memory: MEMORY,
            table_elements: TABLE_ELEMENTS,
        });
        let instance = of.reference().instance.clone();
        let own = Own { exchange: Arc::clone(&exchange), instance, log_left: LOG };
        let place = of.engine.place_inside(&mut meter).await;
        let mut session =
            place.open(&meter, own, || Ok(())).map_err(|error| unusable(of, &format!("{error:#}")))?;
        let called = meter
            .until_deadline(async {
                let made = ready.instantiate_async(&mut session.store).await;
                let made: Connector = instantiated(made, |_| false)?;
                call(made.remit_connector_operations(), &mut session.store).await
            })
            .await;
        session.settle(&mut meter);
        drop(session);
        sent.note(exchange.sent().iter().filter_map(|one| serde_json::to_value(one).ok()));
        // A breach is the outcome, whatever the connector says.
        if let Some(breach) = exchange.breach() {
            return Err(breach);
        }
        let failure = match called {
            Ok(Ok(value)) => return Ok(Ended { value, exchange }),
            Ok(Err(failure)) => said(failure, &exchange),
            Err(error) => {
                let why = match Halt::of(error, &meter) {
                    Halt::Exceeded(exceeded) => exceeded.to_string(),
                    Halt::NotStarted(why) => why,
                    Halt::Trap(trap) => trap.to_string(),
                    Halt::Host(error) => format!("{error:#}"),
                };
                match unusable(of, &format!("it crashed: {}", exchange.masked(&why))) {
                    // Nothing was changed: that is for sure, and not for the state to tell.
                    Failure::Unavailable(why) if exchange.change().is_none() => Failure::Denied(why),
                    failure => failure,
                }
            }
        };
        Err(in_doubt(failure, &exchange))
    }
}

/// The failure that a connector reports.
fn said(failure: errors::Failure, exchange: &Exchange) -> Failure {
    let words = |text: String| remit_text::short_line(&exchange.masked(&text), LONGEST_WORDS).into_owned();
    match failure {
        errors::Failure::Denied(why) => Failure::Denied(words(why)),
        errors::Failure::NotFound(why) => Failure::NotFound(words(why)),
        errors::Failure::Conflict(why) => Failure::Conflict(words(why)),
        errors::Failure::Invalid(why) => Failure::Invalid(words(why)),
        errors::Failure::Unavailable(why) => Failure::Unavailable(words(why)),
    }
}

/// After the one change was sent, a connector cannot say that nothing happened, unless the origin refused it: what happened,
/// the state tells.
fn in_doubt(failure: Failure, exchange: &Exchange) -> Failure {
    match exchange.change() {
        None | Some(Some(400..=407 | 409..=499)) => failure,
        Some(_) => match failure {
            Failure::Denied(why)
            | Failure::NotFound(why)
            | Failure::Conflict(why)
            | Failure::Invalid(why)
            | Failure::Unavailable(why) => Failure::Unavailable(why),
        },
    }
}

/// The result of a function, if it is of its type and holds no secret.
pub(super) fn returned(
    of: &Connected,
    call: &Call,
    exchange: &Exchange,
    text: &str,
) -> Result<Value, Failure> {
    let refuse = |why: &str| {
        let failure = unusable(of, &format!("its result of {} is refused: {why}", call.operation));
        // What it changed, if it changed anything, the state tells.
        Err(in_doubt(failure, exchange))
    };
    if text.len() > LONGEST {
        return refuse("it is longer than 1 MiB");
    }
    if exchange.has_secret(text) {
        return refuse("it has a secret in it");
    }
    let Ok(value) = json::parse(text) else { return refuse("it is not JSON that all read alike") };
    match ok_type(of, &call.operation) {
        None if value.is_null() => Ok(value),
        None => refuse("it has a value where the function returns none"),
        // Written anew, so that each value has one text.
        Some(ty) => match ty.from_json(&value).and_then(|value| ty.to_json(&value)) {
            Ok(value) => Ok(value),
            Err(misfit) => refuse(&misfit.to_string()),
        },
    }
}

/// What a function returns if it does not fail.
fn ok_type<'a>(of: &'a Connected, operation: &str) -> Option<&'a Type> {
    let (interface, function) = operation.rsplit_once('.')?;
    let mut served = of.interfaces().iter();
    let (_, functions) = served.find(|(name, _)| name.split('@').next() == Some(interface))?;
    match functions.0.get(function)?.result.as_ref()? {
        Type::Result(ok, _) => ok.as_deref(),
        _ => None,
    }
}

impl http::Host for Own {
    async fn send(&mut self, request: http::Request) -> Result<http::Response, CallError> {
        let http::Request { method, path, query, headers, body, credential } = request;
        let request = Request { method, path, query, headers, body, credential };
        // On this thread: to wake another and to be woken by it takes a third as long as a request to a server on this machine.
        match blocking(|| self.exchange.send(request)) {
            Ok(response) => {
                Ok(http::Response { status: response.status, headers: response.headers, body: response.body })
            }
            Err(NoAnswer::Failure(failure)) => Err(CallError::Failure(failure)),
            Err(NoAnswer::Breach(breach)) => Err(CallError::Trap(wasmtime::Error::new(breach))),
        }
    }
}

impl log::Host for Own {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let Some(left) = self.log_left.checked_sub(message.len()) else { return Ok(()) };
        self.log_left = left;
        let (connector, message) = (&self.instance, self.exchange.masked(&message));
        let message = remit_text::lines(&message);
        match level {
            log::Level::Debug => tracing::debug!(target: "remit::connector", connector, "{message}"),
            log::Level::Info => tracing::info!(target: "remit::connector", connector, "{message}"),
            log::Level::Warn => tracing::warn!(target: "remit::connector", connector, "{message}"),
            log::Level::Error => tracing::error!(target: "remit::connector", connector, "{message}"),
        }
        Ok(())
    }
}

impl errors::Host for Own {
    fn convert_failure(&mut self, error: CallError) -> wasmtime::Result<errors::Failure> {
        Ok(match error.failure()? {
            Failure::Denied(why) => errors::Failure::Denied(why),
            Failure::NotFound(why) => errors::Failure::NotFound(why),
            Failure::Conflict(why) => errors::Failure::Conflict(why),
            Failure::Invalid(why) => errors::Failure::Invalid(why),
            Failure::Unavailable(why) => errors::Failure::Unavailable(why),
        })
    }
}
