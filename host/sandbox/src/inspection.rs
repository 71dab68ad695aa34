//! What a component could do, read from its bytes alone. Nothing of it runs, nothing is compiled.

use remit_capability::Interface;
use remit_manifest::{Manifest, SECTION};
use serde::{Deserialize, Serialize};
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload, Validator, WasmFeatures};

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
}

impl Inspection {
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
        self.exports.iter().any(|export| export == CONTRACT)
    }

    /// Reads a component; once, however often it is asked for.
    pub fn of(candidate: &Candidate) -> Result<Self, AdmissionError> {
        candidate.inspection().cloned()
    }

    pub(crate) fn read(candidate: &Candidate) -> Result<Self, AdmissionError> {
        let bytes = candidate.bytes()?;
        let malformed = |error: wasmparser::BinaryReaderError| AdmissionError::Malformed {
            file: candidate.shown().to_owned(),
            why: error.to_string(),
        };
        if bytes.len() < 8 || !bytes.starts_with(b"\0asm") {
            return Err(AdmissionError::NotWasm { file: candidate.shown().to_owned() });
        }
        let mut found = Self {
            name: "unnamed".to_owned(),
            version: "0.0.0".to_owned(),
            size: bytes.len(),
            manifest: None,
            imports: Vec::new(),
            exports: Vec::new(),
        };
        // Only the outermost component's own sections count: what nested components import, they get from
        // it, and so from these imports.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(malformed)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(AdmissionError::CoreModule { file: candidate.shown().to_owned() });
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let name = import.map_err(malformed)?.name.name.to_owned();
                        found.imports.push(Named { name }.into());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let export = export.map_err(malformed)?;
                        if export.kind == ComponentExternalKind::Instance
                            || export.kind == ComponentExternalKind::Func
                        {
                            found.exports.push(export.name.name.to_owned());
                        }
                    }
                }
                Payload::CustomSection(section) if depth == 0 => match section.as_known() {
                    wasmparser::KnownCustom::ComponentName(names) => {
                        for name in names {
                            if let Ok(wasmparser::ComponentName::Component { name, .. }) = name {
                                found.name = printable(name);
                            }
                        }
                    }
                    _ if section.name() == SECTION => {
                        // Two of them would leave open which one an input is held to.
                        if found.manifest.is_some() {
                            return Err(AdmissionError::Malformed {
                                file: candidate.shown().to_owned(),
                                why: "it carries two manifests".to_owned(),
                            });
                        }
                        found.manifest = Some(Manifest::from_section(section.data(), candidate.shown())?);
                    }
                    _ if section.name() == "version" => {
                        found.version = printable(&String::from_utf8_lossy(section.data()));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        Validator::new_with_features(features()).validate_all(bytes).map_err(malformed)?;
        Ok(found)
    }
}

/// A component names itself: what it says is shown, so it must not steer a terminal or hide text.
fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(80).collect()
}

/// No more than the engine runs: no threads, no component-model async.
fn features() -> WasmFeatures {
    let mut features = WasmFeatures::default();
    features.remove(WasmFeatures::THREADS);
    features
}
