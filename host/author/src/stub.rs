//! What a language's runtime imports without need: sockets. The part of WASI that no action has by
//! default is filled in with functions that trap, so that the component does not ask for it.

use std::collections::HashSet;

use indexmap::IndexMap;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::{InterfaceId, ManglingAndAbi, Resolve, World, WorldId, WorldItem, WorldKey};

use crate::world;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Whether an import is of the part of WASI that the host offers without effect on anything outside the run: it records
/// what is random or depends on the time. That part lies in `wit/wasi`, a folder for each package.
pub(crate) fn is_inert(import: &str) -> bool {
    let package =
        import.strip_prefix("wasi:").and_then(|name| name.split_once('/')).map(|(package, _)| package);
    package.is_some_and(|package| world::WIT.get_dir(format!("wasi/{package}")).is_some())
}

/// Fills in each import of WASI that is not one to keep.
pub(crate) fn fill(component: Vec<u8>, keep: impl Fn(&str) -> bool) -> Result<Vec<u8>> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&component)? else {
        return Err("it is a WIT package, not a component".into());
    };
    let imports: IndexMap<WorldKey, WorldItem> = resolve.worlds[world]
        .imports
        .iter()
        .map(|(key, item)| (key.clone(), item.clone()))
        .filter(|(key, _)| {
            let name = resolve.name_world_key(key);
            name.starts_with("wasi:") && !keep(&name)
        })
        .collect();
    if imports.is_empty() {
        return Ok(component);
    }
    let mut graph = CompositionGraph::new();
    let stub = stub(resolve, world, imports)?;
    let action = Package::from_bytes("action", None, component, graph.types_mut())?;
    let stub = Package::from_bytes("stub", None, stub, graph.types_mut())?;
    let action = graph.register_package(action)?;
    let stub = graph.register_package(stub)?;
    plug(&mut graph, vec![stub], action)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

/// A component that exports what `of` imports, each function a trap.
fn stub(mut resolve: Resolve, of: WorldId, exports: IndexMap<WorldKey, WorldItem>) -> Result<Vec<u8>> {
    let package = resolve.worlds[of].package;
    // What the exports take their types from has to be imported: streams, for files.
    let mut used = HashSet::new();
    let mut open: Vec<InterfaceId> = exports.values().filter_map(interface).collect();
    while let Some(id) = open.pop() {
        open.extend(resolve.interface_direct_deps(id).filter(|dep| used.insert(*dep)));
    }
    let imports = resolve.worlds[of].imports.iter();
    let imports = imports
        .filter(|(key, _)| !exports.contains_key(*key))
        .filter(|(_, item)| interface(item).is_some_and(|id| used.contains(&id)))
        .map(|(key, item)| (key.clone(), item.clone()))
        .collect();
    let world = resolve.worlds.alloc(World {
        name: "stub".to_owned(),
        imports,
        exports,
        package,
        docs: wit_parser::Docs::default(),
        stability: wit_parser::Stability::default(),
        includes: Vec::new(),
        span: wit_parser::Span::default(),
    });
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().module(&module)?.validate(true).encode()?)
}

fn interface(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    }
}
