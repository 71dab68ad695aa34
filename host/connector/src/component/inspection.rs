//! What a connector's component is, read from its bytes alone. Nothing of it runs, nothing is compiled.

use std::collections::BTreeMap;

use remit_engine::{Examination, Flaw, Inspect, MIB, Signatures, Task, World, examine, wit_package};
use serde::{Deserialize, Serialize};

use super::standard;
use crate::Description;

/// The contract of connectors; `build.rs` encodes it from the WIT.
static WORLD: World = World {
    component: include_bytes!(concat!(env!("OUT_DIR"), "/contract.wasm")),
    contract: "remit:connector/operations@0.1.0",
    section: "remit:connector",
    sections: Some("remit:wit"),
    serves: |import| OFFERED.contains(&import).then(|| import.to_owned()),
};

/// What a connector can import, and nothing else.
const OFFERED: [&str; 3] = ["remit:connector/http@0.1.0", "remit:host/log@0.1.0", "remit:types/errors@0.1.0"];

/// Inspects a component: from its bytes to an [`Inspection`] in JSON.
pub(crate) static INSPECT: Task = Task {
    name: "inspect-connector",
    purpose: "to inspect it",
    memory: 192 * MIB,
    seconds: 8,
    answer: 64 * MIB,
    announced: false,
    work: |bytes| serde_json::to_vec(&inspect(bytes)?).map_err(|error| Flaw::Host(error.to_string())),
};

/// A component file that may be a connector.
pub type Candidate = remit_engine::Candidate<Inspection>;

impl Inspect for Inspection {
    const TASK: &'static Task = &INSPECT;
}

/// What a component says of itself as a connector, and why it is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inspection {
    /// The component's name, or `unnamed`.
    pub name: String,
    /// The component's version, or `0.0.0`.
    pub version: String,
    /// The component's size in bytes.
    pub size: usize,
    /// Its `connector.toml`.
    pub description: String,
    /// The interfaces that its description names, with the types of their functions, by name and version.
    pub interfaces: BTreeMap<String, Signatures>,
    /// Every reason why no host of this version uses it, with any signature.
    pub obstacles: Vec<String>,
}

fn inspect(bytes: &[u8]) -> Result<Inspection, Flaw> {
    let found = examine(bytes, &WORLD)?;
    let mut obstacles = obstacles(&found);
    let description = found.section.clone().map(String::from_utf8);
    let description = match description {
        Some(Ok(text)) => text,
        Some(Err(_)) => return Err(Flaw::Section("it is not UTF-8".to_owned())),
        None => {
            obstacles.push(format!("it has no description (the custom section {})", WORLD.section));
            String::new()
        }
    };
    let mut interfaces = BTreeMap::new();
    if found.section.is_some() {
        let read = Description::parse(&description).map_err(|mistake| Flaw::Section(mistake.to_string()))?;
        let mut carried = BTreeMap::new();
        for package in &found.sections {
            let read = wit_package(package)
                .map_err(|flaw| Flaw::Section(format!("its {} is no WIT package: {flaw:?}", "remit:wit")))?;
            carried.extend(read);
        }
        for name in read.interfaces() {
            match carried.remove(name) {
                None => obstacles.push(format!("it does not carry the WIT of {name}")),
                Some(Err(why)) => obstacles.push(format!("{name}: {why}")),
                Some(Ok(functions)) => {
                    obstacles.extend(wrong(name, &functions, &read));
                    interfaces.insert(name.clone(), functions);
                }
            }
        }
    }
    let Examination { name, version, size, .. } = found;
    Ok(Inspection { name, version, size, description, interfaces, obstacles })
}

/// Why it is no connector, or cannot run here.
fn obstacles(found: &Examination) -> Vec<String> {
    let mut obstacles: Vec<String> = Vec::new();
    obstacles.extend(found.not_of_the_world.clone());
    let more: Vec<&str> =
        found.imports.iter().map(String::as_str).filter(|import| !OFFERED.contains(import)).collect();
    if !more.is_empty() {
        obstacles.push(format!(
            "it imports {}: a connector has nothing but {}",
            more.join(", "),
            OFFERED[..2].join(" and ")
        ));
    }
    if !found.needs.is_empty() {
        obstacles.push(format!("it needs {}", found.needs.join(", ")));
    }
    obstacles.extend(found.misfit.clone());
    obstacles.extend(found.too_much.as_ref().map(|what| format!("it has too much: {what}")));
    obstacles.extend(found.odd_export.clone());
    obstacles
}

/// What is wrong with an interface, or with what the description says of it.
fn wrong(name: &str, functions: &Signatures, description: &Description) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong
        .extend(remit_capability::connected::check_form(functions).err().map(|why| format!("{name}: {why}")));
    wrong.extend(standard::differs(name, functions));
    let plain = name.split('@').next().unwrap_or(name);
    for function in functions.0.keys() {
        let operation = format!("{plain}.{function}");
        let Some(told) = description.function(&operation) else {
            wrong.push(format!("its description says nothing of {operation}"));
            continue;
        };
        if let Some(own) = standard::effect(&operation)
            && remit_capability::connected::is_weaker(told.effect(), own)
        {
            wrong.push(format!("{operation} is `{own}`, and its description makes it `{}`", told.effect()));
        }
    }
    wrong
}
