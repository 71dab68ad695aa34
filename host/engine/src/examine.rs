//! Reads all bytes of a component: what it is, what it imports and exports, and whether it fits a world. The time and memory
//! that this takes are bounded by the process in which it is done, see `confined`.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use wasm_encoder::{ComponentExportKind, Encode as _};
use wasmparser::component_types::{ComponentEntityType, SubtypeCx};
use wasmparser::{
    BinaryReader, CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentInstanceSectionReader, ComponentName, ComponentTypeRef, Encoding, Error, KnownCustom, Parser,
    Payload, Validator, WasmFeatures,
};

use crate::features::{self, RUNS};
use crate::flaw::{Flaw, message_of};
use crate::interface::{Signatures, signatures};
use crate::quota::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use crate::scan::{Tally, scan};

/// The most imports, and the most exports, that are listed.
const MOST_NAMES: usize = 10_000;
/// The most of [`World::sections`].
const MOST_SECTIONS: usize = 16;
/// The most bytes of all their names.
const MOST_TEXT: usize = 1024 * 1024;
/// The longest name or version that a component gives itself, in columns.
const LONGEST_NAME: usize = 80;
/// The most instances of components within a component; the compiler inlines each.
const MOST_COMPONENTS: u64 = 1_000;

/// One kind of component: what the host offers to it, and what it must be.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// The world as a component, which imports every interface that the host offers and exports the contract.
    pub component: &'static [u8],
    /// The name of the interface that a component of this world exports.
    pub contract: &'static str,
    /// The name of the custom section that describes a component of this world.
    pub section: &'static str,
    /// The name of the custom sections of which a component of this world can have several, if there are such.
    pub sections: Option<&'static str>,
    /// From the name of an import to the name of the interface in `component` that serves it, if one does. It can be
    /// another version.
    pub serves: fn(&str) -> Option<String>,
}

/// The result of examining the bytes of a component.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Examination {
    /// The component's name, or `unnamed`.
    pub name: String,
    /// The component's version, or `0.0.0`.
    pub version: String,
    /// The component's size in bytes.
    pub size: usize,
    /// The content of the world's custom section, if it has one.
    pub section: Option<Vec<u8>>,
    /// The content of each of the world's other custom sections.
    pub sections: Vec<Vec<u8>>,
    /// The functions of each import that nothing in the world serves, or why they cannot be linked.
    pub unserved: BTreeMap<String, Result<Signatures, String>>,
    /// The name of every import, in the component's order.
    pub imports: Vec<String>,
    /// The name of every exported function and instance, in the component's order.
    pub exports: Vec<String>,
    /// The WebAssembly features it needs that do not run here.
    pub needs: Vec<String>,
    /// Why it does not fulfil the world's contract: the export is missing, or is of another type.
    pub not_of_the_world: Option<String>,
    /// The parts of which it has more than the engine's quota, with both numbers.
    pub too_much: Option<String>,
    /// The import that is offered with another type; none if all fit.
    pub misfit: Option<String>,
    /// The export that the engine cannot call; none if it can call all.
    pub odd_export: Option<String>,
}

impl Examination {
    fn new(size: usize) -> Self {
        Self {
            name: "unnamed".to_owned(),
            version: "0.0.0".to_owned(),
            size,
            section: None,
            sections: Vec::new(),
            unserved: BTreeMap::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            needs: Vec::new(),
            not_of_the_world: None,
            too_much: None,
            misfit: None,
            odd_export: None,
        }
    }
}

/// Examines the bytes of a component of `world`. To be called in a [`crate::Task`]: it takes whatever time and memory the
/// bytes make it take.
pub fn examine(bytes: &[u8], world: &World) -> Result<Examination, Flaw> {
    if bytes.len() < 8 || !bytes.starts_with(b"\0asm") {
        return Err(Flaw::NotWasm);
    }
    let tally = scan(bytes)?;
    let (mut found, imported) = listed(bytes, world)?;
    let needed = needed(bytes)?;
    found.needs = features::names(needed);
    found.too_much = too_much(tally);
    compare(bytes, world, needed, &imported, &mut found)?;
    Ok(found)
}

/// Which of the outermost component's instances and functions are imports of it or come from one, by index.
#[derive(Default)]
struct Imported {
    instances: Vec<bool>,
    functions: Vec<bool>,
    /// The names of the exports that are.
    exports: Vec<String>,
}

impl Imported {
    fn get(&self, kind: ComponentExternalKind, index: u32) -> bool {
        let of = match kind {
            ComponentExternalKind::Instance => &self.instances,
            ComponentExternalKind::Func => &self.functions,
            _ => return false,
        };
        usize::try_from(index).ok().and_then(|index| of.get(index)).copied().unwrap_or(false)
    }

    fn push(&mut self, kind: ComponentExternalKind, imported: bool) {
        match kind {
            ComponentExternalKind::Instance => self.instances.push(imported),
            ComponentExternalKind::Func => self.functions.push(imported),
            _ => {}
        }
    }

    /// Reads a section of the outermost component.
    fn section(&mut self, payload: &Payload<'_>) -> Result<(), Error> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    match import?.ty {
                        ComponentTypeRef::Instance(_) => self.instances.push(true),
                        ComponentTypeRef::Func(_) => self.functions.push(true),
                        _ => {}
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    if let ComponentAlias::InstanceExport { kind, instance_index, .. } = alias? {
                        self.push(kind, self.get(ComponentExternalKind::Instance, instance_index));
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    let imported = match instance? {
                        ComponentInstance::FromExports(items) => {
                            items.iter().any(|item| self.get(item.kind, item.index))
                        }
                        ComponentInstance::Instantiate { .. } => false,
                    };
                    self.instances.push(imported);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    if let CanonicalFunction::Lift { .. } = function? {
                        self.functions.push(false);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    let imported = self.get(export.kind, export.index);
                    self.push(export.kind, imported);
                    if imported {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Lists the component's name, version, custom section, imports and exports.
fn listed(bytes: &[u8], world: &World) -> Result<(Examination, Imported), Flaw> {
    let mut found = Examination::new(bytes.len());
    let mut imported = Imported::default();
    let mut text = 0;
    let mut room = |more: usize, names: usize| {
        text += more;
        if names > MOST_NAMES {
            Err(Flaw::TooComplex(format!("it has more than {MOST_NAMES} imports or exports")))
        } else if text > MOST_TEXT {
            Err(Flaw::TooComplex(format!(
                "the names of its imports and exports take more than {MOST_TEXT} bytes"
            )))
        } else {
            Ok(())
        }
    };
    // Only the outermost component's sections count: nested components get their imports from it.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if depth == 0 {
            imported.section(&payload)?;
        }
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(Flaw::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import?;
                    room(import.name.name.len(), found.imports.len() + 1)?;
                    found.imports.push(import.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export?;
                    room(export.name.name.len(), found.exports.len() + 1)?;
                    match export.kind {
                        ComponentExternalKind::Instance | ComponentExternalKind::Func => {
                            found.exports.push(export.name.name.to_owned());
                        }
                        ComponentExternalKind::Component => {
                            found.odd_export = Some("it exports a component".to_owned());
                        }
                        _ => {}
                    }
                }
            }
            Payload::CustomSection(section) if depth == 0 => match section.as_known() {
                KnownCustom::ComponentName(names) => {
                    for name in names {
                        if let Ok(ComponentName::Component { name, .. }) = name {
                            found.name = remit_text::short_line(name, LONGEST_NAME).into_owned();
                        }
                    }
                }
                _ if section.name() == world.section => {
                    // Two would leave open which one holds.
                    if found.section.is_some() {
                        return Err(Flaw::Section("there are two of it".to_owned()));
                    }
                    found.section = Some(section.data().to_vec());
                }
                _ if world.sections == Some(section.name()) => {
                    if found.sections.len() >= MOST_SECTIONS {
                        let why = format!("there are more than {MOST_SECTIONS} of `{}`", section.name());
                        return Err(Flaw::Section(why));
                    }
                    found.sections.push(section.data().to_vec());
                }
                _ if section.name() == "version" => {
                    let version = String::from_utf8_lossy(section.data());
                    found.version = remit_text::short_line(&version, LONGEST_NAME).into_owned();
                }
                _ => {}
            },
            _ => {}
        }
    }
    Ok((found, imported))
}

/// The features that a valid component needs and that do not run here.
fn needed(bytes: &[u8]) -> Result<WasmFeatures, Flaw> {
    let valid = |features| Validator::new_with_features(features).validate_all(bytes).map(drop);
    let mut features = RUNS;
    let first = loop {
        match valid(features) {
            Ok(()) => return Ok(features.difference(RUNS)),
            Err(error) => match error.missing_wasm_feature() {
                Some(more) if !features.contains(more) => features |= more,
                _ => break error,
            },
        }
    };
    // The validator does not mark every error that a missing feature causes. If the component is valid with all features,
    // it needs those without which it is not.
    if valid(WasmFeatures::all()).is_err() {
        return Err(first.into());
    }
    let without = |feature: &WasmFeatures| valid(WasmFeatures::all().difference(*feature)).is_err();
    Ok(features::others().filter(without).fold(features.difference(RUNS), WasmFeatures::union))
}

/// The parts of which there are more than the quota.
fn too_much(tally: Tally) -> Option<String> {
    let mut more = Vec::new();
    for (what, has, most) in [
        ("core instances", tally.instances, CORE_INSTANCES.into()),
        ("memories", tally.memories, MEMORIES.into()),
        ("tables", tally.tables, TABLES.into()),
        ("instances of components", tally.components, MOST_COMPONENTS),
        // The engine's limit; the limit of a run (`table_elements`) holds when it runs.
        ("elements in a table", tally.elements, TABLE_ELEMENTS as u64),
    ] {
        if has > most {
            more.push(format!("{has} {what} (a component may have {most})"));
        }
    }
    (!more.is_empty()).then(|| more.join(", "))
}

/// Compares the component's types with the world's: validates an outer component that has everything the host offers, and
/// instantiates this one with it.
fn compare(
    bytes: &[u8],
    world: &World,
    needed: WasmFeatures,
    imported: &Imported,
    found: &mut Examination,
) -> Result<(), Flaw> {
    let mut validator = Validator::new_with_features(RUNS.union(needed));
    let offered = offer(&mut validator, world)?;
    validator.component_section(&(0..bytes.len()))?;
    for payload in Parser::new(0).parse_all(bytes) {
        validator.payload(&payload?)?;
    }
    let index = {
        let types = validator.types(0).ok_or_else(lost)?;
        let index = types.component_count().checked_sub(1).ok_or_else(lost)?;
        let component = &types[types.component_at(index)];
        let contract = world.contract;
        found.not_of_the_world = match (component.exports.get(contract), offered.contract) {
            (Some(export), Some(wanted)) => {
                let fits =
                    SubtypeCx::new_with_refs(types, types).component_entity_type(&export.ty, &wanted, 0);
                fits.err().map(|error| format!("its {contract} is not the contract: {}", message_of(&error)))
            }
            _ => Some(format!("it does not export {contract}")),
        };
        for name in found.imports.iter().filter(|name| (world.serves)(name).is_none()) {
            let functions = match component.imports.get(name).map(|item| item.ty) {
                Some(ComponentEntityType::Instance(id)) => signatures(types, id),
                _ => Err("it is no interface".to_owned()),
            };
            found.unserved.insert(name.clone(), functions);
        }
        // The engine can call only functions that the component itself has; exporting imported types again is fine.
        let calls = |name: &&String| match component.exports.get(*name).map(|export| export.ty) {
            Some(ComponentEntityType::Func(_)) => true,
            Some(ComponentEntityType::Instance(id)) => {
                let callable =
                    |ty| matches!(ty, ComponentEntityType::Func(_) | ComponentEntityType::Instance(_));
                types[id].exports.values().any(|item| callable(item.ty))
            }
            _ => false,
        };
        if let Some(name) = imported.exports.iter().find(calls) {
            let name = remit_text::short_line(name, LONGEST_NAME);
            found.odd_export = Some(format!("it exports functions that it only imports, as `{name}`"));
        }
        index
    };
    let arguments = found.imports.iter().map(|import| {
        let ours = (world.serves)(import)?;
        Some((import.as_str(), ComponentExportKind::Instance, *offered.instances.get(&ours)?))
    });
    // An import that is not offered at all is reported by name instead.
    let Some(arguments) = arguments.collect::<Option<Vec<_>>>() else { return Ok(()) };
    let mut section = wasm_encoder::ComponentInstanceSection::new();
    section.instantiate(index, arguments);
    let mut encoded = Vec::new();
    section.encode(&mut encoded);
    let mut reader = BinaryReader::new(&encoded, 0);
    reader.read_var_u32()?;
    let section = ComponentInstanceSectionReader::new(reader)?;
    found.misfit = validator.component_instance_section(&section).err().map(|error| message_of(&error));
    Ok(())
}

fn lost() -> Flaw {
    Flaw::Host("the validator lost what it had found; this is a defect of Remit".to_owned())
}

struct Offered {
    /// The index of each interface that can be imported, by name.
    instances: HashMap<String, u32>,
    contract: Option<ComponentEntityType>,
}

/// Begins a component in `validator` that has everything the host offers.
fn offer(validator: &mut Validator, world: &World) -> Result<Offered, Error> {
    let mut instances = HashMap::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(world.component) {
        let payload = payload?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            // It stays open: the component that is examined comes into it.
            Payload::End(_) if depth == 0 => break,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                let mut next = validator.types(0).map_or(0, |types| types.component_instance_count());
                for import in section.clone() {
                    let import = import?;
                    if let ComponentTypeRef::Instance(_) = import.ty {
                        instances.insert(import.name.name.to_owned(), next);
                        next += 1;
                    }
                }
            }
            _ => {}
        }
        validator.payload(&payload)?;
    }
    let contract = validator
        .types(0)
        .and_then(|types| types.component_item_for_export(world.contract))
        .map(|item| item.ty);
    Ok(Offered { instances, contract })
}
