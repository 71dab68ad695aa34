//! Writing down what was seen, as what is expected from now on.

use std::path::Path;

use remit_file::Kind;
use toml_edit::{Array, DocumentMut, Item};

use crate::{Expect, OfflineError};

/// Writes what was seen into a fixture: first without a fault, then with each; where nothing was, nothing is written. The
/// author's own lines stay as they are; the file is replaced whole.
pub fn record(file: &Path, seen: &[Option<Expect>]) -> Result<(), OfflineError> {
    let wrong = |why: String| OfflineError::Fixture { file: file.display().to_string(), why };
    let text = remit_file::plain(file, Kind::Fixture)?.into_text()?;
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| wrong(error.to_string()))?;
    for (n, seen) in seen.iter().enumerate() {
        let Some(seen) = seen else { continue };
        let mut expect = toml_edit::ser::to_document(seen).map_err(|error| wrong(error.to_string()))?;
        for (table, states) in seen.after.iter().filter(|(_, states)| !states.is_empty()) {
            let written: Array = states.iter().map(|state| state.written.clone()).collect();
            expect[table] = toml_edit::value(written);
        }
        expect.iter_mut().filter_map(|(_, item)| item.as_array_mut()).for_each(a_line_each);
        let expect = Item::Table(expect.as_table().clone());
        let place = match n.checked_sub(1) {
            None => document.as_table_mut(),
            Some(n) => document["fault"]
                .as_array_of_tables_mut()
                .and_then(|faults| faults.get_mut(n))
                .ok_or_else(|| wrong("write each [[fault]] as a table of its own".to_owned()))?,
        };
        place.insert("expect", expect);
    }
    Ok(remit_file::write(file, document.to_string().as_bytes()).map(drop)?)
}

/// Writes a list with one item on each line, so that people can compare two versions.
fn a_line_each(list: &mut Array) {
    for value in list.iter_mut() {
        value.decor_mut().set_prefix("\n  ");
    }
    list.set_trailing("\n");
    list.set_trailing_comma(true);
}
