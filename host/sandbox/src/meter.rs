//! What a run used, and the limits of its scope.

use remit_engine::Limits as EngineLimits;
use remit_gate::{Exceeded, Limit, Limits, Used};
use serde::{Deserialize, Serialize};

/// How much a run used, `run` and `verify` together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumed {
    /// Guest computation, in wasmtime's fuel.
    pub fuel: u64,
    /// Milliseconds from start to end.
    pub wall_time: u64,
    /// The most linear memory at one time, in bytes.
    pub memory: u64,
    /// The most table elements at one time.
    pub table_elements: u64,
    /// The size of the input in bytes.
    pub input: u64,
    /// The size of the output in bytes.
    pub output: u64,
    /// How much the host calls used.
    #[serde(flatten)]
    pub calls: Used,
}

/// Counts a run against the limits of its scope, across `run` and `verify`.
#[derive(Debug)]
pub struct Meter {
    pub(crate) limits: Limits,
    pub(crate) engine: remit_engine::Meter,
    input: u64,
    output: u64,
}

impl Meter {
    /// Starts to count, with the wall clock at zero.
    #[must_use]
    pub fn start(limits: Limits) -> Self {
        let engine = remit_engine::Meter::start(EngineLimits {
            fuel: limits.fuel,
            wall_time: limits.wall_time.unsigned_abs(),
            memory: limits.memory.as_u64(),
            table_elements: limits.table_elements,
        });
        Self { limits, engine, input: 0, output: 0 }
    }

    /// What was used so far, with what went through the gate.
    #[must_use]
    pub fn consumed(&self, calls: Used) -> Consumed {
        let used = self.engine.used();
        Consumed {
            fuel: used.fuel,
            wall_time: u64::try_from(self.engine.elapsed().as_millis()).unwrap_or(u64::MAX),
            memory: used.memory,
            table_elements: used.table_elements,
            input: self.input,
            output: self.output,
            calls,
        }
    }

    /// Counts the input of `run`.
    pub(crate) fn input(&mut self, input: &str) -> Result<(), Exceeded> {
        self.input = input.len() as u64;
        within(Limit::Input, self.input, self.limits.input.as_u64())
    }

    /// Counts an answer of the action.
    pub(crate) fn output(&mut self, output: &str) -> Result<(), Exceeded> {
        let used = output.len() as u64;
        self.output = self.output.max(used);
        within(Limit::Output, used, self.limits.output.as_u64())
    }
}

fn within(limit: Limit, used: u64, allowed: u64) -> Result<(), Exceeded> {
    if used > allowed { Err(Exceeded { limit, used, allowed }) } else { Ok(()) }
}
