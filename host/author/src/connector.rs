//! Connectors: `connector.toml`, and what a build puts into the component beside the code.

use std::collections::BTreeSet;

use remit_manifest::Manifest;
use serde::Deserialize;
use wit_parser::Resolve;

use crate::{AuthorError, Project, world};

/// The description's file name.
pub const FILE: &str = "connector.toml";
/// The custom section with the description, as it is written.
const SECTION: &str = "remit:connector";
/// The custom sections with the WIT packages of the interfaces that it implements, in their binary form.
const WIT: &str = "remit:wit";

/// The begin of `connector.toml`: what every component says of itself, and what this one implements.
#[derive(Clone, Debug, Deserialize)]
struct Head {
    name: String,
    version: semver::Version,
    summary: String,
    homepage: Option<String>,
    license: Option<String>,
    interfaces: BTreeSet<String>,
}

/// A connector's description.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pub(crate) text: String,
    interfaces: BTreeSet<String>,
}

/// Reads a `connector.toml`; `file` is its name in errors.
pub(crate) fn parse(text: &str, file: &str) -> Result<(Manifest, Connector), AuthorError> {
    let head: Head = toml::from_str(text).map_err(|error| AuthorError::Connector {
        file: file.to_owned(),
        why: error.to_string().trim_end().to_owned(),
    })?;
    let Head { name, version, summary, homepage, license, interfaces } = head;
    let manifest = Manifest {
        name,
        version,
        summary,
        homepage,
        license,
        capabilities: std::collections::BTreeMap::new(),
        input: None,
    };
    Ok((manifest.checked(file)?, Connector { text: text.to_owned(), interfaces }))
}

impl Connector {
    /// Adds the description, and the packages of what it implements, to a component.
    pub(crate) fn describe(&self, project: &Project, component: &mut Vec<u8>) -> Result<(), AuthorError> {
        let wit = project.wit();
        let resolve = if wit.exists() { world::of(&wit)? } else { world::host() };
        append(component, SECTION, self.text.as_bytes());
        let mut packages = BTreeSet::new();
        for interface in &self.interfaces {
            let package = package(&resolve, interface).ok_or_else(|| AuthorError::Connector {
                file: project.dir.join(FILE).display().to_string(),
                why: format!(
                    "there is no interface {interface}: write its version too, and lay a package of your own into wit/deps"
                ),
            })?;
            packages.insert(package);
        }
        for package in packages {
            let bytes = wit_component::encode(&resolve, package).map_err(|error| AuthorError::Wit {
                dir: wit.display().to_string(),
                why: format!("{error:#}"),
            })?;
            append(component, WIT, &bytes);
        }
        Ok(())
    }
}

fn package(resolve: &Resolve, interface: &str) -> Option<wit_parser::PackageId> {
    let mut all = resolve.interfaces.iter();
    let (_, found) = all.find(|(id, _)| resolve.id_of(*id).as_deref() == Some(interface))?;
    found.package
}

fn append(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let section = wasm_encoder::CustomSection { name: name.into(), data: data.into() };
    wasm_encoder::ComponentSection::append_to_component(&section, component);
}
