//! The engine of a process: wasmtime's, its clock, the places for stores, and the cache.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::config::{INSIDE, PLACES, config, pooled};
use crate::error::ComponentError;

/// How long a guest can compute between two looks at the clock.
const TICK: Duration = Duration::from_millis(5);

/// What every component of a process runs on, whatever its world. One per process.
pub struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    /// One is taken by each open store.
    pub(crate) places: Semaphore,
    /// One is taken by each store that is open while another one waits for it.
    pub(crate) inside: Semaphore,
    /// Where compiled code is kept; without one, each component is compiled every time.
    pub(crate) cache: Option<Cache>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Makes the engine, and starts the thread that advances its epoch every 5 ms.
    pub fn new(cache: Option<Cache>) -> Result<Self, ComponentError> {
        let wasmtime = pooled(&mut config()).map_err(|error| ComponentError::Engine(format!("{error:#}")))?;
        let weak = wasmtime.weak();
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
            .map_err(|error| ComponentError::Engine(error.to_string()))?;
        Ok(Self {
            wasmtime,
            places: Semaphore::new(PLACES as usize),
            inside: Semaphore::new(INSIDE as usize),
            cache,
        })
    }

    /// Wasmtime's engine, to make linkers with.
    #[must_use]
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }
}
