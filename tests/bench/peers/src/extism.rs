//! Extism: a plugin is a core module, its host functions take and give JSON through a memory of Extism's own.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use extism::convert::Json;
use extism::{PTR, Plugin, PluginBuilder, ToBytes, UserData, host_fn};
use extism_wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};
use serde::Serialize;

use crate::report::{Measure, Peer, version_of};
use crate::sample;

#[derive(Serialize, ToBytes)]
#[encoding(Json)]
struct Metadata {
    current: u64,
    versions: Vec<Version>,
}

#[derive(Serialize)]
struct Version {
    number: u64,
    created: u64,
    state: &'static str,
}

host_fn!(metadata(_path: String) -> Metadata {
    let version = |number| Version { number, created: 1_700_000_000_000, state: "enabled" };
    Ok(Metadata { current: 2, versions: vec![version(1), version(2)] })
});

/// Measures it as it comes, and with the pool that Remit has.
pub(crate) fn measure(plugin: &[u8]) -> Result<Vec<Peer>> {
    let pooled = "pooling allocator, 2 MiB of each memory and 256 KiB of each table kept";
    [("as it comes", None), (pooled, Some(pool()))]
        .into_iter()
        .map(|(settings, config)| {
            eprintln!("peers: Extism, {settings}");
            let measures =
                measures(plugin, config).with_context(|| format!("measuring Extism, {settings}"))?;
            let stands_on = BTreeMap::from([("wasmtime", version_of("wasmtime", "43.")?)]);
            Ok(Peer { host: "extism", version: version_of("extism", "")?, stands_on, settings, measures })
        })
        .collect()
}

/// Extism hands its own wasmtime's configuration through.
fn pool() -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.linear_memory_keep_resident(2 * 1024 * 1024)
        .table_keep_resident(256 * 1024)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn measures(plugin: &[u8], config: Option<Config>) -> Result<Vec<Measure>> {
    let mut builder = PluginBuilder::new(plugin)
        .with_function("metadata", [PTR], [PTR], UserData::new(()), metadata)
        // Every plugin here is compiled once, before anything is measured.
        .with_cache_disabled();
    if let Some(config) = config {
        builder = builder.with_wasmtime_config(config);
    }
    let compiled = builder.compile()?;
    let mut live = Plugin::new_from_compiled(&compiled)?;
    let fresh = || Ok(|| call(&mut Plugin::new_from_compiled(&compiled)?, "0"));
    sample::measures(fresh, |input| call(&mut live, input))
}

fn call(plugin: &mut Plugin, input: &str) -> Result<String> {
    plugin.call::<&str, String>("run", input)
}
