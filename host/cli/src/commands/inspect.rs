//! `remit inspect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use remit_engine::{ComponentError, Publishers};
use remit_lifecycle::{Config, Home};
use remit_manifest::Manifest;
use remit_sandbox::{AdmissionError, Candidate, Import, Inspection, Interface};
use remit_trust::{SignatureError, VerifyingKey};
use serde_json::{Value, json};

use super::common::Done;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit inspect rotate-secret.wasm\n  remit inspect --diff old.wasm new.wasm     what power does the new one add?"
)]
pub(crate) struct Inspect {
    /// The component: any, also unsigned or foreign. Nothing of it runs.
    #[arg(required_unless_present = "diff")]
    file: Option<PathBuf>,
    /// Compare the power of two components.
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "file")]
    diff: Option<Vec<PathBuf>>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self, home: &Home) -> Done {
        match (self.file, self.diff) {
            (_, Some(files)) => diff(&files[0], &files[1], self.json),
            (Some(file), None) => inspect(&file, home, self.json),
            (None, None) => Ok(2),
        }
    }
}

fn inspect(file: &Path, home: &Home, json: bool) -> Done {
    let candidate = Candidate::read(file)?;
    let found = Inspection::of(&candidate)?;
    let (state, key) = publisher(&candidate, home);
    let obstacles: Vec<String> = found.obstacles("it").iter().map(AdmissionError::in_short).collect();
    if json {
        let imports: Vec<Value> = found.imports.iter().map(|import| match import.interface {
            Some(known) => json!({"name": import.name, "offered": true, "wasi": known.wasi, "granted_by_scope": known.granted_by_scope(), "effect": known.effect(), "risk": known.risk}),
            None => json!({"name": import.name, "offered": false, "offered_version": import.other_version().map(|ours| ours.version)}),
        }).collect();
        let mut shown = json!({
            "name": found.name, "version": found.version, "digest": candidate.digest(), "size": found.size,
            "action": found.is_action(), "not_an_action": found.not_an_action,
            "runs_here": obstacles.is_empty(), "verdict": verdict(&obstacles), "obstacles": obstacles, "needs": found.needs,
            "publisher": {"state": state, "key": key}, "imports": imports, "exports": found.exports,
            "manifest": found.manifest, "unexplained": found.unexplained(),
            "default_limits": remit_gate::Limits::default(),
        });
        shown["hidden_text"] = hidden_text(&shown).into();
        print::json(&shown)?;
        return Ok(0);
    }
    let field = |name: &str, value: String| vec![name.to_owned(), value];
    print::table(
        0,
        &[
            field("name", format!("{} {}", found.name, found.version)),
            field("digest", candidate.digest().to_string()),
            field("size", format!("{} bytes", found.size)),
            field("publisher", publisher_words(state, key.as_deref())),
            field(
                "action",
                found.not_an_action.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("no: {why}")),
            ),
            field("verdict", verdict(&obstacles)),
        ],
    );
    let hidden = hidden_text(
        &json!({"name": found.name, "version": found.version, "imports": names(&found.imports), "exports": found.exports, "manifest": found.manifest}),
    );
    if !hidden.is_empty() {
        say!("\nhas characters that a reader does not see, written out here like \\u{{202e}}, in:");
        let rows: Vec<_> = hidden.into_iter().map(|place| vec![place]).collect();
        rows_of(2, &rows);
    }
    if let Some(manifest) = &found.manifest {
        own_words(manifest);
    }
    let rows = |wanted: fn(&Interface) -> bool| -> Vec<Vec<String>> {
        let known = found.imports.iter().filter_map(|import| import.interface.map(|known| (import, known)));
        known
            .filter(|(_, known)| wanted(known))
            .map(|(import, known)| {
                let effect =
                    if known.granted_by_scope() { known.effect().to_string() } else { "-".to_owned() };
                vec![import.name.clone(), effect, known.risk.to_owned()]
            })
            .collect()
    };
    section("can do, if granted:", &rows(remit_sandbox::Interface::granted_by_scope), "nothing");
    let powers: Vec<_> = found.imports.iter().filter_map(|import| import.interface).collect();
    let powers: Vec<_> = powers.iter().flat_map(|known| remit_sandbox::powers(known.name)).collect();
    let row =
        |power: &&Interface| vec![power.name.to_owned(), power.effect().to_string(), power.risk.to_owned()];
    if !powers.is_empty() {
        let rows: Vec<_> = powers.iter().map(row).collect();
        section("can do through WASI, if granted, and runs without:", &rows, "");
    }
    section("needs no grant:", &rows(|known| !known.granted_by_scope() && !known.wasi), "nothing");
    section("parts of WASI, all harmless here:", &rows(|known| known.wasi), "none");
    if !found.unexplained().is_empty() {
        let rows: Vec<_> = found.unexplained().into_iter().map(|name| vec![name.to_owned()]).collect();
        section("asks for, and does not say why:", &rows, "");
    }
    let unknown: Vec<_> = found
        .imports
        .iter()
        .filter(|import| import.interface.is_none())
        .map(|import| vec![import.not_offered()])
        .collect();
    if !unknown.is_empty() {
        section("asks for what this host does not offer, and would be refused:", &unknown, "");
    }
    let limits = remit_gate::Limits::default();
    say!("\nlimits, unless the scope sets others:");
    print::table(
        2,
        &[
            field("fuel", limits.fuel.to_string()),
            field("wall_time", format!("{:#}", limits.wall_time)),
            field("memory", limits.memory.to_string()),
            field("host_calls", limits.host_calls.to_string()),
            field("changes", limits.changes.to_string()),
        ],
    );
    Ok(0)
}

/// What the action says of itself. It is shown as its word, never as a fact.
fn own_words(manifest: &Manifest) {
    say!("\nin its own words, which nothing proves:");
    let row = |name: &str, text: &str| vec![name.to_owned(), text.to_owned()];
    let mut rows = vec![row("summary", &manifest.summary)];
    rows.extend(manifest.homepage.iter().map(|homepage| row("homepage", homepage)));
    rows.extend(manifest.license.iter().map(|license| row("license", license)));
    rows.extend(manifest.capabilities.iter().map(|(name, why)| row(name, why)));
    rows_of(2, &rows);
    let Some(schema) = &manifest.input else { return };
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
    };
    let fields: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, field)| {
            let kind = match &field["type"] {
                Value::Null => "any".to_owned(),
                Value::String(kind) => kind.clone(),
                kinds => kinds.to_string(),
            };
            let need = if required(name) { "required" } else { "optional" };
            let what = field["description"].as_str().unwrap_or_default();
            vec![name.clone(), kind, need.to_owned(), what.to_owned()]
        })
        .collect();
    section(
        "takes, and the host holds its input to it:",
        &fields,
        "any JSON that its schema admits (--json)",
    );
}

/// The most rows of one section. Nobody reads more, and the JSON has them all.
const MOST_ROWS: usize = 100;

fn section(title: &str, rows: &[Vec<String>], none: &str) {
    say!("\n{title}");
    if rows.is_empty() {
        say!("  {none}");
    }
    rows_of(2, rows);
}

fn rows_of(indent: usize, rows: &[Vec<String>]) {
    let most = rows.len().min(MOST_ROWS);
    print::table(indent, &rows[..most]);
    if rows.len() > most {
        say!("{:indent$}… and {} more: --json has them all", "", rows.len() - most);
    }
}

/// Whether it runs here, whoever signed it.
fn verdict(obstacles: &[String]) -> String {
    if obstacles.is_empty() {
        return "runs here".to_owned();
    }
    format!("cannot run here: {}", obstacles.join("; "))
}

fn names(imports: &[Import]) -> Vec<&str> {
    imports.iter().map(|import| import.name.as_str()).collect()
}

/// The places in `value`, as JSON Pointers, that have characters which a reader does not see.
fn hidden_text(value: &Value) -> Vec<String> {
    let mut places = Vec::new();
    let mut open = vec![(String::new(), value)];
    while let Some((place, value)) = open.pop() {
        match value {
            Value::String(text) if remit_text::has_hidden(text) => places.push(place),
            Value::Array(items) => {
                open.extend(items.iter().enumerate().map(|(at, item)| (format!("{place}/{at}"), item)));
            }
            Value::Object(items) => {
                for (key, item) in items {
                    let below = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
                    if remit_text::has_hidden(key) {
                        places.push(below.clone());
                    }
                    open.push((below, item));
                }
            }
            _ => {}
        }
    }
    places.sort();
    places.dedup();
    places
}

/// Who signed it, as far as this home can tell: a state, and the key if it is trusted.
fn publisher(candidate: &Candidate, home: &Home) -> (&'static str, Option<String>) {
    let files = home.load().map(|config: Config| config.trust.publishers).unwrap_or_default();
    let keys =
        files.iter().filter_map(|file| VerifyingKey::load_trusted(&home.path().join(file)).ok()).collect();
    match candidate.publisher(&Publishers(keys)) {
        Ok(key) => ("trusted", Some(key.to_string())),
        Err(ComponentError::Publisher { source: SignatureError::Missing, .. }) => ("unsigned", None),
        Err(ComponentError::Publisher { source: SignatureError::Malformed(_), .. }) => ("malformed", None),
        Err(ComponentError::File(error)) => {
            print::warn(&format!("note: {}", print::word(&error.to_string())));
            ("unreadable", None)
        }
        Err(_) if home.load().is_err() => ("unknown", None),
        Err(_) => ("untrusted", None),
    }
}

fn publisher_words(state: &str, key: Option<&str>) -> String {
    match (state, key) {
        (_, Some(key)) => format!("trusted (key {})", key.get(..12).unwrap_or(key)),
        ("unreadable", _) => "untrusted: what lies beside it as .sig cannot be read".to_owned(),
        ("malformed", _) => "untrusted: a signature in another form, or damaged".to_owned(),
        ("unknown", _) => "signed; without a home nobody is trusted".to_owned(),
        ("untrusted", _) => "untrusted: signed by no key trusted here, or altered since".to_owned(),
        (other, _) => other.to_owned(),
    }
}

fn diff(old: &Path, new: &Path, json: bool) -> Done {
    let imports = |file: &Path| -> Result<BTreeMap<String, Import>, AdmissionError> {
        let found = Inspection::of(&Candidate::read(file)?)?;
        Ok(found.imports.into_iter().map(|import| (import.name.clone(), import)).collect())
    };
    let (old, new) = (imports(old)?, imports(new)?);
    let apart = |one: &BTreeMap<String, Import>, other: &BTreeMap<String, Import>| -> Vec<String> {
        one.keys().filter(|name| !other.contains_key(*name)).cloned().collect()
    };
    let (added, removed) = (apart(&new, &old), apart(&old, &new));
    if json {
        print::json(&json!({"added": added, "removed": removed}))?;
        return Ok(0);
    }
    let describe = |sign: &str, import: &Import| {
        let (effect, risk) = match import.interface {
            Some(known) => (known.effect().to_string(), known.risk),
            None => ("?".to_owned(), "this host does not offer it"),
        };
        vec![sign.to_owned(), import.not_offered(), effect, risk.to_owned()]
    };
    let rows: Vec<_> = added
        .iter()
        .map(|name| describe("+", &new[name]))
        .chain(removed.iter().map(|name| describe("-", &old[name])))
        .collect();
    if rows.is_empty() {
        say!("the same power");
    }
    rows_of(0, &rows);
    Ok(0)
}
