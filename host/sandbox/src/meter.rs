//! How much a run used, and the end of it when that is too much.

use std::time::{Duration, Instant};

use remit_gate::{Exceeded, Limit, Limits, Used};
use serde::Serialize;
use wasmtime::ResourceLimiter;

/// What a run used, all phases together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Consumed {
    /// Guest computation.
    pub fuel: u64,
    /// Milliseconds from start to end.
    pub wall_time: u64,
    /// The most linear memory at one time, in bytes.
    pub memory: u64,
    /// The most table elements at one time.
    pub table_elements: u64,
    /// Bytes of input.
    pub input: u64,
    /// Bytes of output.
    pub output: u64,
    /// What went through the gate.
    #[serde(flatten)]
    pub calls: Used,
}

/// Counts a run against its limits, across `run` and `verify`.
#[derive(Debug)]
pub struct Meter {
    pub(crate) limits: Limits,
    pub(crate) started: Instant,
    pub(crate) consumed: Consumed,
}

impl Meter {
    /// Starts the clock.
    #[must_use]
    pub fn start(limits: Limits) -> Self {
        Self { limits, started: Instant::now(), consumed: Consumed::default() }
    }

    /// What was used so far.
    #[must_use]
    pub fn consumed(&self, calls: Used) -> Consumed {
        Consumed { calls, wall_time: millis(self.started.elapsed()), ..self.consumed }
    }

    /// When the time is up.
    pub(crate) fn deadline(&self) -> Instant {
        self.started + self.allowed_time()
    }

    pub(crate) fn allowed_time(&self) -> Duration {
        self.limits.wall_time.unsigned_abs()
    }

    pub(crate) fn out_of_time(&self) -> Exceeded {
        let allowed = millis(self.allowed_time());
        Exceeded { limit: Limit::WallTime, used: millis(self.started.elapsed()).max(allowed + 1), allowed }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Sums all memories and all tables of a store: wasmtime's own limits count each alone.
#[derive(Debug)]
pub(crate) struct Limiter {
    pub(crate) memory: u64,
    pub(crate) table_elements: u64,
    max_memory: u64,
    max_table_elements: u64,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: 0,
            table_elements: 0,
            max_memory: limits.memory.as_u64(),
            max_table_elements: limits.table_elements,
        }
    }
}

/// Adds a growth to a sum. An excess is an error rather than the `false` that a guest could swallow: it
/// ends the run under its own name.
fn grow(sum: &mut u64, current: usize, desired: usize, limit: Limit, allowed: u64) -> wasmtime::Result<bool> {
    let used = sum.saturating_add(desired.saturating_sub(current) as u64);
    if used > allowed {
        return Err(wasmtime::Error::new(Exceeded { limit, used, allowed }));
    }
    *sum = used;
    Ok(true)
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        grow(&mut self.memory, current, desired, Limit::Memory, self.max_memory)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        grow(&mut self.table_elements, current, desired, Limit::TableElements, self.max_table_elements)
    }

    fn instances(&self) -> usize {
        200
    }

    fn tables(&self) -> usize {
        200
    }

    fn memories(&self) -> usize {
        50
    }
}
