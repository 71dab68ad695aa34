//! Writing down what a connector did, and what a real system answered.

use std::path::Path;

use remit_file::Kind;
use serde::Serialize;
use serde_json::{Map, Value};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use super::bench::{Seen, Told};
use super::fixture::Scene;
use crate::OfflineError;

/// Writes what came of each phase into a fixture, and what a real system was sent and answered. The author's other lines stay as
/// they are; the file is replaced whole.
pub fn record_story(file: &Path, scenes: &[Scene], told: &Told) -> Result<(), OfflineError> {
    let wrong = |why: String| OfflineError::Story { file: file.display().to_string(), why };
    let text = remit_file::plain(file, Kind::Fixture)?.into_text()?;
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| wrong(error.to_string()))?;
    if let Some(config) = told.config.as_ref().filter(|config| !config.is_empty()) {
        document.insert("config", inline(config).map_err(wrong)?);
    }
    if scenes.is_empty() {
        document.insert("phase", Item::ArrayOfTables(ArrayOfTables::new()));
    }
    let phases = document["phase"].as_array_of_tables_mut();
    let phases = phases.ok_or_else(|| wrong("write each [[phase]] as a table of its own".to_owned()))?;
    for (n, seen) in told.scenes.iter().enumerate() {
        if scenes.is_empty() {
            let mut phase = Table::new();
            phase.insert("run", toml_edit::value(seen.run.name()));
            phases.push(phase);
        }
        let phase = phases.get_mut(n).ok_or_else(|| wrong("it was changed meanwhile".to_owned()))?;
        write(phase, seen).map_err(wrong)?;
    }
    Ok(remit_file::write(file, document.to_string().as_bytes()).map(drop)?)
}

fn write(phase: &mut Table, seen: &Seen) -> Result<(), String> {
    let came = toml_edit::ser::to_document(&seen.came).map_err(|error| error.to_string())?;
    phase.insert("expect", toml_edit::value(came.as_table().clone().into_inline_table()));
    let Some(recorded) = &seen.recorded else { return Ok(()) };
    let mut exchanges = ArrayOfTables::new();
    for one in recorded {
        let one = toml_edit::ser::to_document(one).map_err(|error| error.to_string())?;
        exchanges.push(one.as_table().clone());
    }
    phase.remove("exchange");
    if !exchanges.is_empty() {
        phase.insert("exchange", Item::ArrayOfTables(exchanges));
    }
    Ok(())
}

fn inline(value: &Map<String, Value>) -> Result<Item, String> {
    let value = value.serialize(toml_edit::ser::ValueSerializer::new());
    value.map(toml_edit::value).map_err(|error| error.to_string())
}
