//! Traces: what the server did for a call, and how long each part took, as OpenTelemetry's JSON over HTTP (OTLP 1.x) to a collector.
//!
//! Only what [`EXPORTED`] names leaves the process: these spans, with these fields. A span that somebody adds elsewhere, or a field with an
//! argument in it, does not. Nothing waits for the collector: spans that it does not take in time are dropped and counted.

use std::fmt::{Debug, Write as _};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::metrics::counter::Counter;
use remit_lifecycle::TracesConfig;
use remit_text::Address;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::error::ServeError;

/// The spans that are exported, and of each the fields, with the names that they have for a collector.
const EXPORTED: [(&str, &[(&str, &str)]); 4] = [
    (
        "call",
        &[
            ("id", "remit.call"),
            ("route", "http.route"),
            ("method", "http.request.method"),
            (STATUS, "http.response.status_code"),
        ],
    ),
    ("rehearsal", &[("run", "remit.run")]),
    ("run", &[("run", "remit.run")]),
    ("host-call", &[("operation", "remit.operation"), ("kind", "remit.resource.kind")]),
];
/// The field by which a call is over, although what it began goes on.
const STATUS: &str = "status";
/// The field with the caller's own trace (<https://www.w3.org/TR/trace-context/>). It is not exported.
pub(crate) const PARENT: &str = "traceparent";

/// How many spans wait for the collector at most.
const WAITING: usize = 8_192;
/// How many go to it at once.
const BATCH: usize = 512;
/// How long they wait for more.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where finished spans go, once a collector is configured.
static QUEUE: OnceLock<Queue> = OnceLock::new();

struct Queue {
    spans: SyncSender<Message>,
    dropped: Counter,
}

enum Message {
    Span(Box<Finished>),
    /// Everything before this goes out at once.
    Flush(Sender<()>),
}

impl Queue {
    fn put(&self, span: Finished) {
        if self.spans.try_send(Message::Span(Box::new(span))).is_err() {
            self.dropped.inc();
        }
    }
}

/// What collects the spans of this process; to be made part of its subscriber. It does nothing until a server starts whose
/// configuration names a collector.
#[must_use]
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    let exported =
        |of: &Metadata<'_>| QUEUE.get().is_some() && of.is_span() && fields_of(of.name()).is_some();
    Spans.with_filter(FilterFn::new(exported as fn(&Metadata<'_>) -> bool))
}

fn fields_of(span: &str) -> Option<&'static [(&'static str, &'static str)]> {
    EXPORTED.iter().find(|(name, _)| *name == span).map(|(_, fields)| *fields)
}

/// Sends spans to this collector from now on.
pub(crate) fn start(config: &TracesConfig, dropped: &Counter) -> Result<(), ServeError> {
    let address = checked(&config.endpoint)?;
    let (spans, waiting) = mpsc::sync_channel(WAITING);
    let exporter = Exporter {
        agent: ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(true)
            .user_agent(concat!("remit/", env!("CARGO_PKG_VERSION")))
            .build()
            .into(),
        address,
        dropped: dropped.clone(),
        told: None,
    };
    let unstarted = |why: String| ServeError::Config { why, help: "this is an error of the system" };
    std::thread::Builder::new()
        .name("traces".to_owned())
        .spawn(move || exporter.run(&waiting))
        .map_err(|error| unstarted(format!("no thread for traces: {error}")))?;
    if QUEUE.set(Queue { spans, dropped: dropped.clone() }).is_err() {
        return Err(unstarted("another server of this process has traces".to_owned()));
    }
    // Spans that were asked about before were told that nobody wants them.
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

/// Waits until the collector has what was finished so far, or does not take it.
pub(crate) fn flush() {
    let (done, wait) = mpsc::channel();
    if let Some(queue) = QUEUE.get()
        && queue.spans.try_send(Message::Flush(done)).is_ok()
    {
        let _ = wait.recv_timeout(PATIENCE);
    }
}

/// The URL that spans are sent to: TLS, or this machine.
fn checked(endpoint: &str) -> Result<String, ServeError> {
    let wrong = |why: String| ServeError::Config {
        why: format!("`traces.endpoint`: {why}"),
        help: "write the collector's URL: https://HOST:PORT, or http://127.0.0.1:4318 on this machine",
    };
    let url = Address::parse(endpoint).map_err(|error| wrong(error.to_string()))?.url();
    if url.contains('?') {
        return Err(wrong("it has a query".to_owned()));
    }
    Ok(format!("{}/v1/traces", url.trim_end_matches('/')))
}

/// Which trace a span belongs to, and which span it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    trace: [u8; 16],
    parent: Option<[u8; 8]>,
}

impl Place {
    /// What a caller says (`00-TRACE-SPAN-FLAGS`): the place, and whether it wants the trace to be recorded.
    fn of(header: &str) -> Option<(Self, bool)> {
        let parts: Vec<&str> = header.split('-').collect();
        let [version, trace, span, flags, rest @ ..] = parts.as_slice() else { return None };
        let version: u8 = number::<1>(version)?[0];
        if version == 0xff || (version == 0 && !rest.is_empty()) {
            return None;
        }
        let (trace, span, [flags]) = (number::<16>(trace)?, number::<8>(span)?, number::<1>(flags)?);
        let some = trace != [0; 16] && span != [0; 8];
        some.then_some((Self { trace, parent: Some(span) }, flags & 1 == 1))
    }
}

/// Bytes in lower-case hexadecimal.
fn number<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A span, from its beginning.
struct Open {
    id: [u8; 8],
    place: Place,
    wanted: bool,
    began: SystemTime,
    ended: Option<SystemTime>,
    fields: &'static [(&'static str, &'static str)],
    values: Vec<(&'static str, Value)>,
    given: Option<String>,
}

impl Open {
    fn set(&mut self, field: &Field, value: Value) {
        if field.name() == PARENT {
            self.given = value.as_str().map(ToOwned::to_owned);
        }
        if let Some((_, name)) = self.fields.iter().find(|(name, _)| *name == field.name()) {
            self.values.push((name, value));
            if field.name() == STATUS {
                self.ended = Some(SystemTime::now());
            }
        }
    }
}

impl Visit for Open {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }
}

/// A span that is over.
struct Finished {
    id: [u8; 8],
    place: Place,
    name: &'static str,
    began: SystemTime,
    ended: SystemTime,
    values: Vec<(&'static str, Value)>,
}

impl Finished {
    fn json(&self) -> Value {
        let value = |value: &Value| match value {
            // 64-bit integers are texts in OTLP's JSON.
            Value::Number(number) => json!({"intValue": number.to_string()}),
            other => json!({"stringValue": other}),
        };
        let attributes: Vec<Value> =
            self.values.iter().map(|(name, of)| json!({"key": name, "value": value(of)})).collect();
        let of = |name: &str| self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let nanos = |at: SystemTime| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            since.as_nanos().to_string()
        };
        let failed =
            of("http.response.status_code").and_then(Value::as_u64).is_some_and(|status| status >= 500);
        // A call is named by its route, a host call by its operation.
        let name = of("http.route").or_else(|| of("remit.operation")).and_then(Value::as_str);
        json!({
            "traceId": hex(&self.place.trace),
            "spanId": hex(&self.id),
            "parentSpanId": self.place.parent.map(|parent| hex(&parent)).unwrap_or_default(),
            "name": name.unwrap_or(self.name),
            // 1: of the process itself; 2: of a server; 3: of a client.
            "kind": match self.name { "call" => 2, "host-call" => 3, _ => 1 },
            "startTimeUnixNano": nanos(self.began),
            "endTimeUnixNano": nanos(self.ended),
            "attributes": attributes,
            "status": if failed { json!({"code": 2}) } else { json!({}) },
        })
    }
}

/// Collects the spans.
struct Spans;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let (Some(span), Ok(random)) = (context.span(id), remit_trust::random()) else { return };
        let Some(fields) = fields_of(span.name()) else { return };
        let [trace @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = random;
        let mut own = [0; 8];
        own.copy_from_slice(&random[16..24]);
        let mut open = Open {
            id: own,
            place: Place { trace, parent: None },
            wanted: true,
            began: SystemTime::now(),
            ended: None,
            fields,
            values: Vec::new(),
            given: None,
        };
        attributes.record(&mut open);
        let given = open.given.take().and_then(|header| Place::of(&header));
        if let Some((place, wanted)) = given {
            (open.place, open.wanted) = (place, wanted);
        } else if let Some(parent) = span.parent()
            && let Some(parent) = parent.extensions().get::<Open>()
        {
            part_of(&mut open, parent);
        }
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(open);
        }
    }

    /// What goes on after its cause is over: a run, which nobody waits for.
    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let (Some(span), Some(cause)) = (context.span(id), context.span(follows)) else { return };
        if let Some(cause) = cause.extensions().get::<Open>()
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            part_of(open, cause);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Open { id, place, wanted: true, began, ended, values, .. }) =
            span.extensions_mut().remove::<Open>()
        else {
            return;
        };
        if let Some(queue) = QUEUE.get() {
            let ended = ended.unwrap_or_else(SystemTime::now);
            queue.put(Finished { id, place, name: span.name(), began, ended, values });
        }
    }
}

fn part_of(open: &mut Open, of: &Open) {
    open.place = Place { trace: of.place.trace, parent: Some(of.id) };
    open.wanted = of.wanted;
}

/// Sends spans, on a thread of its own.
struct Exporter {
    agent: ureq::Agent,
    address: String,
    dropped: Counter,
    /// When it was told last that the collector does not take them.
    told: Option<Instant>,
}

impl Exporter {
    fn run(mut self, waiting: &Receiver<Message>) {
        let mut batch: Vec<Finished> = Vec::new();
        let mut since = Instant::now();
        loop {
            match waiting.recv_timeout(PAUSE.saturating_sub(since.elapsed())) {
                Ok(Message::Span(span)) => batch.push(*span),
                Ok(Message::Flush(done)) => {
                    self.send(&mut batch);
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if batch.len() >= BATCH || since.elapsed() >= PAUSE {
                self.send(&mut batch);
                since = Instant::now();
            }
        }
    }

    fn send(&mut self, batch: &mut Vec<Finished>) {
        if batch.is_empty() {
            return;
        }
        let spans: Vec<Value> = batch.iter().map(Finished::json).collect();
        let resource = json!({"attributes": [
            {"key": "service.name", "value": {"stringValue": "remit"}},
            {"key": "service.version", "value": {"stringValue": env!("CARGO_PKG_VERSION")}},
        ]});
        let body = json!({"resourceSpans": [
            {"resource": resource, "scopeSpans": [{"scope": {"name": "remit"}, "spans": spans}]},
        ]});
        let sent =
            self.agent.post(&self.address).header("content-type", "application/json").send(body.to_string());
        if let Err(error) = sent {
            self.dropped.inc_by(u64::try_from(batch.len()).unwrap_or(u64::MAX));
            if self.told.is_none_or(|told| told.elapsed() > Duration::from_secs(60)) {
                tracing::warn!(%error, spans = batch.len(), "the collector does not take traces: they are dropped");
                self.told = Some(Instant::now());
            }
        }
        batch.clear();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_callers_trace_is_what_the_standard_says() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let (place, wanted) = Place::of(&format!("00-{trace}-{span}-01")).unwrap();
        assert_eq!(
            (hex(&place.trace), hex(&place.parent.unwrap()), wanted),
            (trace.into(), span.into(), true)
        );
        assert!(!Place::of(&format!("00-{trace}-{span}-00")).unwrap().1);
        // A later version may say more.
        assert!(Place::of(&format!("01-{trace}-{span}-01-more")).is_some());
        let zero = "0".repeat(32);
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{zero}-{span}-01"),
            format!("00-{trace}-{}-01", &zero[..16]),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", &trace[2..]),
            format!("00-{trace}-{span}-1"),
            format!("00-+{}-{span}-01", &trace[1..]),
        ] {
            assert_eq!(Place::of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn traces_go_over_tls_or_stay_here() {
        for (endpoint, becomes) in [
            ("https://otel.example:4318", Some("https://otel.example:4318/v1/traces")),
            ("https://otel.example/tenant/", Some("https://otel.example/tenant/v1/traces")),
            ("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces")),
            ("http://[::1]:4318/", Some("http://[::1]:4318/v1/traces")),
            ("http://otel.example:4318", None),
            ("http://127.0.0.1.example:4318", None),
            ("https://user:pass@otel.example", None),
            ("https://otel.example?token=x", None),
            ("otel.example:4318", None),
            ("", None),
        ] {
            assert_eq!(checked(endpoint).ok().as_deref(), becomes, "{endpoint}");
        }
    }
}
