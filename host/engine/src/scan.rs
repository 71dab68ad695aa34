//! The first pass over the bytes of a component, before anything recurses into it: how deep it nests, and how many parts
//! it would have if it ran. It reads each byte once.

use wasmparser::{
    BinaryReader, ComponentAlias, ComponentExternalKind, ComponentImport, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ComponentTypeRef, CoreType, Encoding, Error, Instance,
    InstanceTypeDeclaration, MemorySectionReader, Parser, Payload, TableSectionReader,
};

use crate::flaw::Flaw;

/// How deep components may nest in components, and types in types. What tools make is five deep at most.
const DEEPEST: usize = 100;

/// How many of each part a component has when it runs: what is instantiated twice counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many core instances there are.
    pub(crate) instances: u64,
    pub(crate) memories: u64,
    pub(crate) tables: u64,
    /// Instances of components, which the compiler inlines.
    pub(crate) components: u64,
    /// Initial elements of the largest table.
    pub(crate) elements: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.instances = self.instances.saturating_add(other.instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.tables = self.tables.saturating_add(other.tables);
        self.components = self.components.saturating_add(other.components);
        self.elements = self.elements.max(other.elements);
    }
}

/// What was counted in a component or a core module so far.
struct Level {
    encoding: Encoding,
    own: Tally,
    /// The core modules that it can instantiate, by index. An imported one counts nothing.
    modules: Vec<Tally>,
    /// The components that it can instantiate, by index. An imported one counts nothing.
    components: Vec<Tally>,
}

/// Counts a component's parts, and refuses one that nests too deep. Where the bytes cannot be parsed, it stops without an
/// error: the validator then stops at the same place, and names it.
pub(crate) fn scan(bytes: &[u8]) -> Result<Tally, Flaw> {
    let mut levels: Vec<Level> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return Ok(Tally::default()) };
        match payload {
            Payload::Version { encoding, .. } => {
                if levels.len() >= DEEPEST {
                    return Err(too_deep("components"));
                }
                let (modules, components) = (Vec::new(), Vec::new());
                levels.push(Level { encoding, own: Tally::default(), modules, components });
            }
            Payload::End(_) => {
                let Some(level) = levels.pop() else { continue };
                match levels.last_mut() {
                    None => return Ok(level.own),
                    Some(parent) if level.encoding == Encoding::Module => parent.modules.push(level.own),
                    Some(parent) => parent.components.push(level.own),
                }
            }
            Payload::ComponentTypeSection(section) => {
                let range = section.range();
                let Some(types) = bytes.get(range.clone()) else { continue };
                depth_of_types(&mut BinaryReader::new(types, range.start))?;
            }
            other => {
                // What cannot be parsed is not counted: it is not valid, and never runs.
                let _ = count(&other, &mut levels);
            }
        }
    }
    Ok(Tally::default())
}

fn too_deep(what: &str) -> Flaw {
    Flaw::TooComplex(format!("its {what} are nested too deep, in more than {DEEPEST} levels"))
}

/// Measures the depth of a section's types without recursion.
fn depth_of_types(reader: &mut BinaryReader<'_>) -> Result<(), Flaw> {
    let Ok(types) = reader.read_var_u32() else { return Ok(()) };
    // How many are left at each level: types at the outermost, declarations below it.
    let mut left = vec![types];
    while let Some(last) = left.last_mut() {
        if *last == 0 {
            left.pop();
            continue;
        }
        *last -= 1;
        match step(reader, left.len() > 1) {
            Ok(Some(declarations)) => left.push(declarations),
            Ok(None) => {}
            Err(_) => return Ok(()),
        }
        if left.len() > DEEPEST {
            return Err(too_deep("types"));
        }
    }
    Ok(())
}

/// Reads one type or declaration. If it contains declarations, only their number is read, and returned.
fn step(reader: &mut BinaryReader<'_>, declaration: bool) -> Result<Option<u32>, Error> {
    let next = |reader: &BinaryReader<'_>| reader.clone().read_u8();
    if declaration {
        match next(reader)? {
            0x00 => {
                reader.read_u8()?;
                reader.read::<CoreType<'_>>()?;
                return Ok(None);
            }
            0x01 => drop(reader.read_u8()?),
            0x03 => {
                reader.read_u8()?;
                reader.read::<ComponentImport<'_>>()?;
                return Ok(None);
            }
            _ => {
                reader.read::<InstanceTypeDeclaration<'_>>()?;
                return Ok(None);
            }
        }
    }
    if matches!(next(reader)?, 0x41 | 0x42) {
        reader.read_u8()?;
        return reader.read_var_u32().map(Some);
    }
    reader.read::<ComponentType<'_>>()?;
    Ok(None)
}

fn count(payload: &Payload<'_>, levels: &mut [Level]) -> Result<(), Error> {
    let Some((level, outer)) = levels.split_last_mut() else { return Ok(()) };
    match payload {
        Payload::MemorySection(section) => count_memories(section, level),
        Payload::TableSection(section) => return count_tables(section, level),
        Payload::InstanceSection(section) => {
            for instance in section.clone() {
                if let Instance::Instantiate { module_index, .. } = instance? {
                    level.own.instances = level.own.instances.saturating_add(1);
                    level.own.add(get(&level.modules, module_index));
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section.clone() {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    level.own.components = level.own.components.saturating_add(1);
                    level.own.add(get(&level.components, component_index));
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section.clone() {
                match alias? {
                    ComponentAlias::Outer { kind, count, index } => {
                        let from = match usize::try_from(count).unwrap_or(usize::MAX) {
                            0 => Some(&*level),
                            more => outer.len().checked_sub(more).and_then(|at| outer.get(at)),
                        };
                        let from = |of: fn(&Level) -> &[Tally]| from.map(|level| get(of(level), index));
                        match kind {
                            ComponentOuterAliasKind::CoreModule => {
                                let module = from(|level| &level.modules);
                                level.modules.push(module.unwrap_or_default());
                            }
                            ComponentOuterAliasKind::Component => {
                                let component = from(|level| &level.components);
                                level.components.push(component.unwrap_or_default());
                            }
                            _ => {}
                        }
                    }
                    ComponentAlias::InstanceExport { kind, .. } => level.push(kind, Tally::default()),
                    ComponentAlias::CoreInstanceExport { .. } => {}
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section.clone() {
                match import?.ty {
                    ComponentTypeRef::Module(_) => level.modules.push(Tally::default()),
                    ComponentTypeRef::Component(_) => level.components.push(Tally::default()),
                    _ => {}
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section.clone() {
                let export = export?;
                let same = match export.kind {
                    ComponentExternalKind::Module => get(&level.modules, export.index),
                    _ => get(&level.components, export.index),
                };
                level.push(export.kind, same);
            }
        }
        _ => {}
    }
    Ok(())
}

impl Level {
    /// Adds an entry to the index space of its kind.
    fn push(&mut self, kind: ComponentExternalKind, tally: Tally) {
        match kind {
            ComponentExternalKind::Module => self.modules.push(tally),
            ComponentExternalKind::Component => self.components.push(tally),
            _ => {}
        }
    }
}

fn get(tallies: &[Tally], index: u32) -> Tally {
    usize::try_from(index).ok().and_then(|index| tallies.get(index)).copied().unwrap_or_default()
}

fn count_memories(section: &MemorySectionReader<'_>, level: &mut Level) {
    level.own.memories = level.own.memories.saturating_add(section.count().into());
}

fn count_tables(section: &TableSectionReader<'_>, level: &mut Level) -> Result<(), Error> {
    level.own.tables = level.own.tables.saturating_add(section.count().into());
    for table in section.clone() {
        level.own.elements = level.own.elements.max(table?.ty.initial);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        scan(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn a_part_instantiated_twice_counts_twice() {
        let counted = tally(
            "(component
                (core module $m (memory 1) (table 7 funcref))
                (component $c
                    (alias outer 1 $m (core module $outer))
                    (core module $n (memory 1))
                    (core instance (instantiate $outer)) (core instance (instantiate $n)))
                (core instance (instantiate $m))
                (instance (instantiate $c)) (instance (instantiate $c)))",
        );
        let expected = Tally { instances: 5, memories: 5, tables: 3, components: 2, elements: 7 };
        assert_eq!(counted, expected);
    }

    #[test]
    fn exponential_growth_is_counted_in_linear_time() {
        let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for n in 1..99 {
            text = format!(
                "(component $c{n} {text} (instance (instantiate $c{0})) (instance (instantiate $c{0})))",
                n - 1
            );
        }
        let counted = tally(&text);
        assert_eq!((counted.instances, counted.components), (u64::MAX, u64::MAX));
    }
}
