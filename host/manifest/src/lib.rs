//! The manifest of an action: `action.toml`, and the same inside the component.
//!
//! The manifest is not trusted: a component's imports decide what it can do, and the manifest only explains them. The input
//! schema is different: the host checks every input against it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod schema;

use std::collections::BTreeMap;

use miette::Diagnostic;
use remit_text::json;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use schema::{Mismatch, Schema, SchemaError, is_quick};

/// The name of the custom section that has the manifest, at the outermost level of the component.
pub const SECTION: &str = "remit:manifest";

/// The maximum size of a manifest in bytes.
const LONGEST: usize = 256 * 1024;

/// The manifest of an action, `action.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name: lower-case words joined by hyphens.
    pub name: String,
    /// The version of the action (<https://semver.org>).
    pub version: semver::Version,
    /// What the action repairs, in one sentence.
    pub summary: String,
    /// The address of more information.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// The licence, as an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// For each capability, why the action needs it, in the author's words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capabilities: BTreeMap<String, String>,
    /// The JSON Schema (draft 2020-12) of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ManifestError {
    /// The file is not a valid `action.toml`.
    #[error("{file} is not an action's manifest:\n{why}")]
    #[diagnostic(code(usage::manifest), help("docs/authoring.md lists every key of action.toml"))]
    Malformed {
        /// The name of the manifest's file.
        file: String,
        /// The line and what is wrong there.
        why: String,
    },
    /// The input schema is not valid.
    #[error("{file}: [input] is not a JSON Schema: {why}")]
    #[diagnostic(
        code(usage::schema),
        help(
            "see https://json-schema.org/draft/2020-12; references to other documents are not followed, and a keyword of your own begins with `x-`"
        )
    )]
    Schema {
        /// The name of the manifest's file.
        file: String,
        /// The place in the schema and what is wrong there.
        why: String,
    },
}

impl Manifest {
    /// Reads an `action.toml`. `file` is its name in errors, which show the line.
    pub fn parse(text: &str, file: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            remit_text::toml::read_exact(text).map_err(|mistake| malformed(file, mistake.to_string()))?;
        manifest.checked(file)
    }

    /// Reads the section of a component. `file` is the component's name in errors.
    pub fn from_section(bytes: &[u8], file: &str) -> Result<Self, ManifestError> {
        if bytes.len() > LONGEST {
            return Err(malformed(file, format!("it is longer than {LONGEST} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed(file, "it is not text".to_owned()))?;
        // As strict as for the file: no member twice, and no number that JSON would change.
        json::parse(text).map_err(|mistake| malformed(file, mistake.to_string()))?;
        let manifest: Self = json::read(text).map_err(|mistake| malformed(file, mistake.to_string()))?;
        manifest.checked(file)
    }

    /// The contents of the section: canonical JSON (RFC 8785), so that the same manifest gives the same bytes.
    pub fn to_section(&self) -> Result<Vec<u8>, serde_json::Error> {
        json::canonical(self)
    }

    /// The schema of its input, if it has one.
    pub fn schema(&self, file: &str) -> Result<Option<Schema>, ManifestError> {
        let schema = self.input.as_ref().map(Schema::new).transpose();
        schema.map_err(|error| ManifestError::Schema { file: file.to_owned(), why: error.to_string() })
    }

    /// Checks what its types do not say. `file` is its name in errors.
    pub fn checked(self, file: &str) -> Result<Self, ManifestError> {
        if !is_name(&self.name) {
            return Err(malformed(
                file,
                format!("`{}` cannot name an action: use lower-case words joined by hyphens", self.name),
            ));
        }
        if self.summary.trim().is_empty() {
            return Err(malformed(file, "its summary is empty".to_owned()));
        }
        if let Some((name, _)) = self.capabilities.iter().find(|(_, why)| why.trim().is_empty()) {
            return Err(malformed(file, format!("it does not say why it needs {name}")));
        }
        self.schema(file)?;
        Ok(self)
    }
}

fn malformed(file: &str, why: String) -> ManifestError {
    ManifestError::Malformed { file: file.to_owned(), why }
}

/// Whether this is a valid name of an action: lower-case words joined by hyphens, at most 64 characters; so it is
/// a package name in every language, and a WIT name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.split('-').all(|word| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "rotate-secret"
version = "1.2.0"
summary = "Rotates"
[capabilities]
"remit:secrets/rotate" = "to write"
[input]
type = "object"
required = ["path"]
"#;

    #[test]
    fn a_component_says_what_the_file_says() {
        let manifest = Manifest::parse(TEXT, "action.toml").unwrap();
        assert_eq!(Manifest::from_section(&manifest.to_section().unwrap(), "a.wasm").unwrap(), manifest);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let says = |from: &str, to: &str, words: &str| {
            let error = Manifest::parse(&TEXT.replace(from, to), "action.toml").unwrap_err().to_string();
            assert!(error.contains("action.toml") && error.contains(words), "{error}");
        };
        says("summary =", "sumary =", "sumary");
        says("1.2.0", "1.2", "version");
        says("rotate-secret", "Rotate secret", "cannot name");
        says("to write", " ", "does not say why it needs remit:secrets/rotate");
        says("\"object\"", "\"objekt\"", "not a JSON Schema");
        says("required =", "requierd =", "`/requierd` is no keyword of the draft");
        says("required = [\"path\"]", "properties.path.maxLenght = 3", "`/properties/path/maxLenght`");
        says(
            "required = [\"path\"]",
            "\"$schema\" = \"http://json-schema.org/draft-07/schema#\"",
            "only https://json-schema.org/draft/2020-12/schema is read",
        );
        says("required = [\"path\"]", "\"$ref\" = \"https://example.org/s.json\"", "not a JSON Schema");
        says("\"object\"", "\"object\"\nmaximum = 9007199254740993", "9 | maximum = 9007199254740993");
        says("\"object\"", "\"object\"\ndefault = nan", "no number in JSON");
        says("\"object\"", "\"object\"\ndefault = 2026-01-01", "in quotes");
        says("required = [\"path\"]", "\"$ref\" = \"file:///etc/passwd\"", "not a JSON Schema");
    }

    #[test]
    fn every_keyword_of_the_draft_is_known() {
        let schema = serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "a", "$comment": "c", "title": "t",
            "type": "object", "properties": {"x": {"$ref": "#/$defs/any"}, "requierd": {"const": 1}},
            "$defs": {"any": {"anyOf": [true, {"format": "uri", "x-mine": 1}]}}, "additionalProperties": false,
            "if": {"required": ["x"]}, "then": {"minProperties": 1}, "examples": [{"requierd": 1}],
        });
        Schema::new(&schema).unwrap();
    }

    #[test]
    fn what_is_quick_is_small_and_plain() {
        let quick = |schema: Value, input: Value| is_quick(&schema, &input);
        let plain = serde_json::json!({"type": "object", "required": ["path"], "properties": {"path": {"type": "string"}}});
        assert!(quick(plain.clone(), serde_json::json!({"path": "app/db"})));
        assert!(!quick(plain, Value::from(vec![1; 50_000])));
        for costly in
            [r##"{"$ref": "#"}"##, r#"{"not": {"pattern": "a"}}"#, r#"{"items": [{"uniqueItems": true}]}"#]
        {
            assert!(!quick(serde_json::from_str(costly).unwrap(), Value::Null), "{costly}");
        }
    }

    #[test]
    fn what_is_told_of_an_input_is_short() {
        let schema = Schema::new(&serde_json::json!({"items": {"const": "x".repeat(10_000)}})).unwrap();
        let wrong = schema.check(&Value::from(vec!["y".repeat(10_000); 1000])).unwrap_err();
        assert_eq!(wrong.len(), 21);
        assert!(wrong.iter().all(|one| one.why.len() < 600));
        assert!(wrong[20].why.contains("more"), "{:?}", wrong[20]);
    }

    /// A schema comes with the action: it must not be able to stop the host.
    #[test]
    fn a_hostile_schema_ends_in_an_answer() {
        let deep = (0..60).fold(serde_json::json!({}), |inner, _| serde_json::json!({"not": inner}));
        for schema in [
            serde_json::json!({"$ref": "#"}),
            serde_json::json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}),
            serde_json::json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
            serde_json::json!({"pattern": "^(a+)+$"}),
            deep,
        ] {
            if let Ok(schema) = Schema::new(&schema) {
                let _ = schema.check(&Value::from(format!("{}!", "a".repeat(64))));
            }
        }
    }

    const TWICE: &[u8] =
        br#"{"name":"a","version":"1.0.0","summary":"s","input":{"type":"object","type":"string"}}"#;
    const LARGE: &[u8] =
        br#"{"name":"a","version":"1.0.0","summary":"s","input":{"maximum":9007199254740993}}"#;

    #[test]
    fn a_section_that_is_no_manifest_is_an_error() {
        for bytes in [&b""[..], b"{}", b"\xff", b"[]", TWICE, LARGE, &vec![b' '; LONGEST + 1]] {
            Manifest::from_section(bytes, "a.wasm").unwrap_err();
        }
    }
}
