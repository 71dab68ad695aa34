//! What a run uses of the engine's resources, and the end of it when that is too much.

use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use wasmtime::ResourceLimiter;

tokio::task_local! {
    /// When the innermost metered call of this task has no time left.
    static DEADLINE: Instant;
}

/// When the run that the current task belongs to has no time left; none outside of a run.
#[must_use]
pub fn deadline() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

/// Does work that blocks, such as reading a file, without stopping the other tasks of this thread. Nothing can end it before its
/// own end: what may take long has a time-out of its own, not after [`deadline`].
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // Outside a runtime there is nothing to stop. A runtime of one thread has no other thread to continue on.
        _ => work(),
    }
}

/// How much a run may use, all its calls together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Guest computation, in wasmtime's fuel (roughly one unit for each instruction).
    pub fuel: u64,
    /// Elapsed time, without the time waited for a place.
    pub wall_time: Duration,
    /// All linear memories of a store together, in bytes.
    pub memory: u64,
    /// All tables of a store together, in elements.
    pub table_elements: u64,
}

/// A resource that the engine limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Guest computation, in wasmtime's fuel.
    Fuel,
    /// Elapsed time, in milliseconds.
    WallTime,
    /// Linear memory, in bytes.
    Memory,
    /// Tables, in elements.
    TableElements,
    /// The guest's call stack, in bytes; the limit is the same for every run.
    Stack,
}

/// A limit was reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit {limit:?} exceeded: needed {used}, allowed {allowed}")]
pub struct Exceeded {
    /// The resource; it has the unit of both numbers.
    pub limit: Limit,
    /// The least that would have been needed.
    pub used: u64,
    /// The most that is allowed.
    pub allowed: u64,
}

/// How much a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The fuel of all calls together.
    pub fuel: u64,
    /// The most linear memory of one call, in bytes.
    pub memory: u64,
    /// The most table elements of one call.
    pub table_elements: u64,
}

/// Counts a run against its limits, across all its calls.
#[derive(Debug)]
pub struct Meter {
    pub(crate) limits: Limits,
    pub(crate) started: Instant,
    pub(crate) used: Used,
}

impl Meter {
    /// Starts to count, with the wall clock at zero.
    #[must_use]
    pub fn start(limits: Limits) -> Self {
        Self { limits, started: Instant::now(), used: Used::default() }
    }

    /// How much the calls that have ended used.
    #[must_use]
    pub fn used(&self) -> Used {
        self.used
    }

    /// Since the start, without the time waited for a place.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The result of `call`, or [`Limit::WallTime`] if it takes longer than the run's time. Ends what waits; what
    /// computes in the guest ends by the epoch.
    pub fn until_deadline<R>(
        &self,
        call: impl Future<Output = wasmtime::Result<R>>,
    ) -> impl Future<Output = wasmtime::Result<R>> {
        let least = deadline().map_or(self.deadline(), |outer| outer.min(self.deadline()));
        // In a box, because a future that awaits another holds it more than once.
        let called = Box::pin(tokio::time::timeout_at(self.deadline().into(), DEADLINE.scope(least, call)));
        async { called.await.unwrap_or_else(|_| Err(wasmtime::Error::new(self.out_of_time()))) }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.started + self.limits.wall_time
    }

    pub(crate) fn out_of_time(&self) -> Exceeded {
        let allowed = millis(self.limits.wall_time);
        Exceeded { limit: Limit::WallTime, used: millis(self.elapsed()).max(allowed + 1), allowed }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Sums all memories and all tables of a store: wasmtime's own limits count each alone.
#[derive(Debug)]
pub(crate) struct Limiter {
    pub(crate) memory: u64,
    pub(crate) table_elements: u64,
    limits: Limits,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { memory: 0, table_elements: 0, limits }
    }
}

/// Adds a growth to a sum. An excess is an error and not `false`, which the guest could ignore: it ends the call as
/// [`Exceeded`].
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
        grow(&mut self.memory, current, desired, Limit::Memory, self.limits.memory)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        grow(&mut self.table_elements, current, desired, Limit::TableElements, self.limits.table_elements)
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
