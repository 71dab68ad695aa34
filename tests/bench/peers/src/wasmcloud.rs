//! wasmCloud's runtime: components on wasmtime, with its own engine, pool and stores. The way in that lets an embedder
//! define the imports, which wasmCloud's own shell uses for its plugins.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use tokio::runtime::{Builder, Runtime as Tokio};
use wasmcloud_runtime::Runtime;
use wasmcloud_runtime::component::{BaseCtx, CustomCtxComponent};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentType, Lower, TypedFunc};

use crate::report::{Measure, Peer, version_of};
use crate::sample;

#[derive(ComponentType, Lower)]
#[component(record)]
struct Metadata {
    current: u64,
    versions: Vec<Version>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Version {
    number: u64,
    created: u64,
    state: State,
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "the interface has them all")]
enum State {
    #[component(name = "enabled")]
    Enabled,
    #[component(name = "disabled")]
    Disabled,
    #[component(name = "destroyed")]
    Destroyed,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
#[allow(dead_code, reason = "the interface has them all")]
enum Failure {
    #[component(name = "denied")]
    Denied(String),
    #[component(name = "not-found")]
    NotFound(String),
    #[component(name = "conflict")]
    Conflict(String),
    #[component(name = "invalid")]
    Invalid(String),
    #[component(name = "unavailable")]
    Unavailable(String),
}

fn answer() -> Metadata {
    let version = |number| Version { number, created: 1_700_000_000_000, state: State::Enabled };
    Metadata { current: 2, versions: vec![version(1), version(2)] }
}

/// What a store holds: nothing.
#[derive(Debug)]
struct Nothing;

impl BaseCtx for Nothing {}

type Run = TypedFunc<(&'static str,), (Result<String, String>,)>;

/// A component that is ready to be instantiated.
struct Ready {
    component: CustomCtxComponent<Nothing>,
    run: ComponentExportIndex,
}

impl Ready {
    fn new(component: &[u8]) -> Result<Self> {
        // The thread that counts epochs ends with the engine.
        let (runtime, _epochs) = Runtime::builder().force_pooling_allocator().build()?;
        let component = CustomCtxComponent::new_with_linker_minimal(&runtime, component, |linker, _| {
            let mut inspect = linker.instance("remit:secrets/inspect@0.1.0")?;
            inspect.func_wrap_async("metadata", |_, (_path,): (String,)| {
                Box::new(async { Ok((Ok::<_, Failure>(answer()),)) })
            })
        })?;
        let compiled = component.instance_pre().component();
        let interface = compiled.get_export_index(None, "remit:action/remediation@0.1.0");
        let run = interface.and_then(|interface| compiled.get_export_index(Some(&interface), "run"));
        let run = run.context("the guest exports no `run`")?;
        Ok(Self { component, run })
    }

    async fn instance(&self) -> Result<(Store<Nothing>, Run)> {
        let mut store = self.component.new_store(Nothing);
        let instance = self.component.instance_pre().instantiate_async(&mut store).await?;
        let run = instance.get_typed_func(&mut store, self.run)?;
        Ok((store, run))
    }
}

async fn call(store: &mut Store<Nothing>, run: &Run, input: &'static str) -> Result<String> {
    let (sum,) = run.call_async(&mut *store, (input,)).await?;
    run.post_return_async(store).await?;
    sum.map_err(|error| anyhow!("the guest failed: {error}"))
}

pub(crate) fn measure(component: &[u8]) -> Result<Peer> {
    eprintln!("peers: wasmCloud");
    Ok(Peer {
        host: "wasmcloud-runtime",
        version: version_of("wasmcloud-runtime", "")?,
        stands_on: BTreeMap::from([("wasmtime", version_of("wasmtime", "38.")?)]),
        settings: "as it comes",
        measures: measures(component).context("measuring wasmCloud")?,
    })
}

fn measures(component: &[u8]) -> Result<Vec<Measure>> {
    let ready = Ready::new(component)?;
    let fresh = || {
        let (ready, tokio) = (&ready, tokio()?);
        Ok(move || {
            tokio.block_on(async {
                let (mut store, run) = ready.instance().await?;
                call(&mut store, &run, "0").await
            })
        })
    };
    let tokio = tokio()?;
    let (mut store, run) = tokio.block_on(ready.instance())?;
    sample::measures(fresh, |input| tokio.block_on(call(&mut store, &run, input)))
}

fn tokio() -> Result<Tokio> {
    Builder::new_current_thread().build().context("starting tokio")
}
