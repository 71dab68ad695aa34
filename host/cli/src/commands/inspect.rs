//! `remit inspect`.

use std::path::{Path, PathBuf};

use clap::Args;
use remit_gate::Limits;
use remit_lifecycle::{
    ConnectorView, DiffView, Error, Home, InspectView, PublisherState, PublisherView, connector_diff,
};
use remit_manifest::Manifest;
use remit_sandbox::{BUILT_IN, Candidate, Import, Inspection, Interface, NotOffered};
use remit_trust::Digest;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::common::Done;
use crate::place::Place;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit inspect rotate-secret.wasm\n  remit inspect sha256:1f0c… --context prod          as the server has it\n  remit inspect --diff old.wasm new.wasm     what power does the new one add?"
)]
pub(crate) struct Inspect {
    /// The component, or the digest of one that is kept. It need not be signed, nor an action. Nothing of it runs.
    #[arg(required_unless_present = "diff", value_name = "FILE|DIGEST")]
    file: Option<PathBuf>,
    /// Compare the imports of two components.
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "file")]
    diff: Option<Vec<PathBuf>>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self, place: &Place) -> Done {
        match (self.file, self.diff) {
            (_, Some(files)) => diff(&files[0], &files[1], place, self.json),
            (Some(file), None) => inspect(&file, place, self.json),
            (None, None) => Ok(2),
        }
    }
}

/// What is printed of a [`ConnectorView`], whether it was made here or at a server.
#[derive(Deserialize)]
struct ShownConnector {
    name: String,
    version: String,
    digest: String,
    size: u64,
    publisher: PublisherView,
    obstacles: Vec<String>,
    interfaces: Vec<String>,
    check: Option<String>,
    functions: Vec<ShownFunction>,
}

/// What is printed of a function of a connector.
#[derive(Deserialize)]
struct ShownFunction {
    name: String,
    effect: String,
    resource: String,
    irrevocable_because: Option<String>,
    requests: Vec<(String, String)>,
    secrets: Vec<String>,
    sealed: Vec<String>,
}

/// Whether a view is that of a connector, which has functions.
fn is_of_connector(view: &Value) -> bool {
    view.get("functions").is_some()
}

/// Shows a connector: every request that it can ever send.
fn connector(view: ShownConnector) {
    let field = |name: &str, value: String| vec![name.to_owned(), value];
    let verdict = match &view.obstacles[..] {
        [] => "can serve here".to_owned(),
        obstacles => format!("cannot serve here: {}", obstacles.join("; ")),
    };
    print::table(
        0,
        &[
            field("name", format!("{} {}", view.name, view.version)),
            field("digest", view.digest),
            field("size", format!("{} bytes", view.size)),
            field("publisher", publisher_words(&view.publisher)),
            field("connector", view.interfaces.join(", ")),
            field("verdict", verdict),
        ],
    );
    say!("\nall that it can ever send, to the one origin of its [[connector]]:");
    for of in view.functions {
        say!("\n  {} ({}) on {}", of.name, of.effect, print::word(&of.resource));
        if let Some(why) = &of.irrevocable_because {
            say!("    cannot be taken back: {}", print::word(why));
        }
        let mut rows: Vec<_> = of.requests.into_iter().map(|(what, request)| field(&what, request)).collect();
        if !of.secrets.is_empty() {
            rows.push(field("does not see", of.secrets.join(", ")));
        }
        if !of.sealed.is_empty() {
            rows.push(field("gets sealed", of.sealed.join(", ")));
        }
        rows_of(4, &rows);
    }
    if let Some(check) = view.check {
        say!("\n  remit doctor, where the entry has a credential");
        rows_of(4, &[field("reads", check)]);
    }
}

/// The digest that is written in place of a file.
fn named(file: &Path) -> Option<Digest> {
    file.to_str()?.parse().ok()
}

/// Where a component lies: a file, or one that is kept at the home.
fn at(file: &Path, home: &Home) -> PathBuf {
    named(file).map_or_else(|| file.to_owned(), |digest| home.component_file(digest))
}

/// A component: a file, or one that is kept at the home.
fn candidate(file: &Path, home: &Home) -> Done<Candidate> {
    Ok(match named(file) {
        Some(digest) => home.kept_component(digest)?,
        None => Candidate::read(file)?,
    })
}

/// The digest of a component that a server is asked for.
fn digest(file: &Path) -> Done<Digest> {
    Ok(match named(file) {
        Some(digest) => digest,
        None => Candidate::read(file)?.digest(),
    })
}

/// What is printed of an [`InspectView`], whether it was made here or at a server.
#[derive(Deserialize)]
struct Shown {
    name: String,
    version: String,
    digest: String,
    size: u64,
    publisher: PublisherView,
    not_an_action: Option<String>,
    verdict: String,
    hidden_text: Vec<String>,
    manifest: Option<Manifest>,
    imports: Vec<ShownImport>,
    unexplained: Vec<String>,
    default_limits: Limits,
}

/// What is printed of an import.
#[derive(Deserialize)]
struct ShownImport {
    #[serde(flatten)]
    import: Import,
    offered: bool,
    /// Of one that is offered: whether it is a part of WASI, whether a scope has to grant it, its effect, and what it can do.
    #[serde(flatten)]
    offer: Option<Offer>,
}

#[derive(Deserialize)]
struct Offer {
    wasi: bool,
    granted_by_scope: bool,
    effect: String,
    risk: String,
}

fn inspect(file: &Path, place: &Place, json: bool) -> Done {
    let text = match place.server()? {
        Some(server) => server.get::<Box<RawValue>>(&format!("/api/v1/actions/{}", digest(file)?))?,
        None => {
            let home = place.home()?;
            let candidate = candidate(file, home)?;
            let found = Inspection::of(&candidate)?;
            let publisher = PublisherView::of(home, &candidate);
            if let Some(why) = &publisher.unreadable {
                print::warn(&format!("note: {}", print::word(why)));
            }
            if found.is_connector() {
                let candidate = remit_connector::component::Candidate::read(&at(file, home))?;
                let view = ConnectorView::of(candidate.inspection()?, candidate.digest(), publisher)?;
                to_raw_value(&view).map_err(Error::from)?
            } else {
                let registry = home.registry();
                let view = InspectView::of(home, &candidate, &found, &registry)?;
                if json {
                    print::json(&view)?;
                    return Ok(0);
                }
                to_raw_value(&view).map_err(Error::from)?
            }
        }
    };
    let value: Value = serde_json::from_str(text.get()).map_err(Error::from)?;
    if json {
        print::json(&value)?;
        return Ok(0);
    }
    if is_of_connector(&value) {
        connector(serde_json::from_value(value).map_err(Error::from)?);
        return Ok(0);
    }
    let view: Shown = serde_json::from_value(value).map_err(Error::from)?;
    let field = |name: &str, value: String| vec![name.to_owned(), value];
    print::table(
        0,
        &[
            field("name", format!("{} {}", view.name, view.version)),
            field("digest", view.digest),
            field("size", format!("{} bytes", view.size)),
            field("publisher", publisher_words(&view.publisher)),
            field("action", view.not_an_action.map_or_else(|| "yes".to_owned(), |why| format!("no: {why}"))),
            field("verdict", view.verdict),
        ],
    );
    if !view.hidden_text.is_empty() {
        say!("\nhas characters that a reader does not see, written out here like \\u{{202e}}, in:");
        let rows: Vec<_> = view.hidden_text.into_iter().map(|place| vec![place]).collect();
        rows_of(2, &rows);
    }
    if let Some(manifest) = view.manifest {
        print_manifest(&manifest);
    }
    let rows = |wanted: fn(&Offer) -> bool| -> Vec<Vec<String>> {
        let offered = view.imports.iter().filter_map(|of| Some((&of.import.name, of.offer.as_ref()?)));
        let wanted = offered.filter(|(_, offer)| wanted(offer));
        wanted
            .map(|(name, offer)| {
                let effect = if offer.granted_by_scope { offer.effect.clone() } else { "-".to_owned() };
                vec![name.clone(), effect, offer.risk.clone()]
            })
            .collect()
    };
    section("can do, if granted:", &rows(|offer| offer.granted_by_scope), "nothing");
    let offered = view.imports.iter().filter_map(|import| BUILT_IN.find(&import.import.name));
    let powers: Vec<_> = offered.flat_map(|known| BUILT_IN.powers(&known.name)).collect();
    let row =
        |power: &&Interface| vec![power.name.to_string(), power.effect().to_string(), power.risk.to_string()];
    if !powers.is_empty() {
        let rows: Vec<_> = powers.iter().map(row).collect();
        section("can do through WASI, if granted, and runs without:", &rows, "");
    }
    section("needs no grant:", &rows(|offer| !offer.granted_by_scope && !offer.wasi), "nothing");
    section("parts of WASI, all harmless here:", &rows(|offer| offer.wasi), "none");
    if !view.unexplained.is_empty() {
        let rows: Vec<_> = view.unexplained.iter().map(|name| vec![name.clone()]).collect();
        section("imports without an explanation:", &rows, "");
    }
    let unknown = view.imports.iter().filter(|import| !import.offered);
    let unknown = unknown.filter_map(|import| NotOffered::of(&import.import, &BUILT_IN));
    let unknown: Vec<_> = unknown.map(|import| vec![import.to_string()]).collect();
    if !unknown.is_empty() {
        section("imports that this host does not offer, so it would be refused:", &unknown, "");
    }
    let limits = view.default_limits;
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

/// Prints the manifest: claims of the action, not facts.
fn print_manifest(manifest: &Manifest) {
    say!("\nin its own words, which are not verified:");
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
                _ if field["x-remit-secret"] == true => "secret, given sealed".to_owned(),
                Value::Null => "any".to_owned(),
                Value::String(kind) => kind.clone(),
                kinds => kinds.to_string(),
            };
            let need = if required(name) { "required" } else { "optional" };
            let what = field["description"].as_str().unwrap_or_default();
            vec![name.clone(), kind, need.to_owned(), what.to_owned()]
        })
        .collect();
    section("takes as input, which the host checks:", &fields, "any JSON that its schema admits (--json)");
}

/// The maximum number of rows of one section. The JSON has them all.
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

fn publisher_words(publisher: &PublisherView) -> String {
    let key = publisher.key.as_deref().unwrap_or_default();
    match publisher.state {
        PublisherState::Trusted => format!("trusted (key {})", key.get(..12).unwrap_or(key)),
        PublisherState::Untrusted => "untrusted: signed by no key trusted here, or altered since".to_owned(),
        PublisherState::Unsigned => "unsigned".to_owned(),
        PublisherState::Malformed => "untrusted: a signature in another form, or damaged".to_owned(),
        PublisherState::Unreadable => "untrusted: the file of its signature cannot be read".to_owned(),
        PublisherState::Unknown => "signed; without a home nobody is trusted".to_owned(),
    }
}

/// What only one of two connectors can do, or send.
fn diff_of_connectors(rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        say!("the same power");
    }
    rows_of(0, &rows);
}

/// What is printed of a [`DiffView`].
#[derive(Deserialize)]
struct ShownDiff {
    #[serde(deserialize_with = "imports")]
    added: Vec<Import>,
    #[serde(deserialize_with = "imports")]
    removed: Vec<Import>,
}

/// Imports by their names.
fn imports<'de, D: Deserializer<'de>>(names: D) -> Result<Vec<Import>, D::Error> {
    Ok(Vec::<String>::deserialize(names)?.into_iter().map(|name| Import { name, functions: None }).collect())
}

fn diff(old: &Path, new: &Path, place: &Place, json: bool) -> Done {
    let text = match place.server()? {
        Some(server) => {
            let path = format!("/api/v1/actions/{}/diff/{}", digest(old)?, digest(new)?);
            server.get::<Box<RawValue>>(&path)?
        }
        None => {
            let home = place.home()?;
            let found = |file: &Path| -> Done<Inspection> { Ok(Inspection::of(&candidate(file, home)?)?) };
            let (before, after) = (found(old)?, found(new)?);
            if before.is_connector() && after.is_connector() {
                let found =
                    [old, new].map(|file| remit_connector::component::Candidate::read(&at(file, home)));
                let [before, after] = found;
                let (before, after) = (before?, after?);
                to_raw_value(&connector_diff(before.inspection()?, after.inspection()?)?)
            } else {
                to_raw_value(&DiffView::of(&before, &after))
            }
            .map_err(Error::from)?
        }
    };
    let value: Value = serde_json::from_str(text.get()).map_err(Error::from)?;
    if json {
        print::json(&value)?;
        return Ok(0);
    }
    if value.is_array() {
        diff_of_connectors(serde_json::from_value(value).map_err(Error::from)?);
        return Ok(0);
    }
    let diff: ShownDiff = serde_json::from_value(value).map_err(Error::from)?;
    let describe = |sign: &str, import: &Import| {
        let (effect, risk) = match BUILT_IN.find(&import.name) {
            Some(known) => (known.effect().to_string(), &*known.risk),
            None => ("?".to_owned(), "this host does not offer it"),
        };
        let name =
            NotOffered::of(import, &BUILT_IN).map_or_else(|| import.name.clone(), |not| not.to_string());
        vec![sign.to_owned(), name, effect, risk.to_owned()]
    };
    let added = diff.added.iter().map(|import| describe("+", import));
    let rows: Vec<_> = added.chain(diff.removed.iter().map(|import| describe("-", import))).collect();
    if rows.is_empty() {
        say!("the same power");
    }
    rows_of(0, &rows);
    Ok(0)
}
