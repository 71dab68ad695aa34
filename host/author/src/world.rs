//! WIT worlds: what an action may import.

use std::collections::BTreeSet;
use std::path::Path;

use include_dir::{Dir, File, include_dir};
use remit_file::{Durable, Kind};
use wit_component::DecodedWasm;
use wit_parser::{InterfaceId, PackageId, Resolve, SourceMap, WorldId};

use crate::AuthorError;

/// The host's own WIT, each package a folder.
pub(crate) static WIT: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");

/// The packages of `wit/` that an action's own world is made of; WASI is there so that language runtimes can
/// start, and their tools bring it.
fn packages() -> impl Iterator<Item = &'static Dir<'static>> {
    WIT.dirs().filter(|dir| dir.path() != Path::new("wasi"))
}

/// What every action exports, without the version.
const CONTRACT: &str = "remit:action/remediation";
/// What the documentation of an interface says if no scope has to name it.
const AMBIENT: &str = "Needs no grant";

fn wit_files(package: &'static Dir<'static>) -> impl Iterator<Item = &'static File<'static>> {
    package.files().filter(|file| file.path().extension().is_some_and(|end| end == "wit"))
}

/// The interfaces that have functions to import, as they are imported.
pub(crate) fn interfaces(resolve: &Resolve) -> Vec<String> {
    named(resolve, |id| !resolve.interfaces[id].functions.is_empty())
}

/// Those of them that a scope must name.
pub(crate) fn capabilities(resolve: &Resolve) -> Vec<String> {
    named(resolve, |id| is_capability(resolve, id))
}

/// Whether a scope must name an interface before an action may import it.
#[must_use]
pub fn is_capability(resolve: &Resolve, id: InterfaceId) -> bool {
    let interface = &resolve.interfaces[id];
    let ambient = interface.docs.contents.as_ref().is_some_and(|docs| docs.contains(AMBIENT));
    let ours = interface.package.is_some_and(|id| resolve.packages[id].name.namespace == "remit");
    let contract = resolve.id_of(id).is_some_and(|name| without_version(&name) == CONTRACT);
    ours && !interface.functions.is_empty() && !ambient && !contract
}

fn named(resolve: &Resolve, wanted: impl Fn(InterfaceId) -> bool) -> Vec<String> {
    let found = resolve.interfaces.iter().map(|(id, _)| id).filter(|id| wanted(*id));
    let mut names: Vec<String> = found.filter_map(|id| resolve.id_of(id)).collect();
    names.retain(|name| without_version(name) != CONTRACT);
    names.sort();
    names
}

/// `remit:secrets/rotate` of `remit:secrets/rotate@0.1.0`.
pub(crate) fn without_version(import: &str) -> &str {
    import.split_once('@').map_or(import, |(name, _)| name)
}

/// The WIT that this Remit offers to actions, but for WASI.
///
/// # Panics
/// Never: the WIT is part of this program.
#[must_use]
#[expect(clippy::expect_used, reason = "the WIT is part of this program; a test parses it")]
pub fn host() -> Resolve {
    let mut groups = packages().map(|package| {
        let mut sources = SourceMap::default();
        for file in wit_files(package) {
            sources.push(file.path(), file.contents_utf8().expect("WIT is text"));
        }
        sources.parse().expect("the host's WIT is valid")
    });
    let mut resolve = Resolve::default();
    let first = groups.next().expect("the host has a package");
    resolve.push_groups(first, groups.collect()).expect("the host's packages refer to each other only");
    resolve
}

/// What keeps `name` from being the name of an action's own package, `remit:NAME`: it is one of the host's, or a word of WIT.
pub(crate) fn reserved(name: &str) -> Option<String> {
    let mut resolve = host();
    if resolve.package_names.keys().any(|package| package.namespace == "remit" && package.name == name) {
        return Some(format!("the host has a package `remit:{name}` already"));
    }
    let text = format!("package remit:{name}@0.1.0;\nworld action {{}}\n");
    resolve
        .push_str("world.wit", &text)
        .is_err()
        .then(|| "it is a word of WIT, which names the action's world".to_owned())
}

/// A world that imports every interface of `resolve`: what an SDK is made for.
///
/// # Panics
/// Never: it names interfaces that are there.
#[must_use]
#[expect(clippy::expect_used, reason = "it names what is there")]
pub fn sdk(mut resolve: Resolve) -> (Resolve, WorldId) {
    let ours = interfaces(&resolve).into_iter().filter(|name| name.starts_with("remit:"));
    let imports = ours.map(|interface| format!("import {interface};")).collect::<Vec<_>>().join("\n");
    let text =
        format!("package remit:sdk@0.1.0;\nworld action {{\n{imports}\nexport {CONTRACT}@0.1.0;\n}}\n");
    let package = resolve.push_str("sdk.wit", &text).expect("the interfaces are there");
    let world = resolve.select_world(&[package], None).expect("there is one world");
    (resolve, world)
}

/// Copies what an action's world may refer to into `deps`.
pub(crate) fn write_deps(deps: &Path) -> std::io::Result<()> {
    for package in packages() {
        let to = deps.join(package.path());
        std::fs::create_dir_all(&to)?;
        for file in wit_files(package) {
            let to = to.join(file.path().file_name().unwrap_or_default());
            remit_file::write_with(&to, file.contents(), Durable::No)?;
        }
    }
    Ok(())
}

/// The one world in the folder `wit`. What it refers to is in its `deps`, and otherwise is the host's own.
pub(crate) fn read(wit: &Path) -> Result<(Resolve, WorldId), AuthorError> {
    let (resolve, package) = parsed(wit)?;
    let world = resolve
        .select_world(&[package], None)
        .map_err(|error| AuthorError::Wit { dir: wit.display().to_string(), why: format!("{error:#}") })?;
    Ok((resolve, world))
}

/// All that the world in the folder `wit` could import.
pub(crate) fn of(wit: &Path) -> Result<Resolve, AuthorError> {
    Ok(parsed(wit)?.0)
}

fn parsed(wit: &Path) -> Result<(Resolve, PackageId), AuthorError> {
    let mut resolve = if wit.join("deps").exists() { Resolve::default() } else { host() };
    match resolve.push_dir(wit) {
        Ok((package, _)) => Ok((resolve, package)),
        Err(error) => {
            Err(AuthorError::Wit { dir: wit.display().to_string(), why: resolve.render_error(&error) })
        }
    }
}

/// The file in the folder `wit` that has the world, as a person is told of it.
pub(crate) fn file(wit: &Path) -> String {
    let entries = remit_file::list(wit, Kind::Source).unwrap_or_default();
    let files: Vec<_> = entries.into_iter().map(|entry| entry.path).collect();
    let has_world = |file: &std::path::PathBuf| {
        file.extension().is_some_and(|end| end == "wit")
            && remit_file::plain(file, Kind::Source)
                .is_ok_and(|read| read.text().is_ok_and(|text| text.lines().any(|l| l.starts_with("world "))))
    };
    let file = files.iter().find(|file| has_world(file)).cloned().unwrap_or_else(|| wit.join("world.wit"));
    file.strip_prefix(".").unwrap_or(&file).display().to_string()
}

/// What calls something that its world does not import: told with the file of the world, in every language.
pub(crate) fn outside(wit: &Path, import: &str) -> AuthorError {
    let file = file(wit);
    AuthorError::World {
        dir: wit.display().to_string(),
        why: format!("it calls {import}, which {file} does not import"),
        help: format!(
            "if the action is meant to have this power, add `import {import};` to {file}; if not, take out the call"
        ),
    }
}

/// Every interface that a world imports.
pub(crate) fn names(resolve: &Resolve, world: WorldId) -> Vec<String> {
    resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect()
}

/// Every interface that a component imports.
pub(crate) fn imports(component: &[u8]) -> Result<BTreeSet<String>, String> {
    match wit_component::decode(component) {
        Ok(DecodedWasm::Component(resolve, world)) => {
            Ok(resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect())
        }
        Ok(DecodedWasm::WitPackage(..)) => Err("it is a WIT package, not a component".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    }
}
