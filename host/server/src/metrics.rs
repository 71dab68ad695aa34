//! What is counted, in Prometheus' text format.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// One kind of call. Never a name, a path's content or anything else that a client chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// Whose bucket was empty: that of a `principal`, or of an `address`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Whose {
    whose: &'static str,
}

/// The server's counters.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    seconds: Histogram,
    too_often: Family<Whose, Counter>,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Spans of traces that no collector got.
    pub(crate) traces_dropped: Counter,
    runs: Family<State, Gauge>,
    requests: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("remit");
        let calls = Family::default();
        registry.register("http_calls", "Answered calls, by route and status", calls.clone());
        let seconds = Histogram::new(exponential_buckets(0.001, 4.0, 8));
        registry.register(
            "http_call_seconds",
            "How long calls took until their answer began",
            seconds.clone(),
        );
        let too_often = Family::default();
        registry.register(
            "http_rate_refused",
            "Calls that were refused because a principal, or an address without one, called too often",
            too_often.clone(),
        );
        let connections = Gauge::default();
        registry.register("http_connections", "Open connections", connections.clone());
        let traces_dropped = Counter::default();
        registry.register(
            "traces_dropped",
            "Spans of traces that were dropped, because the collector did not take them in time",
            traces_dropped.clone(),
        );
        let runs = Family::default();
        registry.register(
            "runs_open",
            "Runs that are going on, held, in doubt, or whose changes stand for a while only",
            runs.clone(),
        );
        let requests = Gauge::default();
        registry.register("requests_waiting", "Requests that wait for approvals", requests.clone());
        Self { registry, calls, seconds, too_often, connections, traces_dropped, runs, requests }
    }
}

impl Metrics {
    pub(crate) fn answered(&self, route: &'static str, status: u16, seconds: f64) {
        self.calls.get_or_create(&Call { route, status }).inc();
        self.seconds.observe(seconds);
    }

    /// A call came too often.
    pub(crate) fn refused_rate(&self, whose: &'static str) {
        self.too_often.get_or_create(&Whose { whose }).inc();
    }

    /// What the journal says now.
    pub(crate) fn stands(&self, status: &remit_lifecycle::HostStatus) {
        let set = |state, runs: usize| {
            self.runs.get_or_create(&State { state }).set(i64::try_from(runs).unwrap_or(i64::MAX));
        };
        set("going-on", status.going_on.len());
        set("held", status.held.len());
        set("in-doubt", status.in_doubt.len());
        set("contained", status.contained.len());
        self.requests.set(i64::try_from(status.waiting.len()).unwrap_or(i64::MAX));
    }

    /// All of it in `OpenMetrics` text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
