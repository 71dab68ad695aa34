//! The wasmtime engine: one configuration for every run, chosen for determinism first.

use std::time::Duration;

use wasmtime::{Config, Engine};

use crate::{AdmissionError, Cache};

/// How long a guest can compute between two looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// Bytes of guest stack; deeper recursion is the named outcome `stack`.
pub(crate) const STACK: usize = 512 * 1024;

/// The engine and what every run on it shares. One per process.
pub struct Sandbox {
    pub(crate) engine: Engine,
    /// Where compiled components are kept; without one, each is compiled every time.
    pub(crate) cache: Option<Cache>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sandbox")
    }
}

impl Sandbox {
    /// Makes the engine and starts the thread that advances its clock.
    pub fn new(cache: Option<Cache>) -> Result<Self, AdmissionError> {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .consume_fuel(true)
            .epoch_interruption(true)
            .max_wasm_stack(STACK)
            .async_stack_size(STACK + 1024 * 1024)
            // The same component with the same answers must do the same again (replay).
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true)
            .concurrency_support(false);
        let engine = Engine::new(&config).map_err(|error| AdmissionError::Engine(format!("{error:#}")))?;
        let weak = engine.weak();
        std::thread::Builder::new()
            .name("remit-epoch".to_owned())
            .spawn(move || {
                // Ends with the last user of the engine.
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(|error| AdmissionError::Engine(error.to_string()))?;
        Ok(Self { engine, cache })
    }
}
