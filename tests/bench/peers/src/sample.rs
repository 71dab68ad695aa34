//! How the hosts that run in this process are measured; jco.js does the same in Node.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::report::{FRESH, HOST_CALL, HOST_CALL_FEW, LIVE, Measure, PER_SECOND, median};

const THREADS: usize = 2;
const ROUNDS: usize = 5;

/// Measures a host. `fresh` makes what a thread needs to make an instance, call `run` and drop it; `live` calls `run`
/// on an instance that stays.
pub(crate) fn measures<F, Fresh>(
    fresh: F,
    mut live: impl FnMut(&'static str) -> Result<String>,
) -> Result<Vec<Measure>>
where
    F: Fn() -> Result<Fresh> + Sync,
    Fresh: FnMut() -> Result<String>,
{
    let mut one = fresh()?;
    for (input, wanted) in [("0", "0"), ("100", "200"), ("1000", "2000")] {
        let sum = live(input)?;
        ensure!(sum == wanted, "the guest answered {sum} to {input}");
    }
    let sum = one()?;
    ensure!(sum == "0", "a fresh guest answered {sum} to 0");

    let made = nanoseconds(2_000, 1, &mut one)?;
    let called = nanoseconds(500, 20, || live("0"))?;
    let empty = median(called.clone());
    let mut calls = |input, calls: u32| -> Result<Vec<f64>> {
        let took = nanoseconds(200, 1, || live(input))?;
        Ok(took.into_iter().map(|took| (took - empty) / f64::from(calls)).collect())
    };
    let (many, few) = (calls("1000", 1_000)?, calls("100", 100)?);
    let rates = (0..ROUNDS).map(|_| per_second(&fresh)).collect::<Result<_>>()?;
    Ok(vec![
        Measure::new(FRESH, "ns", made, 1),
        Measure::new(LIVE, "ns", called, 20),
        Measure::new(HOST_CALL, "ns", many, 1_000),
        Measure::new(HOST_CALL_FEW, "ns", few, 100),
        Measure::new(PER_SECOND, "1/s", rates, 1),
    ])
}

/// `n` samples of nanoseconds a call, each the mean of `each` calls. The first tenth only warms up.
fn nanoseconds(n: usize, each: u32, mut call: impl FnMut() -> Result<String>) -> Result<Vec<f64>> {
    let mut samples = Vec::with_capacity(n);
    for sample in 0..n + n / 10 {
        let since = Instant::now();
        for _ in 0..each {
            std::hint::black_box(call()?);
        }
        let took = since.elapsed().as_secs_f64() * 1e9 / f64::from(each);
        if sample >= n / 10 {
            samples.push(took);
        }
    }
    Ok(samples)
}

/// Fresh calls a second, all threads together, for a second.
fn per_second<F, Fresh>(fresh: &F) -> Result<f64>
where
    F: Fn() -> Result<Fresh> + Sync,
    Fresh: FnMut() -> Result<String>,
{
    let start = Barrier::new(THREADS);
    let one = || -> Result<f64> {
        let made = fresh();
        // Also a thread that fails comes here: the other waits for it.
        start.wait();
        let mut fresh = made?;
        let since = Instant::now();
        let mut calls = 0_u32;
        while since.elapsed() < Duration::from_secs(1) {
            fresh()?;
            calls += 1;
        }
        Ok(f64::from(calls) / since.elapsed().as_secs_f64())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(one)).collect();
        // Rates over the same second add up.
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?).sum()
    })
}
