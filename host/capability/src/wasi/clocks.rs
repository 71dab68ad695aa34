//! Clocks, and waiting for them. Whatever depends on the time is an operation, so that its answer is in
//! the journal and a replay need not ask a clock.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use remit_gate::{Facts, Failure, Observe, Operation, Reads, Resource};
use serde::{Deserialize, Serialize};
use wasmtime::component::Resource as Handle;

use super::error::misuse;
use super::handle::Pollable;
use crate::Ctx;
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::wasi::io::poll;
use crate::host::this_run;

/// Pollables of one `poll`, at most.
const MAX_POLLED: usize = 64;

/// Nanoseconds on the host's monotonic clock, from the first look at it.
fn monotonic() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// `wasi:clocks/wall-clock.now`: reads the time of day.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct WallNow {}

/// `wasi:clocks/monotonic-clock.now`: reads the monotonic clock, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MonotonicNow {}

/// `wasi:io/poll.poll`: waits until one of several moments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Poll {
    /// Moments on the monotonic clock; none is ready at once.
    pub until: Vec<Option<u64>>,
}

/// `wasi:io/poll.pollable.ready`: whether a moment has passed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// A moment on the monotonic clock.
    pub until: u64,
}

impl Operation for WallNow {
    const NAME: &'static str = "wasi:clocks/wall-clock.now";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Facts;
    /// Seconds and nanoseconds since the Unix epoch.
    type Outcome = (u64, u32);

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(this_run())
    }
}

impl Observe for WallNow {
    async fn observe(&self, _: &Facts) -> Result<(u64, u32), Failure> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((since.as_secs(), since.subsec_nanos()))
    }
}

impl Operation for MonotonicNow {
    const NAME: &'static str = "wasi:clocks/monotonic-clock.now";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Facts;
    type Outcome = u64;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(this_run())
    }
}

impl Observe for MonotonicNow {
    async fn observe(&self, _: &Facts) -> Result<u64, Failure> {
        Ok(monotonic())
    }
}

impl Operation for Poll {
    const NAME: &'static str = "wasi:io/poll.poll";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Facts;
    /// The indexes of the moments that have passed.
    type Outcome = Vec<u32>;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(this_run())
    }
}

impl Observe for Poll {
    async fn observe(&self, _: &Facts) -> Result<Vec<u32>, Failure> {
        let first = self.until.iter().map(|at| at.unwrap_or(0)).min().unwrap_or(0);
        loop {
            let now = monotonic();
            if now >= first {
                let ready = (0..).zip(&self.until).filter(|(_, at)| at.is_none_or(|at| at <= now));
                return Ok(ready.map(|(index, _)| index).collect());
            }
            tokio::time::sleep(Duration::from_nanos(first - now)).await;
        }
    }
}

impl Operation for Ready {
    const NAME: &'static str = "wasi:io/poll.ready";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Facts;
    type Outcome = bool;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(this_run())
    }
}

impl Observe for Ready {
    async fn observe(&self, _: &Facts) -> Result<bool, Failure> {
        Ok(monotonic() >= self.until)
    }
}

impl Ctx {
    async fn monotonic(&mut self) -> wasmtime::Result<u64> {
        Ok(self.observe(MonotonicNow {}).await?)
    }

    fn moment(&self, pollable: &Handle<Pollable>) -> wasmtime::Result<Option<u64>> {
        Ok(match self.wasi.table.get(pollable)? {
            Pollable::Ready => None,
            Pollable::At(moment) => Some(*moment),
        })
    }

    async fn wait(&mut self, until: Vec<Option<u64>>) -> wasmtime::Result<Vec<u32>> {
        if until.iter().all(Option::is_none) {
            // Independent of any clock, so nothing to record.
            return Ok((0..).zip(&until).map(|(index, _)| index).collect());
        }
        Ok(self.observe(Poll { until }).await?)
    }
}

impl wall_clock::Host for Ctx {
    async fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let (seconds, nanoseconds) = self.observe(WallNow {}).await?;
        Ok(wall_clock::Datetime { seconds, nanoseconds })
    }

    async fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl monotonic_clock::Host for Ctx {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        self.monotonic().await
    }

    async fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    async fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Handle<Pollable>> {
        Ok(self.wasi.table.push(Pollable::At(when))?)
    }

    async fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Handle<Pollable>> {
        let at = self.monotonic().await?.saturating_add(when);
        Ok(self.wasi.table.push(Pollable::At(at))?)
    }
}

impl poll::HostPollable for Ctx {
    async fn ready(&mut self, pollable: Handle<Pollable>) -> wasmtime::Result<bool> {
        match self.moment(&pollable)? {
            None => Ok(true),
            Some(until) => Ok(self.observe(Ready { until }).await?),
        }
    }

    async fn block(&mut self, pollable: Handle<Pollable>) -> wasmtime::Result<()> {
        let until = vec![self.moment(&pollable)?];
        self.wait(until).await.map(drop)
    }

    async fn drop(&mut self, pollable: Handle<Pollable>) -> wasmtime::Result<()> {
        self.wasi.table.delete(pollable)?;
        Ok(())
    }
}

impl poll::Host for Ctx {
    async fn poll(&mut self, pollables: Vec<Handle<Pollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() || pollables.len() > MAX_POLLED {
            let why = format!("{} pollables at once; from 1 to {MAX_POLLED} are allowed", pollables.len());
            return Err(misuse(Poll::NAME, why));
        }
        let until = pollables.iter().map(|pollable| self.moment(pollable)).collect::<Result<_, _>>()?;
        self.wait(until).await
    }
}
