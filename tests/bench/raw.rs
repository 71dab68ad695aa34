//! The floor: wasmtime alone, with the settings that make it fastest here, and host functions that only answer.

use remit_capability::CallError;
use remit_capability::bindings::remit::types::errors;
use remit_capability::bindings::{Action, ActionPre};
use remit_capability::secrets::wit::{inspect, rotate};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

/// What a store of the floor holds: nothing.
pub struct Nothing;

/// A component that is ready to be instantiated.
pub struct Raw {
    engine: Engine,
    pre: ActionPre<Nothing>,
}

impl Raw {
    /// Without metering, without anything.
    pub fn new(component: &[u8]) -> Self {
        let mut pool = PoolingAllocationConfig::default();
        pool.pagemap_scan(wasmtime::Enabled::Auto)
            .linear_memory_keep_resident(2 * 1024 * 1024)
            .table_keep_resident(256 * 1024);
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .concurrency_support(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::new(&engine, component).expect("a component");
        let mut linker = Linker::new(&engine);
        errors::add_to_linker::<Nothing, HasSelf<Nothing>>(&mut linker, |nothing| nothing).expect("linked");
        inspect::add_to_linker::<Nothing, HasSelf<Nothing>>(&mut linker, |nothing| nothing).expect("linked");
        rotate::add_to_linker::<Nothing, HasSelf<Nothing>>(&mut linker, |nothing| nothing).expect("linked");
        let pre = ActionPre::new(linker.instantiate_pre(&component).expect("fits")).expect("an action");
        Self { engine, pre }
    }

    /// Instantiates, calls `run`, drops.
    pub async fn run(&self, input: &str) -> String {
        self.live().await.run(input).await
    }

    /// An instance that stays.
    pub async fn live(&self) -> Live {
        let mut store = Store::new(&self.engine, Nothing);
        let action = self.pre.instantiate_async(&mut store).await.expect("an instance");
        Live { store, action }
    }
}

/// An instance, and what it holds.
pub struct Live {
    store: Store<Nothing>,
    action: Action,
}

impl Live {
    pub async fn run(&mut self, input: &str) -> String {
        let Self { store, action } = self;
        let answer = action.remit_action_remediation().call_run(store, input).await;
        answer.expect("no trap").expect("no error")
    }
}

/// What every look at a secret is answered, here and by [`crate::house::Memory`].
fn answer() -> inspect::SecretMetadata {
    let version = |number| inspect::Version {
        number,
        created: 1_700_000_000_000,
        state: inspect::VersionState::Enabled,
    };
    inspect::SecretMetadata { current: 2, versions: vec![version(1), version(2)] }
}

impl errors::Host for Nothing {
    fn convert_failure(&mut self, error: CallError) -> wasmtime::Result<errors::Failure> {
        Err(error.into())
    }
}

impl inspect::Host for Nothing {
    async fn metadata(&mut self, _: String) -> Result<inspect::SecretMetadata, CallError> {
        Ok(answer())
    }
}

impl rotate::Host for Nothing {
    async fn rotate(&mut self, _: String, _: Option<String>) -> Result<rotate::Rotated, CallError> {
        Ok(rotate::Rotated { previous: 1, current: 2 })
    }
}
