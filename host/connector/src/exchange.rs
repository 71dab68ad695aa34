//! One phase of one call: compares each request, sends it or refuses it, and notes what was sent.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use remit_gate::Failure;
use remit_trust::{Digest, SecretText, ValueHandle};
use serde_json::Value;

use crate::answer::{Masks, conceal};
use crate::call::{Call, NoAnswer, Phase, Sent};
use crate::client::{Incoming, Lost, Outgoing};
use crate::credential::Lent;
use crate::replay::Recorded;
use crate::request::Read;
use crate::template::{Fitted, Misfit, Template, Variables};
use crate::{Description, Function, Origin, Placeholders, Request, Response, placeholder};

/// How many requests one phase may send.
const MOST: usize = 8;
/// How long to wait before a read is tried again: at first, and at most. It doubles each time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often a read is tried.
const TRIES: u32 = 3;

/// One phase of one call. When it is dropped, nothing more is sent.
pub struct Exchange {
    description: Arc<Description>,
    origin: Arc<Origin>,
    phase: Phase,
    call: Call,
    placeholders: Arc<Placeholders>,
    until: Instant,
    /// Whether `until` is the end of the run's time, and not that of the origin's `timeout`.
    cut: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    asked: usize,
    /// The one change was sent, or may have been.
    changed: bool,
    breach: Option<Failure>,
    sent: Vec<Sent>,
    /// What the host sent that no answer and no text of the connector may show.
    secrets: Vec<SecretText>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({} {} at {:?})", self.phase.name(), self.call.function, self.origin)
    }
}

impl Exchange {
    /// Begins a phase; its time runs from now. `placeholders` are those of the call's earlier phases: `Arc::default()` in the first.
    ///
    /// Fails with `invalid` if the call is not one of the description: a path with another number of segments, a sealed argument
    /// that is no sealed input of the run.
    pub fn new(
        description: Arc<Description>,
        origin: Arc<Origin>,
        phase: Phase,
        call: Call,
        placeholders: Arc<Placeholders>,
    ) -> Result<Self, Failure> {
        let invalid = |why: String| Failure::Invalid(format!("{}: {why}", call.function));
        let Some(function) = description.function(&call.function) else {
            return Err(invalid("the connector's description has no such function".to_owned()));
        };
        let Some(path) = function.path().bind(&call.path) else {
            let wanted = function.path().as_str();
            return Err(invalid(format!("`{}` is not a path of the form NAME/{wanted}", call.path)));
        };
        if call.path.split('/').next() != Some(origin.name()) {
            return Err(invalid(format!("`{}` is not served by the connector {}", call.path, origin.name())));
        }
        if let Some(name) = path.keys().find(|name| call.arguments.get(**name).is_some()) {
            return Err(invalid(format!("`{name}` is a segment of the path and a parameter too")));
        }
        let mut secrets = Vec::new();
        for name in function.sealed() {
            let Some(handle) = call.arguments.get(name).filter(|value| !value.is_null()) else { continue };
            let input = handle.as_str().and_then(|text| text.parse().ok()).and_then(|h| call.sealed.get(&h));
            match input {
                Some(value) => secrets.push(value.clone()),
                // Afterwards it may be kept no more. A request that needs it is not sent then.
                None if matches!(phase, Phase::State | Phase::Undo) && is_handle(handle) => {}
                None => {
                    return Err(invalid(format!("`{name}` is not the handle of a sealed input of this run")));
                }
            }
        }
        let until = Instant::now() + origin.timeout();
        // No request outlives the run that it is for.
        let run_ends = remit_engine::deadline().filter(|end| *end < until);
        let state = Mutex::new(State { secrets, ..State::default() });
        let (until, cut) = (run_ends.unwrap_or(until), run_ends.is_some());
        Ok(Self { description, origin, phase, call, placeholders, until, cut, state })
    }

    /// Sends a request if it may be sent, and waits for the answer.
    pub fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        let mut state = self.state();
        if let Some(breach) = &state.breach {
            return Err(NoAnswer::Breach(breach.clone()));
        }
        match self.try_send(&mut state, &request) {
            Ok(answered) => answered.map_err(NoAnswer::Failure),
            Err(breach) => {
                let tried = request.read().map_or("a request", |read| read.method.name());
                let told = format!(
                    "the connector {} wanted to send {tried} in `{}` of {}, which it may not: {}",
                    self.origin.name(),
                    self.phase.name(),
                    self.call.function,
                    breach.0
                );
                // What the one change did, its state tells, as after any answer that is lost.
                let failure = if state.changed { Failure::Unavailable(told) } else { Failure::Denied(told) };
                state.breach = Some(failure.clone());
                Err(NoAnswer::Breach(failure))
            }
        }
    }

    /// What was sent until now, in order.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.state().sent.clone()
    }

    /// The breach that ended the phase. It is the outcome, whatever the connector says.
    #[must_use]
    pub fn breach(&self) -> Option<Failure> {
        self.state().breach.clone()
    }

    /// Whether the one change was sent or may have been, and the status of its answer.
    #[must_use]
    pub fn change(&self) -> Option<Option<u16>> {
        let state = self.state();
        let answered = state.sent.iter().find(|sent| sent.change).and_then(|sent| sent.status);
        state.changed.then_some(answered)
    }

    /// The placeholders of the call, for its next phase.
    #[must_use]
    pub fn placeholders(&self) -> Arc<Placeholders> {
        Arc::clone(&self.placeholders)
    }

    /// Text by the connector (a log line, an error) without secrets and placeholders: each is shown as `…`.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        placeholder::without(&Masks::new(&self.placeholders, &self.state().secrets).hide(text))
    }

    /// Whether text by the connector (a result, `undo`, `describe`) has a secret or a placeholder in it, also where JSON writes it with
    /// escapes. Then it is not used.
    #[must_use]
    pub fn has_secret(&self, text: &str) -> bool {
        let masks = Masks::new(&self.placeholders, &self.state().secrets);
        let in_json = |value: &Value| placeholder::is_in_json(value) || masks.are_in_json(value);
        placeholder::is_in(text)
            || masks.are_in(text)
            || serde_json::from_str::<Value>(text).is_ok_and(|value| in_json(&value))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn try_send(&self, state: &mut State, request: &Request) -> Result<Result<Response, Failure>, Breach> {
        state.asked += 1;
        if state.asked > MOST {
            return Err(Breach(format!("one phase sends at most {MOST} requests")));
        }
        let read = request.read().map_err(Breach)?;
        self.refuse_credentials(&read)?;
        // The function was found when the phase began.
        let Some(function) = self.description.function(&self.call.function) else {
            return Err(Breach("there is no such function".to_owned()));
        };
        let (template, fitted, is_change) = self.fit(function, &read)?;
        if let Some(name) = &fitted.gone {
            let why = format!("the value of the sealed argument `{name}` is not kept any more");
            return Ok(Err(Failure::Unavailable(why)));
        }
        if is_change && state.changed {
            return Err(Breach("a second change in one call".to_owned()));
        }
        if self.left().is_zero() {
            return Ok(Err(self.time_is_up()));
        }
        let target = request.target();
        let answer = if is_change {
            state.changed = true;
            let answer = self.attempt(state, &read, &target, &fitted);
            match &answer {
                Err(Lost::NotSent(_)) => state.changed = false,
                Ok(answer) if answer.status == 401 => drop(self.origin.credential.refused()),
                _ => {}
            }
            answer
        } else {
            self.read(state, &read, &target, &fitted)
        };
        if let Err(Lost::NotSent(failure)) = answer {
            return Ok(Err(failure));
        }
        let answered = answer.map_err(Lost::into_failure).map(|answer| {
            let status = answer.status;
            let origin = self.origin.address();
            let shown = conceal(answer, function, &self.placeholders, &state.secrets, origin);
            (status, shown)
        });
        let (status, shown) = match answered {
            Ok((status, shown)) => (Some(status), shown),
            Err(failure) => (None, Err(failure)),
        };
        self.origin.record(|| {
            let body = fitted.shown_body.as_deref();
            let request = Outgoing { body, ..self.outgoing(&read, &target, &fitted) };
            Recorded::of(&request, shown.as_ref().ok())
        });
        state.sent.push(Sent {
            method: read.method.name().to_owned(),
            template: template.to_string(),
            change: is_change,
            status,
            request: fitted.shown_body.as_deref().map(Digest::of),
            answer: shown.as_ref().ok().map(|response| Digest::of(&response.body)),
        });
        Ok(shown)
    }

    /// What the host alone says, and what goes to no place but a body.
    fn refuse_credentials(&self, read: &Read<'_>) -> Result<(), Breach> {
        if let Some((name, _)) = read.headers.iter().find(|(name, _)| self.origin.credential.sets(name)) {
            return Err(Breach(format!("the header `{name}` is the host's")));
        }
        let pairs = read.of.query.iter().chain(&read.headers);
        let mut texts = read.of.path.iter().chain(pairs.flat_map(|(name, value)| [name, value]));
        if texts.any(|text| placeholder::is_in(text)) {
            return Err(Breach("a secret's placeholder outside of a body".to_owned()));
        }
        Ok(())
    }

    /// The template of a request, and whether it is that of a change.
    fn fit<'a>(
        &'a self,
        function: &'a Function,
        read: &Read<'_>,
    ) -> Result<(&'a Template, Fitted, bool), Breach> {
        let with = Variables {
            path: function.path().bind(&self.call.path).unwrap_or_default(),
            arguments: &self.call.arguments,
            undo: &self.call.undo,
            got: &self.call.got,
            config: self.origin.config(),
            sealed: function.sealed(),
            inputs: &self.call.sealed,
            placeholders: &self.placeholders,
        };
        let mut nearest: Option<(Misfit, &Template)> = None;
        let writes = self.phase.writes(function).iter().map(|template| (template, true));
        for (template, is_change) in writes.chain(function.reads().iter().map(|template| (template, false))) {
            match template.fit(read, &with, is_change) {
                Ok(_) if !is_change && !template.is_safe() && !self.origin.entry.post_reads => {
                    return Err(Breach(format!(
                        "`{template}` is read with POST, and `post_reads` is not set in its entry of remit.toml"
                    )));
                }
                Ok(fitted) => return Ok((template, fitted, is_change)),
                Err(misfit) => {
                    if nearest.as_ref().is_none_or(|(best, _)| *best < misfit) {
                        nearest = Some((misfit, template));
                    }
                }
            }
        }
        Err(Breach(match nearest {
            Some((misfit, template)) if misfit.progress > 0 => {
                let template = remit_text::short_line(template.as_str(), 120);
                format!("no template has it; of `{template}`, which is nearest, {}", misfit.why)
            }
            _ => "no template of this phase has that method".to_owned(),
        }))
    }

    /// Asks, and asks again while that may help, all within the phase's time.
    fn read(
        &self,
        state: &mut State,
        read: &Read<'_>,
        target: &str,
        fitted: &Fitted,
    ) -> Result<Incoming, Lost> {
        // A fixture says all that happens.
        let most = if self.origin.replay().is_some() { 1 } else { TRIES };
        let (mut tries, mut pause) = (0, PAUSES.0);
        loop {
            let answer = self.attempt(state, read, target, fitted);
            tries += 1;
            let wait = match &answer {
                Err(Lost::Unknown(_)) => Some(pause),
                Ok(answer) if matches!(answer.status, 429 | 503) => {
                    let asked = remit_http::retry_after(&answer.headers);
                    Some(asked.map_or(pause, |asked| asked.max(pause)))
                }
                Ok(answer) if matches!(answer.status, 408 | 500 | 502 | 504) => Some(pause),
                // The token that was kept may have been taken back.
                Ok(answer) if answer.status == 401 && self.origin.credential.refused() && tries == 1 => {
                    Some(Duration::ZERO)
                }
                _ => None,
            };
            match wait.filter(|wait| tries < most && *wait < self.left()) {
                Some(wait) => std::thread::sleep(wait),
                None => return answer,
            }
            pause = PAUSES.1.min(pause * 2);
        }
    }

    fn attempt(
        &self,
        state: &mut State,
        read: &Read<'_>,
        target: &str,
        fitted: &Fitted,
    ) -> Result<Incoming, Lost> {
        let mut request = self.outgoing(read, target, fitted);
        let Lent { headers, secrets } = self.lend(read, &request).map_err(Lost::NotSent)?;
        for secret in secrets {
            if !state.secrets.contains(&secret) {
                state.secrets.push(secret);
            }
        }
        request.headers.extend(headers);
        if self.left().is_zero() {
            return Err(Lost::NotSent(self.time_is_up()));
        }
        self.origin.client.send(&request, self.left())
    }

    /// The request without the credential.
    fn outgoing<'a>(&'a self, read: &Read<'_>, target: &'a str, fitted: &'a Fitted) -> Outgoing<'a> {
        let plain = |(name, value): &(String, String)| (name.clone(), SecretText::new(value.clone()));
        Outgoing {
            method: read.method.name(),
            origin: self.origin.address(),
            target,
            headers: fitted.headers.iter().map(plain).collect(),
            body: fitted.body.as_ref().map(|body| body.as_slice()),
            bound: &fitted.headers,
            sent_as: fitted.sent_as.as_deref(),
        }
    }

    fn lend(&self, read: &Read<'_>, request: &Outgoing<'_>) -> Result<Lent, Failure> {
        let credential = &self.origin.credential;
        let Some(handle) = &read.of.credential else {
            return credential.lend(&self.origin.client, request, self.left());
        };
        // That it is the argument of the template was compared.
        let value = handle.parse().ok().and_then(|handle| self.call.sealed.get(&handle));
        let value = value.ok_or_else(|| Failure::Invalid("the sealed argument is not there".to_owned()))?;
        credential.lend_sealed(value)
    }

    fn time_is_up(&self) -> Failure {
        let (name, within) = (self.origin.name(), self.origin.timeout());
        Failure::Unavailable(if self.cut {
            format!(
                "the connector {name} has no time left, because the run's own ends: see `wall_time` of its scope"
            )
        } else {
            format!("the connector {name} needed longer than {within:?} for one phase")
        })
    }
}

fn is_handle(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<ValueHandle>().is_ok())
}

/// Why a request is not sent, without any value in it.
struct Breach(String);
