//! From sources to a component that says what it is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use remit_manifest::{Manifest, SECTION};
use remit_trust::Digest;
use serde::Serialize;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_metadata::{AddMetadata, AddMetadataField, Description, Homepage, Licenses};
use wit_component::ComponentEncoder;
use wit_parser::{Resolve, WorldId};

use crate::world::without_version;
use crate::{AuthorError, Project, stub, world};

/// A component that was built. Its JSON form is the output of `remit build`.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// The name of the action or connector.
    pub name: String,
    /// The version that its author gave it.
    pub version: semver::Version,
    /// The name of the language that it is written in.
    pub language: &'static str,
    /// The path of the component's file.
    pub file: PathBuf,
    /// The component's digest.
    pub digest: Digest,
    /// The component's size in bytes.
    pub size: usize,
    /// The interfaces it imports, WASI included.
    pub imports: Vec<String>,
    /// Capabilities that `action.toml` explains and the action does not use.
    pub unused: Vec<String>,
}

/// Builds the project to `out`, or to `NAME.wasm` in its folder: compiled, made a component, held to the
/// world in `wit/`, with `action.toml` embedded. The file is replaced whole, and only by a build that passed
/// every check.
///
/// The file's time of change is when the build began: a source that was saved meanwhile is newer than it.
pub fn build(project: &Project, out: Option<&Path>) -> Result<Built, AuthorError> {
    let began = SystemTime::now();
    let language = project.language.entry();
    let mut component = (language.build)(&project.folder())?;
    if language.core {
        component = componentise(project, &component)?;
    }
    let (resolve, world) = world_of(project)?;
    let named = world::names(&resolve, world);
    let component = stub::fill(component, |import| {
        (stub::is_inert(import) && !project.is_connector()) || named.iter().any(|name| name == import)
    })
    .map_err(|error| differs(project, format!("{error:#}"), "this is a defect of Remit; please report it"))?;
    let imports = check(project, &component)?;
    let unused = if project.is_connector() { Vec::new() } else { declared(project, &imports)? };
    let mut component = metadata(&project.manifest, &component)
        .map_err(|why| differs(project, why, "this is a defect of Remit; please report it"))?;
    match &project.connector {
        Some(connector) => connector.describe(project, &mut component)?,
        None => describe(&project.manifest, &mut component)
            .map_err(|why| differs(project, why, "this is a defect of Remit; please report it"))?,
    }
    let file = out.map_or_else(|| project.component(), Path::to_owned);
    let file = file.strip_prefix(".").map(Path::to_owned).unwrap_or(file);
    remit_file::write(&file, &component)?;
    // Sources that were changed while it was built are newer than it.
    #[expect(clippy::disallowed_methods, reason = "its time is set, nothing is written")]
    File::options()
        .write(true)
        .open(&file)
        .and_then(|file| file.set_modified(began))
        .map_err(|error| AuthorError::file(&file, &error))?;
    Ok(Built {
        name: project.manifest.name.clone(),
        version: project.manifest.version.clone(),
        language: project.language.name(),
        file,
        digest: Digest::of(&component),
        size: component.len(),
        imports,
        unused,
    })
}

/// What the component may import, and must export.
fn world_of(project: &Project) -> Result<(Resolve, WorldId), AuthorError> {
    if project.is_connector() { Ok(world::connector(world::host())) } else { world::read(&project.wit()) }
}

/// What it has to export, for a person.
fn exports(project: &Project) -> &'static str {
    if project.is_connector() {
        "a connector exports the functions of remit:connector/operations"
    } else {
        "an action exports `run` and `verify` of remit:action/remediation"
    }
}

fn differs(project: &Project, why: String, help: &str) -> AuthorError {
    AuthorError::World { dir: project.wit().display().to_string(), why, help: help.to_owned() }
}

fn componentise(project: &Project, module: &[u8]) -> Result<Vec<u8>, AuthorError> {
    component_of(module).map_err(|error| differs(project, error, exports(project)))
}

/// The component of a core module.
pub(crate) fn component_of(module: &[u8]) -> Result<Vec<u8>, String> {
    // For modules of WASI preview 1. A module that imports none of it gets no part of the adapter.
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(ComponentEncoder::encode);
    encoded.map_err(|error| format!("{error:#}"))
}

/// Holds a component to its world: it exports what every action does, and imports of Remit's interfaces
/// only those of the world. WASI it may import as its runtime needs; the host decides what of it there is.
fn check(project: &Project, component: &[u8]) -> Result<Vec<String>, AuthorError> {
    let wit = project.wit();
    let (resolve, world) = world_of(project)?;
    let wanted = world::names(&resolve, world);
    let malformed = |why| differs(project, why, "see what the language's tool made of the sources");
    let imports: Vec<String> = world::imports(component).map_err(malformed)?.into_iter().collect();
    for import in &imports {
        if import.starts_with("wasi:") || wanted.contains(import) {
            continue;
        }
        let interface = without_version(import);
        let other = wanted.iter().find(|name| without_version(name) == interface);
        return Err(match other {
            Some(other) => differs(
                project,
                format!("it imports {import}, and {} has {other}", world::file(&wit)),
                "the SDK and the WIT are of different versions: take both from a fresh `remit new`",
            ),
            None if project.is_connector() => differs(
                project,
                format!("it imports {import}"),
                "a connector imports remit:connector/http and remit:host/log, and nothing else",
            ),
            None => world::outside(&project.wit(), import),
        });
    }
    let offered = world::interfaces(&world::host());
    for import in imports.iter().filter(|import| import.starts_with("remit:")) {
        let interface = without_version(import);
        let ours = offered.iter().find(|name| without_version(name) == interface);
        if let Some(ours) = ours.filter(|ours| *ours != import) {
            return Err(differs(
                project,
                format!("it imports {import}, and this Remit offers {ours}"),
                "take `sdk` and `wit/deps` from a fresh `remit new` of this version, and build again",
            ));
        }
    }
    // Where nothing but the world is imported, the types are compared too.
    if imports.iter().all(|import| wanted.contains(import)) {
        wit_component::targets(&resolve, world, component)
            .map_err(|error| differs(project, format!("{error:#}"), exports(project)))?;
    }
    Ok(imports)
}

/// Demands a reason for each capability used; returns those that have one and are not used.
fn declared(project: &Project, imports: &[String]) -> Result<Vec<String>, AuthorError> {
    let explained = &project.manifest.capabilities;
    let capabilities = world::capabilities(&world::of(&project.wit())?);
    let used: Vec<&str> = imports
        .iter()
        .filter(|import| capabilities.contains(import))
        .map(|import| without_version(import))
        .collect();
    let names: Vec<String> =
        used.iter().filter(|name| !explained.contains_key(**name)).map(|name| (*name).to_owned()).collect();
    if names.is_empty() {
        return Ok(explained.keys().filter(|name| !used.contains(&name.as_str())).cloned().collect());
    }
    Err(AuthorError::Undeclared {
        names,
        file: project.dir.join(crate::project::MANIFEST).display().to_string(),
    })
}

/// Adds the manifest whole.
fn describe(manifest: &Manifest, component: &mut Vec<u8>) -> Result<(), String> {
    let said = manifest.to_section().map_err(|error| format!("its manifest: {error}"))?;
    let section = wasm_encoder::CustomSection { name: SECTION.into(), data: said.into() };
    wasm_encoder::ComponentSection::append_to_component(&section, component);
    Ok(())
}

/// Adds the standard metadata.
fn metadata(manifest: &Manifest, component: &[u8]) -> Result<Vec<u8>, String> {
    let mut metadata = AddMetadata::default();
    metadata.name = AddMetadataField::Set(manifest.name.clone());
    let version = manifest.version.to_string().parse().map_err(|error| format!("its version: {error}"))?;
    metadata.version = AddMetadataField::Set(version);
    metadata.description = AddMetadataField::Set(Description::new(manifest.summary.clone()));
    if let Some(license) = &manifest.license {
        metadata.licenses =
            AddMetadataField::Set(Licenses::new(license).map_err(|e| format!("its license: {e}"))?);
    }
    if let Some(homepage) = &manifest.homepage {
        metadata.homepage =
            AddMetadataField::Set(Homepage::new(homepage).map_err(|e| format!("its homepage: {e}"))?);
    }
    metadata.to_wasm(component).map_err(|error| format!("{error:#}"))
}
