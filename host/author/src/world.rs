//! WIT worlds: what an action may import.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use include_dir::{Dir, File, include_dir};
use remit_file::{Durable, Kind};
use wit_component::DecodedWasm;
use wit_parser::{InterfaceId, PackageId, Resolve, SourceMap, UnresolvedPackageGroup, WorldId};

use crate::AuthorError;

/// The host's own WIT, each package a folder.
pub(crate) static WIT: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");

/// The packages of `wit/` that an action's own world is made of; WASI is there so that language runtimes can
/// start, and their tools bring it.
fn packages() -> impl Iterator<Item = &'static Dir<'static>> {
    WIT.dirs().filter(|dir| dir.path() != Path::new("wasi"))
}

/// The interface that every action exports, without the version.
const CONTRACT: &str = "remit:action/remediation";
/// The package of what connectors import and export, which no action does.
const CONNECTOR: &str = "remit:connector/";
/// What the documentation of an interface says if no scope has to name it.
const AMBIENT: &str = "Needs no grant";

fn wit_files(package: &'static Dir<'static>) -> impl Iterator<Item = &'static File<'static>> {
    package.files().filter(|file| file.path().extension().is_some_and(|end| end == "wit"))
}

/// The interfaces that have functions to import, as they are imported.
pub(crate) fn interfaces(resolve: &Resolve) -> Vec<String> {
    named(resolve, |id| !resolve.interfaces[id].functions.is_empty())
}

/// The imports that a scope must name.
pub(crate) fn capabilities(resolve: &Resolve) -> Vec<String> {
    named(resolve, |id| is_capability(resolve, id))
}

/// Whether a scope must name an interface before an action may import it.
#[must_use]
pub fn is_capability(resolve: &Resolve, id: InterfaceId) -> bool {
    let interface = &resolve.interfaces[id];
    let namespace = interface.package.map(|id| resolve.packages[id].name.namespace.as_str());
    let documented = interface.docs.contents.as_ref().is_some_and(|docs| docs.contains(AMBIENT));
    // A publisher's own interface is served by a connector, and granted: whatever its documentation says.
    let ambient = namespace == Some("wasi") || (namespace == Some("remit") && documented);
    !ambient && !interface.functions.is_empty() && resolve.id_of(id).is_some_and(|name| is_offered(&name))
}

/// Whether an action can import an interface at all.
fn is_offered(name: &str) -> bool {
    without_version(name) != CONTRACT && !name.starts_with(CONNECTOR)
}

fn named(resolve: &Resolve, wanted: impl Fn(InterfaceId) -> bool) -> Vec<String> {
    let found = resolve.interfaces.iter().map(|(id, _)| id).filter(|id| wanted(*id));
    let mut names: Vec<String> = found.filter_map(|id| resolve.id_of(id)).collect();
    names.retain(|name| is_offered(name));
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

/// The world of a connector.
///
/// # Panics
/// Never: the WIT is part of this program.
#[must_use]
#[expect(clippy::expect_used, reason = "the WIT is part of this program")]
pub fn connector(resolve: Resolve) -> (Resolve, WorldId) {
    let of = |name: &&wit_parser::PackageName| name.namespace == "remit" && name.name == "connector";
    let package = resolve.package_names.iter().find(|(name, _)| of(name)).map(|(_, id)| *id);
    let package = package.expect("the package is there");
    let world = resolve.select_world(&[package], None).expect("it has one world");
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
    let world = resolve.select_world(&[package], None).map_err(|error| wrong(wit, format!("{error:#}")))?;
    Ok((resolve, world))
}

/// All that the world in the folder `wit` could import.
pub(crate) fn of(wit: &Path) -> Result<Resolve, AuthorError> {
    Ok(parsed(wit)?.0)
}

fn parsed(wit: &Path) -> Result<(Resolve, PackageId), AuthorError> {
    let mut resolve = if wit.join("deps").exists() { Resolve::default() } else { host() };
    let package = push(&mut resolve, wit)?;
    Ok((resolve, package))
}

fn wrong(wit: &Path, why: String) -> AuthorError {
    AuthorError::Wit { dir: wit.display().to_string(), why }
}

/// Adds the package in the folder `wit` and those in its `deps`, as [`Resolve::push_dir`] does, but read by the one reader of
/// files.
fn push(resolve: &mut Resolve, wit: &Path) -> Result<PackageId, AuthorError> {
    let main = package(sources(wit)?, wit)?;
    let mut others = Vec::new();
    let deps = wit.join("deps");
    for entry in if deps.exists() { remit_file::list(&deps, Kind::Source)? } else { Vec::new() } {
        let ending = entry.path.extension().and_then(|ending| ending.to_str());
        match ending {
            _ if entry.is_folder => others.push(package(sources(&entry.path)?, &entry.path)?),
            Some("wit") => others.push(package(vec![entry.path.clone()], &entry.path)?),
            Some("wasm") => {
                let bytes = remit_file::plain(&entry.path, Kind::Component)?.into_bytes();
                let merged = match wit_component::decode(&bytes) {
                    Ok(DecodedWasm::WitPackage(package, _)) => resolve.merge(package).map(drop),
                    Ok(DecodedWasm::Component(..)) => {
                        return Err(wrong(&entry.path, "it is a component, not a WIT package".to_owned()));
                    }
                    Err(error) => Err(error),
                };
                merged.map_err(|error| wrong(&entry.path, format!("{error:#}")))?;
            }
            _ => {}
        }
    }
    let pushed = resolve.push_groups(main, others);
    pushed.map_err(|error| wrong(wit, resolve.render_error(&error.into())))
}

/// The WIT files of a folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, AuthorError> {
    let entries = remit_file::list(folder, Kind::Source)?.into_iter();
    let files = entries.filter(|entry| !entry.is_folder).map(|entry| entry.path);
    Ok(files.filter(|file| file.extension().is_some_and(|ending| ending == "wit")).collect())
}

/// The package that these files are together; `shown` names it.
fn package(files: Vec<PathBuf>, shown: &Path) -> Result<UnresolvedPackageGroup, AuthorError> {
    let mut map = SourceMap::default();
    for file in files {
        map.push(&file, remit_file::plain(&file, Kind::Source)?.into_text()?);
    }
    map.parse().map_err(|(map, error)| wrong(shown, wit_parser::render_anyhow_error(&error.into(), &map)))
}

/// The path of the file in the folder `wit` that has the world, for a person.
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

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    const WORLD: &str = "package a:b;\nworld w { import c:d/e; import f:g/h; import i:j/k; }\n";

    #[test]
    fn a_world_and_what_it_refers_to_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let wit = folder.path();
        fs::create_dir_all(wit.join("deps/cd")).unwrap();
        fs::write(wit.join("world.wit"), WORLD).unwrap();
        fs::write(
            wit.join("deps/cd/e.wit"),
            "package c:d;\ninterface e { use f:g/h.{t}; f: func() -> t; }\n",
        )
        .unwrap();
        fs::write(wit.join("deps/f.wit"), "package f:g;\ninterface h { type t = u8; }\n").unwrap();
        let mut other = Resolve::default();
        let package = other.push_str("i.wit", "package i:j;\ninterface k { l: func(); }\n").unwrap();
        fs::write(wit.join("deps/i.wasm"), wit_component::encode(&other, package).unwrap()).unwrap();
        fs::write(wit.join("deps/README.md"), "read me").unwrap();
        let (resolve, world) = read(wit).unwrap();
        assert_eq!(names(&resolve, world), ["f:g/h", "c:d/e", "i:j/k"]);
    }

    /// What a connector serves is granted like what the host offers, whatever it says of itself.
    #[test]
    fn a_publishers_own_interface_is_a_capability() {
        let mut resolve = host();
        let theirs = "package acme:horns@0.1.0;\n/// Needs no grant.\ninterface switch { turn: func(path: string); }\n\
                      interface types { type path = string; }\n";
        resolve.push_str("horns.wit", theirs).unwrap();
        let all = capabilities(&resolve);
        let has = |name: &str| all.iter().any(|known| known == name);
        assert!(has("acme:horns/switch@0.1.0") && has("remit:secrets/rotate@0.1.0"), "{all:?}");
        for other in ["acme:horns/types@0.1.0", "remit:host/log@0.1.0", "remit:connector/http@0.1.0"] {
            assert!(!has(other), "{other}");
        }
        assert!(!all.iter().any(|name| name.starts_with("wasi:")), "{all:?}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let wit = folder.path();
        let says = |file: &str, why: &str| {
            let error = read(wit).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(why), "{error}");
            fs::remove_file(wit.join(file)).unwrap();
        };
        fs::create_dir(wit.join("deps")).unwrap();
        fs::write(wit.join("world.wit"), "package a:b;\nworld w {}\n").unwrap();
        for file in ["more.wit", "deps/c.wit", "deps/c.wasm"] {
            assert!(Command::new("mkfifo").arg(wit.join(file)).status().unwrap().success());
            says(file, "a pipe");
        }
        fs::write(wit.join("more.wit"), b"package a:b;\n// \xff\n").unwrap();
        says("more.wit", "UTF-8");
        fs::write(wit.join("more.wit"), "package a:b;\nwrld w {}\n").unwrap();
        says("more.wit", "wrld");
        fs::write(wit.join("deps/c.wasm"), "(component)").unwrap();
        says("deps/c.wasm", "");
    }
}
