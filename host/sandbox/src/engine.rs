//! The wasmtime engine: one configuration for every run, chosen for determinism first.

use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::warm::Warm;
use crate::{AdmissionError, Cache};

/// How long a guest can compute between two looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// Bytes of guest stack; deeper recursion is the named outcome `stack`.
pub(crate) const STACK: usize = 512 * 1024;

/// How many exports are called at once; whoever comes later waits for a place.
const PLACES: u32 = 256;
/// Core instances in one component, reckoned generously: one in Python has 38.
const CORE_INSTANCES: u32 = 48;
/// What a module may have at most, whatever its scope says: what is more than anyone needs costs only addresses.
const TABLES: u32 = 8;
const MEMORIES: u32 = 4;
const TABLE_ELEMENTS: usize = 10_000_000;
/// What stays in memory of a guest that is gone, for the next one: of each memory and each table.
const KEPT_MEMORY: usize = 2 * 1024 * 1024;
const KEPT_TABLE: usize = 256 * 1024;
/// How many places keep it.
const WARM: u32 = 64;

/// The engine and what every run on it shares. One per process.
pub struct Sandbox {
    pub(crate) engine: Engine,
    /// Taken by each call for as long as its store lives.
    pub(crate) places: Semaphore,
    pub(crate) warm: Warm,
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
        let engine = pooled(&mut config).map_err(|error| AdmissionError::Engine(format!("{error:#}")))?;
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
        Ok(Self { engine, places: Semaphore::new(PLACES as usize), warm: Warm::default(), cache })
    }
}

/// An engine that has the places of its guests ready, so that a run costs no system call for each of its memories.
/// They take address space, not memory: where there is too little of it (a limit such as `ulimit -v`), each run makes
/// its own.
fn pooled(config: &mut Config) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(PLACES)
        .total_core_instances(PLACES * CORE_INSTANCES)
        .total_memories(PLACES * MEMORIES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .total_tables(PLACES * CORE_INSTANCES)
        .total_stacks(PLACES)
        .max_unused_warm_slots(WARM)
        .linear_memory_keep_resident(KEPT_MEMORY)
        .table_keep_resident(KEPT_TABLE)
        .pagemap_scan(Enabled::Auto);
    Engine::new(config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool))).or_else(|error| {
        tracing::info!(%error, "no room for a pool of guests: each run makes its own memory");
        Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand))
    })
}
