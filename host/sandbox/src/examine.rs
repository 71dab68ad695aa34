//! Looks at all bytes of a component: what it is, what it imports, and whether it runs here. Whatever the bytes are, this
//! is bounded by the process that it is done in, see `confined`.

use std::collections::HashMap;

use remit_manifest::{Manifest, ManifestError, SECTION};
use serde::{Deserialize, Serialize};
use wasm_encoder::{ComponentExportKind, Encode as _};
use wasmparser::component_types::{ComponentEntityType, SubtypeCx};
use wasmparser::{
    BinaryReader, CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentInstanceSectionReader, ComponentName, ComponentTypeRef, Encoding, Error, KnownCustom, Parser,
    Payload, Validator, WasmFeatures,
};

use crate::engine::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use crate::features::{self, RUNS};
use crate::inspection::{CONTRACT, Import, Inspection};
use crate::scan::{Tally, scan};

/// The world that the host offers, as a component: see `build.rs`.
const OFFERED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/offered.wasm"));

/// The most imports, and the most exports, that are listed, and the most bytes of all their names.
const MOST_NAMES: usize = 10_000;
const MOST_TEXT: usize = 1024 * 1024;
/// The longest name or version that a component gives itself, in columns.
const LONGEST_NAME: usize = 80;
/// The longest that is passed on of the validator's words, which repeat names, in columns.
const LONGEST_WORDS: usize = 400;
/// The most instances of components within a component: each is taken apart when it is compiled.
const MOST_COMPONENTS: u64 = 1_000;

/// Why nothing can be said of a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Flaw {
    NotWasm,
    CoreModule,
    Malformed(String),
    TooComplex(String),
    Manifest(String),
    Schema(String),
    /// It is valid, and the compiler does not take it.
    NotReady(String),
    /// Nothing is said of the component: the host could not look.
    Host(String),
}

impl From<Error> for Flaw {
    fn from(error: Error) -> Self {
        // The validator has limits of its own, and marks them by their words alone.
        let message = error.message();
        if message.contains("exceed") || message.contains("too deep") || message.contains("too large") {
            return Self::TooComplex(words(&error));
        }
        Self::Malformed(format!("{} (at offset {:#x})", words(&error), error.offset()))
    }
}

impl From<ManifestError> for Flaw {
    fn from(error: ManifestError) -> Self {
        let short = |why: String| remit_text::short_line(&why, 2 * LONGEST_WORDS).into_owned();
        match error {
            ManifestError::Malformed { why, .. } => Self::Manifest(short(why)),
            ManifestError::Schema { why, .. } => Self::Schema(short(why)),
        }
    }
}

/// Reads a component.
pub(crate) fn examine(bytes: &[u8]) -> Result<Inspection, Flaw> {
    if bytes.len() < 8 || !bytes.starts_with(b"\0asm") {
        return Err(Flaw::NotWasm);
    }
    let tally = scan(bytes)?;
    let (mut found, imported) = listed(bytes)?;
    let needed = needed(bytes)?;
    found.needs = features::names(needed);
    found.too_much = too_much(tally);
    held_against_what_is_offered(bytes, needed, &imported, &mut found)?;
    Ok(found)
}

/// What of the outermost component's instances and functions, by index, is an import of it or comes from one.
#[derive(Default)]
struct Imported {
    instances: Vec<bool>,
    functions: Vec<bool>,
    /// The exports that are such.
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

    /// Takes note of a section of the outermost component.
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

/// What the component says of itself, and what it imports and exports.
fn listed(bytes: &[u8]) -> Result<(Inspection, Imported), Flaw> {
    let mut found = Inspection::new(bytes.len());
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
    // Only the outermost component's own sections count: what nested components import, they get from
    // it, and so from these imports.
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
                    found.imports.push(Import::named(import.name.name));
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
                _ if section.name() == SECTION => {
                    // Two of them would leave open which one an input is held to.
                    if found.manifest.is_some() {
                        return Err(Flaw::Manifest("there are two of it".to_owned()));
                    }
                    found.manifest = Some(Manifest::from_section(section.data(), "")?);
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

/// Which features a valid component needs that do not run here.
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
    // The validator does not mark each such error. What is valid with everything needs what it is not valid without.
    if valid(WasmFeatures::all()).is_err() {
        return Err(first.into());
    }
    let without = |feature: &WasmFeatures| valid(WasmFeatures::all().difference(*feature)).is_err();
    Ok(features::others().filter(without).fold(features.difference(RUNS), WasmFeatures::union))
}

/// What there is more of than an action may have.
fn too_much(tally: Tally) -> Option<String> {
    let mut more = Vec::new();
    for (what, has, most) in [
        ("core instances", tally.instances, CORE_INSTANCES.into()),
        ("memories", tally.memories, MEMORIES.into()),
        ("tables", tally.tables, TABLES.into()),
        ("instances of components", tally.components, MOST_COMPONENTS),
        // The limit of a run (`table_elements`) is met when it runs; this is the engine's.
        ("elements in a table", tally.elements, TABLE_ELEMENTS as u64),
    ] {
        if has > most {
            more.push(format!("{has} {what} (an action may have {most})"));
        }
    }
    (!more.is_empty()).then(|| more.join(", "))
}

/// Puts the component beside what the host offers, as if it were instantiated there, and says what does not fit.
fn held_against_what_is_offered(
    bytes: &[u8],
    needed: WasmFeatures,
    imported: &Imported,
    found: &mut Inspection,
) -> Result<(), Flaw> {
    let mut validator = Validator::new_with_features(RUNS.union(needed));
    let offered = offer(&mut validator)?;
    validator.component_section(&(0..bytes.len()))?;
    for payload in Parser::new(0).parse_all(bytes) {
        validator.payload(&payload?)?;
    }
    let index = {
        let types = validator.types(0).ok_or_else(lost)?;
        let index = types.component_count().checked_sub(1).ok_or_else(lost)?;
        let component = &types[types.component_at(index)];
        found.not_an_action = match (component.exports.get(CONTRACT), offered.contract) {
            (Some(export), Some(contract)) => {
                let fits =
                    SubtypeCx::new_with_refs(types, types).component_entity_type(&export.ty, &contract, 0);
                fits.err().map(|error| format!("its {CONTRACT} is not the contract: {}", words(&error)))
            }
            _ => Some(format!("it does not export {CONTRACT}")),
        };
        // The engine calls functions that a component has itself; types it may pass on.
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
        let ours = import.interface?.import_name();
        Some((import.name.as_str(), ComponentExportKind::Instance, *offered.instances.get(&ours)?))
    });
    // What is not offered at all is named as that.
    let Some(arguments) = arguments.collect::<Option<Vec<_>>>() else { return Ok(()) };
    let mut section = wasm_encoder::ComponentInstanceSection::new();
    section.instantiate(index, arguments);
    let mut encoded = Vec::new();
    section.encode(&mut encoded);
    let mut reader = BinaryReader::new(&encoded, 0);
    reader.read_var_u32()?;
    let section = ComponentInstanceSectionReader::new(reader)?;
    found.misfit = validator.component_instance_section(&section).err().map(|error| words(&error));
    Ok(())
}

/// The words of the validator, on one line.
fn words(error: &Error) -> String {
    remit_text::short_line(&error.message().replace('\n', ": "), LONGEST_WORDS).into_owned()
}

fn lost() -> Flaw {
    Flaw::Host("the validator lost what it had found; this is a defect of Remit".to_owned())
}

struct Offered {
    /// The index of each interface that can be imported.
    instances: HashMap<String, u32>,
    contract: Option<ComponentEntityType>,
}

/// Begins a component in `validator` that has everything the host offers.
fn offer(validator: &mut Validator) -> Result<Offered, Error> {
    let mut instances = HashMap::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(OFFERED) {
        let payload = payload?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            // It stays open: the component that is looked at comes into it.
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
    let contract =
        validator.types(0).and_then(|types| types.component_item_for_export(CONTRACT)).map(|item| item.ty);
    Ok(Offered { instances, contract })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn everything_in_the_table_is_offered() {
        let offered = offer(&mut Validator::new_with_features(RUNS)).unwrap();
        assert!(offered.contract.is_some());
        for interface in remit_capability::interfaces() {
            assert!(offered.instances.contains_key(&interface.import_name()), "{interface:?}");
        }
        assert_eq!(offered.instances.len(), remit_capability::interfaces().len());
    }

    fn examined(text: &str) -> Inspection {
        examine(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn an_action_is_told_by_the_type_of_its_export() {
        let export = |what: &str| {
            let text = format!(
                r#"(component (component $c (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                    (func $f (canon lift (core func $i "f"))) {what})
                    (instance $x (instantiate $c)) (export "remit:action/remediation@0.1.0" (instance $x)))"#
            );
            examined(&text).not_an_action.unwrap()
        };
        assert!(export("").contains("missing expected export `run`"), "{}", export(""));
        let other = export(r#"(export "run" (func $f)) (export "verify" (func $f))"#);
        assert!(other.contains("type mismatch in instance export `run`"), "{other}");
        let none = examined("(component)").not_an_action.unwrap();
        assert_eq!(none, "it does not export remit:action/remediation@0.1.0");
    }

    #[test]
    fn an_import_of_another_type_is_told() {
        let import = |import: &str| examined(&format!("(component (import {import}))")).misfit;
        assert_eq!(
            import(r#""wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64))))"#),
            None
        );
        assert_eq!(import(r#""wasi:random/random@0.2.0" (instance)"#), None);
        let other =
            import(r#""wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u32))))"#);
        assert!(other.unwrap().starts_with("type mismatch for import `wasi:random/random@0.2.0`"));
        let more =
            import(r#""wasi:random/random@0.2.0" (instance (export "get-random-u65" (func (result u64))))"#);
        assert!(more.unwrap().contains("get-random-u65"));
        // Nothing is said of what is not offered at all.
        assert_eq!(import(r#""acme:a/b@1.0.0" (instance (export "c" (func)))"#), None);
    }

    #[test]
    fn what_is_exported_again_is_told() {
        let odd = |text: &str| examined(text).odd_export;
        let import = r#"(import "wasi:random/random@0.2.0" (instance $i (export "get-random-u64" (func (result u64)))))"#;
        assert!(
            odd(&format!(r#"(component {import} (export "a:b/c" (instance $i)))"#))
                .unwrap()
                .contains("`a:b/c`")
        );
        let bag = r#"(alias export $i "get-random-u64" (func $f)) (instance $x (export "g" (func $f))) (export "a:b/c" (instance $x))"#;
        assert!(odd(&format!("(component {import} {bag})")).unwrap().contains("`a:b/c`"));
        assert_eq!(odd(&format!("(component {import})")), None);
        let types = r#"(component (import "wasi:io/error@0.2.0" (instance $i (export "error" (type (sub resource))))) (export "a:b/c" (instance $i)))"#;
        assert_eq!(odd(types), None);
        assert_eq!(
            odd(r#"(component (component $c) (export "c" (component $c)))"#).unwrap(),
            "it exports a component"
        );
    }

    #[test]
    fn what_a_component_needs_is_named() {
        let needs = |text: &str| examined(text).needs;
        assert_eq!(needs("(component (core module (func (param v128))))"), [""; 0]);
        assert_eq!(needs("(component (core module (func (param externref))))"), ["garbage collection"]);
        assert_eq!(needs("(component (core module (tag)))"), ["exceptions"]);
        assert_eq!(needs("(component (core module (memory 1 1 shared)))"), ["threads"]);
        assert_eq!(needs("(component (type (stream u8)))"), ["the component model's async"]);
        assert_eq!(needs("(component (type (map string u8)))"), ["the component model's maps"]);
        let two = needs("(component (type (future u8)) (core module (tag) (memory 1 1 shared)))");
        assert_eq!(two, ["the component model's async", "exceptions", "threads"]);
    }

    #[test]
    fn names_of_a_component_are_shown_as_they_are() {
        let found = examined("(component $\"žlu\\u{202e}ť\")");
        assert_eq!(found.name, "žlu\\u{202e}ť");
    }
}
