//! Connectors in TOML: the interpreter, a component that Remit brings along, with the functions of a `connector.toml` written into
//! it. Nothing is compiled.

mod read;

// One file for both sides, so that what is written is what is read.
#[path = "../../../../../plugins/connectors/declarative/src/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use wasm_metadata::Payload;

use super::rust;
use crate::build::component_of;
use crate::folder::Folder;
use crate::{AuthorError, connector, world};

use program::{MARK, ROOM};

/// The component of `plugins/connectors/declarative`, without a program. `cargo xtask interpreter` makes it.
pub static INTERPRETER: &[u8] = include_bytes!("../../../../../sdk/toml/interpreter.wasm");

/// Compiles the interpreter, whose sources are in `dir`.
pub fn compile(dir: &Path, environment: &[(OsString, OsString)]) -> Result<Vec<u8>, AuthorError> {
    let module = rust::build(&Folder { dir, environment, sdk: &super::NO_SDK })?;
    let wrong = |why| AuthorError::File { file: dir.display().to_string(), why };
    let component = component_of(&module).map_err(wrong)?;
    filled(&component, b"").map_err(wrong)?;
    Ok(component)
}

/// What compiled an interpreter: another compiler makes other bytes of the same sources.
#[must_use]
pub fn compilers(interpreter: &[u8]) -> Vec<String> {
    fn all(payload: &Payload, into: &mut Vec<String>) {
        let producers = payload.metadata().producers.iter();
        into.extend(producers.flat_map(|producers| producers.iter().map(|(_, field)| format!("{field:?}"))));
        if let Payload::Component { children, .. } = payload {
            for child in children {
                all(child, into);
            }
        }
    }
    let mut found = Vec::new();
    if let Ok(payload) = Payload::from_binary(interpreter) {
        all(&payload, &mut found);
    }
    found
}

/// The interpreter with the functions of the project's `connector.toml`.
pub(crate) fn build(project: &Folder<'_>) -> Result<Vec<u8>, AuthorError> {
    let file = project.dir.join(connector::FILE);
    let text = remit_file::plain(&file, remit_file::Kind::Source)?.into_text()?;
    let wrong = |why: String| AuthorError::Connector { file: file.display().to_string(), why };
    let wit = project.wit();
    let resolve = if wit.exists() { world::of(&wit)? } else { world::host() };
    let program = read::program(&text, &resources(&resolve)).map_err(wrong)?;
    let program = serde_json::to_vec(&program).map_err(|error| wrong(error.to_string()))?;
    if program.len() > ROOM {
        return Err(wrong(format!(
            "its functions take {} bytes, and there is room for {ROOM}: make two connectors of it, or write it in Rust",
            program.len()
        )));
    }
    filled(INTERPRETER, &program).map_err(wrong)
}

/// The first parameter of each function, which is the path of its resource.
fn resources(resolve: &wit_parser::Resolve) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (id, interface) in &resolve.interfaces {
        let Some(name) = resolve.id_of(id) else { continue };
        for function in interface.functions.values() {
            if let Some(param) = function.params.first() {
                let name = format!("{}.{}", world::without_version(&name), function.name);
                all.insert(name, param.name.clone());
            }
        }
    }
    all
}

/// Writes a program into its room.
fn filled(interpreter: &[u8], program: &[u8]) -> Result<Vec<u8>, String> {
    let mut rooms = interpreter.windows(MARK.len()).enumerate().filter(|(_, bytes)| bytes == MARK);
    let (Some((at, _)), None) = (rooms.next(), rooms.next()) else {
        return Err(
            "the interpreter has no room for it; this is a defect of Remit, please report it".to_owned()
        );
    };
    let mut filled = interpreter.to_vec();
    let room = filled.get_mut(at..at + ROOM).ok_or("the interpreter's room is cut short")?;
    room.fill(b' ');
    room[..program.len()].copy_from_slice(program);
    Ok(filled)
}
