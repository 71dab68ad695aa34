//! What a component could do, read from its bytes alone. Nothing of it runs, nothing is compiled.

use remit_capability::Interface;
use remit_manifest::Manifest;
use serde::{Deserialize, Serialize};

use crate::{AdmissionError, Candidate};

/// The contract every action exports.
pub(crate) const CONTRACT: &str = "remit:action/remediation@0.1.0";

/// One interface that a component imports.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Named")]
pub struct Import {
    /// As it stands in the component: `remit:secrets/rotate@0.1.0`.
    pub name: String,
    /// What the host knows about it; none if the host does not offer it.
    #[serde(skip)]
    pub interface: Option<&'static Interface>,
}

/// An import as it is written down: what the host offers is the host's to say, each time.
#[derive(Deserialize)]
struct Named {
    name: String,
}

impl From<Named> for Import {
    fn from(Named { name }: Named) -> Self {
        let interface = remit_capability::find(&name);
        Self { name, interface }
    }
}

impl Import {
    pub(crate) fn named(name: &str) -> Self {
        Named { name: name.to_owned() }.into()
    }

    /// The interface of that name, where the host has it in another version only.
    #[must_use]
    pub fn other_version(&self) -> Option<&'static Interface> {
        if self.interface.is_some() {
            return None;
        }
        let name = self.name.split('@').next()?;
        remit_capability::interfaces().iter().find(|interface| interface.name == name)
    }

    /// As a list of what is not offered shows it.
    #[must_use]
    pub fn not_offered(&self) -> String {
        let name = remit_text::short_line(&self.name, 200);
        match self.other_version() {
            Some(ours) => format!("{name} (it offers {})", ours.version),
            None => name.into_owned(),
        }
    }
}

/// What a component says it is and wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inspection {
    /// Its name, or `unnamed`.
    pub name: String,
    /// Its version, or `0.0.0`.
    pub version: String,
    /// Its size in bytes.
    pub size: usize,
    /// What it says of itself, if it carries a manifest.
    pub manifest: Option<Manifest>,
    /// Every import, in its own order.
    pub imports: Vec<Import>,
    /// Every export.
    pub exports: Vec<String>,
    /// The WebAssembly features it needs that do not run here.
    pub needs: Vec<String>,
    /// Why it is not an action, if it is none: the export of the contract is missing, or is of another type.
    pub not_an_action: Option<String>,
    /// What it has more of than an action may have.
    pub(crate) too_much: Option<String>,
    /// Which import, though it is offered, is of another type.
    pub(crate) misfit: Option<String>,
    /// What it exports that the engine cannot call.
    pub(crate) odd_export: Option<String>,
}

impl Inspection {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            name: "unnamed".to_owned(),
            version: "0.0.0".to_owned(),
            size,
            manifest: None,
            imports: Vec::new(),
            exports: Vec::new(),
            needs: Vec::new(),
            not_an_action: None,
            too_much: None,
            misfit: None,
            odd_export: None,
        }
    }

    /// The capabilities it imports and, in its manifest, does not explain.
    #[must_use]
    pub fn unexplained(&self) -> Vec<&'static str> {
        let Some(manifest) = &self.manifest else { return Vec::new() };
        let granted =
            self.imports.iter().filter_map(|import| import.interface).filter(|i| i.granted_by_scope());
        granted.map(|i| i.name).filter(|name| !manifest.capabilities.contains_key(*name)).collect()
    }

    /// Whether it exports what an action must.
    #[must_use]
    pub fn is_action(&self) -> bool {
        self.not_an_action.is_none()
    }

    /// Everything for which no host of this version runs it, whoever signed it: admission refuses the first of it, and
    /// inspection tells all. `file` names it.
    #[must_use]
    pub fn obstacles(&self, file: &str) -> Vec<AdmissionError> {
        let file = || file.to_owned();
        let mut obstacles = Vec::new();
        if !self.needs.is_empty() {
            obstacles.push(AdmissionError::Feature { file: file(), needs: self.needs.join(", ") });
        }
        if let Some(why) = &self.not_an_action {
            obstacles.push(AdmissionError::NotAnAction { file: file(), why: why.clone() });
        }
        let unknown: Vec<_> =
            self.imports.iter().filter(|import| import.interface.is_none()).cloned().collect();
        if !unknown.is_empty() {
            obstacles.push(AdmissionError::Unknown { file: file(), imports: unknown });
        }
        if let Some(why) = &self.misfit {
            obstacles.push(AdmissionError::Mismatch { file: file(), why: why.clone() });
        }
        if let Some(what) = &self.too_much {
            obstacles.push(AdmissionError::TooMuch { file: file(), what: what.clone() });
        }
        if let Some(why) = &self.odd_export {
            obstacles.push(AdmissionError::Mismatch { file: file(), why: why.clone() });
        }
        obstacles
    }

    /// Reads a component; once, however often it is asked for.
    pub fn of(candidate: &Candidate) -> Result<Self, AdmissionError> {
        candidate.inspection().cloned()
    }
}
