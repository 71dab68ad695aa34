//! Wasmtime's configuration: one for every engine of this program, chosen for determinism first. And the compiler.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::confined::{MIB, Task};
use crate::features;
use crate::flaw::Flaw;
use crate::quota::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};

/// Bytes of guest stack; deeper recursion ends as [`crate::Limit::Stack`].
pub(crate) const STACK: usize = 512 * 1024;
/// How many stores are open at once; a later call waits for a place.
pub(crate) const PLACES: u32 = 256;
/// How many stores are open at once that another one waits for.
pub(crate) const INSIDE: u32 = 64;
/// How many stores there are memory for.
const ALL: u32 = PLACES + INSIDE;

/// Bytes of each guest memory that stay resident for the next guest.
const KEPT_MEMORY: usize = 2 * 1024 * 1024;
/// Bytes of each guest table that stay resident for the next guest.
const KEPT_TABLE: usize = 256 * 1024;
/// How many places keep these bytes resident.
const WARM: u32 = 64;

/// Compiles a component that was examined, for any engine of this program.
pub(crate) const COMPILE: Task = Task {
    name: "compile",
    purpose: "to compile it",
    memory: 3072 * MIB,
    seconds: 900,
    answer: 2048 * MIB,
    announced: true,
    work: compile,
};

/// The settings that compiled code depends on, and so the same for the compiler and for the runs.
pub(crate) fn config() -> Config {
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

fn compile(component: &[u8]) -> Result<Vec<u8>, Flaw> {
    let failed = |error: wasmtime::Error| Flaw::NotCompiled(format!("{error:#}"));
    Engine::new(&config()).and_then(|engine| engine.precompile_component(component)).map_err(failed)
}

/// An engine that has memory for its guests laid out beforehand, so that a run costs no system call for each of its
/// memories. They take address space, not memory. Where there is too little of it (a limit such as `ulimit -v`), each
/// run lays out its own, and the quota does not apply.
pub(crate) fn pooled(config: &mut Config) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(ALL)
        .max_core_instances_per_component(CORE_INSTANCES)
        .total_core_instances(ALL * CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_memories_per_module(MEMORIES)
        .total_memories(ALL * MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .total_tables(ALL * TABLES)
        .table_elements(TABLE_ELEMENTS)
        .total_stacks(ALL)
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

    #[test]
    fn the_engine_runs_what_the_table_of_features_says() {
        assert_eq!(pooled(&mut config()).unwrap().get_wasm_features(), features::RUNS);
    }

    #[test]
    fn the_runs_load_what_the_compiler_makes() {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&Engine::new(&config()).unwrap()), hash(&pooled(&mut config()).unwrap()));
    }

    /// A component beyond the quota is refused, and as many as there are places run at once, each with its whole quota.
    #[test]
    fn each_has_its_quota() {
        let engine = pooled(&mut config()).unwrap();
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
