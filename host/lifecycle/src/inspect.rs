//! What `remit inspect` shows of a component, whoever signed it. Nothing of the component runs.

use remit_engine::{ComponentError, Publishers};
use remit_gate::{Effect, Limits};
use remit_manifest::Manifest;
use remit_sandbox::{AdmissionError, Candidate, Import, Inspection, Registry};
use remit_trust::{Digest, SignatureError, VerifyingKey};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{Error, Home};

/// What a component could do, and who signed it.
#[derive(Debug, Serialize)]
pub struct InspectView<'a> {
    /// The component's name, or `unnamed`.
    pub name: &'a str,
    /// The component's version, or `0.0.0`.
    pub version: &'a str,
    /// The component's digest.
    pub digest: Digest,
    /// The component's size in bytes.
    pub size: usize,
    /// Whether it is an action.
    pub action: bool,
    /// Why it is no action; none if it is one.
    pub not_an_action: Option<&'a str>,
    /// Whether a host of this version can run it.
    pub runs_here: bool,
    /// The same as a sentence, with the obstacles.
    pub verdict: String,
    /// Every reason why it cannot run here.
    pub obstacles: Vec<String>,
    /// The WebAssembly features that it needs and that do not run here.
    pub needs: &'a [String],
    /// Who signed it, as far as this home can tell.
    pub publisher: PublisherView,
    /// Every import, in the component's order.
    pub imports: Vec<ImportView<'a>>,
    /// The name of every export, in the component's order.
    pub exports: &'a [String],
    /// The component's manifest; none if it has none.
    pub manifest: Option<&'a Manifest>,
    /// The capabilities that it imports and that its manifest does not explain.
    pub unexplained: Vec<&'a str>,
    /// The limits of a scope that sets none.
    pub default_limits: Limits,
    /// The places in this JSON, as JSON Pointers, with characters that a reader does not see.
    pub hidden_text: Vec<String>,
}

/// One import of a component.
#[derive(Debug, Serialize)]
pub struct ImportView<'a> {
    /// The name of the interface, with its version.
    pub name: &'a str,
    /// Whether this host offers it.
    pub offered: bool,
    /// What else there is to say.
    #[serde(flatten)]
    pub more: OfferView<'a>,
}

/// What this host says about an import.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum OfferView<'a> {
    /// It offers the interface.
    Offered {
        /// Whether the interface is a part of WASI.
        wasi: bool,
        /// Whether a scope has to grant it.
        granted_by_scope: bool,
        /// The strongest effect of its operations.
        effect: Effect,
        /// What an action can do with it.
        risk: &'a str,
    },
    /// It does not offer the interface.
    NotOffered {
        /// The version that it offers; none if it offers no version.
        offered_version: Option<&'a str>,
    },
}

/// Who signed a component, as far as a home can tell.
#[derive(Debug, Serialize)]
pub struct PublisherView {
    /// Whether the signature is by a trusted publisher.
    pub state: PublisherState,
    /// The id of the publisher's key; none if the publisher is not trusted.
    pub key: Option<String>,
    /// Why the signature could not be read; none if it could.
    #[serde(skip)]
    pub unreadable: Option<String>,
}

/// Whether a signature is by a trusted publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PublisherState {
    /// It is.
    Trusted,
    /// It is by another key, or the component was changed.
    Untrusted,
    /// There is no signature.
    Unsigned,
    /// The signature is damaged, or has another form.
    Malformed,
    /// The file of the signature cannot be read.
    Unreadable,
    /// There is a signature, and no home that says whom to trust.
    Unknown,
}

impl<'a> InspectView<'a> {
    /// The view of a component, for a home with this registry.
    pub fn of(
        home: &Home,
        candidate: &Candidate,
        found: &'a Inspection,
        registry: &'a Registry,
    ) -> Result<Self, Error> {
        let obstacles: Vec<String> =
            found.obstacles("it", registry).iter().map(AdmissionError::in_short).collect();
        let mut view = Self {
            name: &found.name,
            version: &found.version,
            digest: candidate.digest(),
            size: found.size,
            action: found.is_action(),
            not_an_action: found.not_an_action.as_deref(),
            runs_here: obstacles.is_empty(),
            verdict: match obstacles.as_slice() {
                [] => "runs here".to_owned(),
                obstacles => format!("cannot run here: {}", obstacles.join("; ")),
            },
            obstacles,
            needs: &found.needs,
            publisher: PublisherView::of(home, candidate),
            imports: found.imports.iter().map(|import| ImportView::of(import, registry)).collect(),
            exports: &found.exports,
            manifest: found.manifest.as_ref(),
            unexplained: found.unexplained(registry),
            default_limits: Limits::default(),
            hidden_text: Vec::new(),
        };
        view.hidden_text = hidden_text(&serde_json::to_value(&view)?);
        Ok(view)
    }
}

impl<'a> ImportView<'a> {
    fn of(import: &'a Import, registry: &'a Registry) -> Self {
        let more = match registry.find(&import.name) {
            Some(known) => OfferView::Offered {
                wasi: known.wasi,
                granted_by_scope: known.granted_by_scope(),
                effect: known.effect(),
                risk: &known.risk,
            },
            None => OfferView::NotOffered {
                offered_version: import.other_version(registry).map(|ours| &*ours.version),
            },
        };
        Self { name: &import.name, offered: import.is_offered(registry), more }
    }
}

impl PublisherView {
    /// Who signed a component.
    #[must_use]
    pub fn of(home: &Home, candidate: &Candidate) -> Self {
        let config = home.load();
        let files = config.as_ref().map(|config| config.trust.publishers.as_slice()).unwrap_or_default();
        let keys = files.iter().filter_map(|file| VerifyingKey::load_trusted(&home.path().join(file)).ok());
        let untrusted = |state| Self { state, key: None, unreadable: None };
        match candidate.publisher(&Publishers(keys.collect())) {
            Ok(key) => Self { state: PublisherState::Trusted, key: Some(key.to_string()), unreadable: None },
            Err(ComponentError::Publisher { source: SignatureError::Missing, .. }) => {
                untrusted(PublisherState::Unsigned)
            }
            Err(ComponentError::Publisher { source: SignatureError::Malformed(_), .. }) => {
                untrusted(PublisherState::Malformed)
            }
            Err(ComponentError::File(error)) => {
                Self { unreadable: Some(error.to_string()), ..untrusted(PublisherState::Unreadable) }
            }
            Err(_) if config.is_err() => untrusted(PublisherState::Unknown),
            Err(_) => untrusted(PublisherState::Untrusted),
        }
    }
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

/// The imports that only one of two components has, each list in the order of the names.
#[derive(Debug, Serialize)]
pub struct DiffView<'a> {
    /// The imports of the new component.
    #[serde(serialize_with = "names")]
    pub added: Vec<&'a Import>,
    /// The imports of the old component.
    #[serde(serialize_with = "names")]
    pub removed: Vec<&'a Import>,
}

impl<'a> DiffView<'a> {
    /// Compares two components.
    #[must_use]
    pub fn of(old: &'a Inspection, new: &'a Inspection) -> Self {
        Self { added: beyond(new, old), removed: beyond(old, new) }
    }
}

fn beyond<'a>(one: &'a Inspection, other: &Inspection) -> Vec<&'a Import> {
    let has = |name: &str| other.imports.iter().any(|import| import.name == name);
    let mut imports: Vec<&Import> = one.imports.iter().filter(|import| !has(&import.name)).collect();
    imports.sort_by_key(|import| &import.name);
    imports.dedup_by_key(|import| &import.name);
    imports
}

fn names<S: Serializer>(imports: &[&Import], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(imports.iter().map(|import| &import.name))
}
