//! The wasmtime engine: one configuration for every run, chosen for determinism first.

use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::examine::Flaw;
use crate::warm::Warm;
use crate::{AdmissionError, Cache, features};

/// How long a guest can compute between two looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// Bytes of guest stack; deeper recursion is the named outcome `stack`.
pub(crate) const STACK: usize = 512 * 1024;

/// How many exports are called at once; whoever comes later waits for a place.
const PLACES: u32 = 256;
/// What one component may have at most of core instances, memories and tables, so that each has its place whatever the
/// others are. Reckoned generously: one in Python has 38, 2 and 3.
pub(crate) const CORE_INSTANCES: u32 = 48;
pub(crate) const MEMORIES: u32 = 4;
pub(crate) const TABLES: u32 = 16;
/// What is more than anyone needs costs only addresses.
pub(crate) const TABLE_ELEMENTS: usize = 10_000_000;
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
        let engine = pooled(&mut config()).map_err(|error| AdmissionError::Engine(format!("{error:#}")))?;
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

/// What every engine is: that of the compiler, and that of the runs.
fn config() -> Config {
    let mut config = Config::new();
    features::configure(&mut config);
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .async_stack_size(STACK + 1024 * 1024)
        // The same component with the same answers must do the same again (replay).
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .concurrency_support(false);
    config
}

/// Compiles a component, for any engine of this program.
pub(crate) fn compile(component: &[u8]) -> Result<Vec<u8>, Flaw> {
    let not_ready = |error: wasmtime::Error| Flaw::NotReady(format!("{error:#}"));
    Engine::new(&config()).and_then(|engine| engine.precompile_component(component)).map_err(not_ready)
}

/// An engine that has the places of its guests ready, so that a run costs no system call for each of its memories.
/// They take address space, not memory: where there is too little of it (a limit such as `ulimit -v`), each run makes
/// its own, and there is no share to keep to.
fn pooled(config: &mut Config) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(PLACES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .total_core_instances(PLACES * CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_memories_per_module(MEMORIES)
        .total_memories(PLACES * MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .total_tables(PLACES * TABLES)
        .table_elements(TABLE_ELEMENTS)
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use wasmtime::Store;
    use wasmtime::component::{Component, Linker};

    use super::*;

    fn component(engine: &Engine, instances: u32, memories: u32, tables: u32) -> wasmtime::Result<Component> {
        let mut text =
            "(component (core module $m (memory 1)) (core module $t (table 1 funcref)) (core module $n)"
                .to_owned();
        for instance in 0..instances {
            text += match instance {
                n if n < memories => "(core instance (instantiate $m))",
                n if n < memories + tables => "(core instance (instantiate $t))",
                _ => "(core instance (instantiate $n))",
            };
        }
        Component::new(engine, wat::parse_str(text + ")").unwrap())
    }

    /// What one engine compiles, the other takes.
    #[test]
    fn compilers_and_runs_agree() {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&Engine::new(&config()).unwrap()), hash(&pooled(&mut config()).unwrap()));
    }

    /// Nobody takes another's place: what would have more than its share is not let in, and with its share each has
    /// room while all others have theirs.
    #[test]
    fn each_has_its_place() {
        let engine = Sandbox::new(None).unwrap().engine;
        for (instances, memories, tables) in
            [(CORE_INSTANCES + 1, 0, 0), (CORE_INSTANCES, MEMORIES + 1, 0), (CORE_INSTANCES, 0, TABLES + 1)]
        {
            let refused = component(&engine, instances, memories, tables).unwrap_err().to_string();
            assert!(refused.contains("exceeds the configured maximum"), "{refused}");
        }
        let greedy = component(&engine, CORE_INSTANCES, MEMORIES, TABLES).unwrap();
        let greedy = Linker::new(&engine).instantiate_pre(&greedy).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let all: Vec<Store<()>> = (0..PLACES)
            .map(|_| {
                let mut store = Store::new(&engine, ());
                runtime.block_on(greedy.instantiate_async(&mut store)).unwrap();
                store
            })
            .collect();
        assert_eq!(all.len(), PLACES as usize);
    }
}
