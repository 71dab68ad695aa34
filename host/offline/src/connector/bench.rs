//! Where connectors are tried: each phase in an instance of its own, as in a home.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_capability::connected::{Call, Played, instance};
use remit_connector::component::{Candidate, Trial, Tried};
use remit_connector::{Description, Entry, Origin, Phase, Recorded, Replay};
use remit_engine::{Cache, Engine};
use remit_gate::{Failure, SealedValues, State};
use remit_trust::{Opening, SecretText, ValueHandle, canonical};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::compare::plain;
use super::fixture::{Came, Found, Scene, Simulated, Story};
use crate::{FailureKind, OfflineError};

/// The log that handles of sealed arguments are made for: none that there is.
const LOG: &str = "test.invalid/journal";
/// What a placeholder is called in a fixture.
const MASK: &str = "SECRET";

/// A connector's component, and the means to try it.
#[derive(Debug)]
pub struct ConnectorBench {
    trial: Trial,
    sealed: BTreeMap<String, SecretText>,
    real: Option<Real>,
}

/// The real system, for a recording.
#[derive(Clone, Debug)]
pub struct Real {
    /// Its entry, as in `remit.toml`.
    pub entry: Entry,
    /// The folder that the entry's files are relative to.
    pub folder: PathBuf,
}

/// What came of a fixture.
#[derive(Debug)]
pub struct Told {
    /// Each phase.
    pub scenes: Vec<Seen>,
    /// What the real system's entry told the connector; none if there was no real system.
    pub config: Option<Map<String, Value>>,
}

/// What came of one phase.
#[derive(Debug)]
pub struct Seen {
    /// The phase.
    pub run: Phase,
    /// What came of it.
    pub came: Came,
    /// How the requests were others than those of the fixture.
    pub otherwise: Option<String>,
    /// What was sent and answered, of a real system.
    pub recorded: Option<Vec<Recorded>>,
}

impl ConnectorBench {
    /// Reads a component, which need not be signed. Compiled components are kept in `cache`, if there is one.
    pub async fn new(component: &Path, cache: Option<&Path>) -> Result<Self, OfflineError> {
        let cache = cache.map(|cache| Cache::open(cache, &cache.with_extension("key"))).transpose()?;
        let engine = Arc::new(Engine::new(cache)?);
        let candidate: Candidate = engine.find(component)?;
        let entry = entry("connector", Map::new());
        let origin = Arc::new(Origin::replaying(&entry, Replay::default()));
        let trial = Trial::new(&engine, candidate, &entry, origin)?;
        // So that no time of a test is that of the compiler.
        trial.compile().await.map_err(|failure| failed(component, &failure.to_string()))?;
        Ok(Self { trial, sealed: BTreeMap::new(), real: None })
    }

    /// Lets it send its requests to a real system, with these values of sealed arguments in place of those of the fixtures.
    #[must_use]
    pub fn at(self, real: Real, sealed: BTreeMap<String, SecretText>) -> Self {
        Self { real: Some(real), sealed, ..self }
    }

    /// The connector's description.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.trial.description()
    }

    /// Plays a fixture, phase by phase; `file` is its path.
    pub async fn play(&self, file: &Path, story: &Story) -> Result<Told, OfflineError> {
        let wrong = |why: String| failed(file, &why);
        let (call, handles) = self.call(story).map_err(wrong)?;
        let played = story.simulated.iter().map(|one| self.played(one)).collect::<Result<Vec<_>, _>>();
        let played = played.map_err(wrong)?;
        let instance = instance(&call.resource);
        let (trial, config) = self.opened(file, instance, story)?;
        let usual = self.description().function(&story.function).map(|of| Story::usual(of.effect()));
        let scenes = if story.phases.is_empty() { usual.unwrap_or_default() } else { story.phases.clone() };
        let (mut seen, mut masks) = (Vec::new(), BTreeMap::new());
        let (mut before, mut got) = (None, None);
        for Scene { run, exchanges, .. } in scenes {
            if let Some(replay) = trial.origin().replay() {
                replay.begin(exchanges.into_iter().map(toml::Spanned::into_inner).collect());
            }
            let tried = trial.phase(run, &call, played.clone(), before.as_ref(), got.as_deref()).await;
            let otherwise = trial.origin().replay().and_then(|replay| replay.finished().err());
            let recorded = config.as_ref().map(|_| {
                let mut recorded = trial.origin().recorded();
                let shown = |text: &str| without_placeholders(&without_handles(text, &handles), &mut masks);
                let shown = std::cell::RefCell::new(shown);
                for one in &mut recorded {
                    one.each_text(&|text| (shown.borrow_mut())(text));
                }
                recorded
            });
            let came = came(&tried, &handles);
            match tried {
                Ok(Tried::Prepared(prepared)) => before = Some(prepared),
                Ok(Tried::Returned(value)) if run == Phase::Perform => got = raw(&value),
                _ => {}
            }
            seen.push(Seen { run, came, otherwise, recorded });
        }
        Ok(Told { scenes: seen, config })
    }

    /// The connector with the fixture, or the real system, behind it.
    fn opened(
        &self,
        file: &Path,
        instance: &str,
        story: &Story,
    ) -> Result<(Trial, Option<Map<String, Value>>), OfflineError> {
        let wrong = |why: String| failed(file, &why);
        let (entry, origin, config) = match &self.real {
            None => {
                let entry = entry(instance, story.config.clone());
                let origin = Origin::replaying(&entry, Replay::default());
                (entry, origin, None)
            }
            Some(Real { entry, .. }) if entry.name != instance => {
                return Err(wrong(format!(
                    "its resource is of the connector `{instance}`, and the entry is `{}`: give them one name",
                    entry.name
                )));
            }
            Some(Real { entry, folder }) => {
                let config = entry.config.as_object().cloned().unwrap_or_default();
                (entry.clone(), Origin::open(entry, folder)?.recording(), Some(config))
            }
        };
        let trial = self.trial.at(&entry, Arc::new(origin)).map_err(|failure| wrong(failure.to_string()))?;
        Ok((trial, config))
    }

    /// The call, with a handle for each sealed argument; and what stands in the fixture for each handle.
    fn call(&self, story: &Story) -> Result<(Call, BTreeMap<String, String>), String> {
        let (mut inputs, mut handles) = (SealedValues::new(), BTreeMap::new());
        let mut arguments = story.arguments.clone();
        for (name, made_up) in &story.sealed {
            // Of the made-up value and a key that is always the same: what a connector makes of a handle is so each time, and when it
            // is recorded with a real value too.
            let opening = Opening::from_bytes(&[&[0; 32], made_up.as_bytes()].concat());
            let opening = opening.ok_or_else(|| format!("`{name}` has no value, or one that is too long"))?;
            let handle = opening.handle(LOG, name);
            let value = self.sealed.get(name).cloned().unwrap_or_else(|| opening.into_value());
            if arguments.insert(name.clone(), handle.to_string().into()).is_some() {
                return Err(format!("`{name}` is an argument, and sealed too"));
            }
            handles.insert(handle.to_string(), made_up.clone());
            inputs.insert(ValueHandle::Input(handle), value);
        }
        Ok((self.trial.call(&story.function, &arguments, inputs)?, handles))
    }

    fn played(&self, one: &Simulated) -> Result<Played, String> {
        let call = self.trial.call(&one.function, &one.arguments, SealedValues::new())?;
        let Call { operation, arguments, .. } = call;
        Ok(Played { operation, arguments, undo: Value::Object(one.undo.clone()) })
    }
}

fn failed(file: &Path, why: &str) -> OfflineError {
    OfflineError::Story { file: file.display().to_string(), why: why.to_owned() }
}

/// The entry of a fixture. That reads may be sent by POST is for operators to allow; in a test of the connector they are.
fn entry(name: &str, config: Map<String, Value>) -> Entry {
    Entry {
        name: name.to_owned(),
        component: String::new(),
        origin: "https://fixture.invalid".to_owned(),
        allow_private: Vec::new(),
        ca_file: None,
        post_reads: true,
        timeout: jiff::SignedDuration::from_secs(30),
        config: Value::Object(config),
        credential: None,
    }
}

fn raw(value: &Value) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(canonical(value).ok()?).ok()?).ok()
}

/// What came of a phase, as fixtures write it.
fn came(tried: &Result<Tried, Failure>, handles: &BTreeMap<String, String>) -> Came {
    let words = |text: &str| without_handles(text, handles);
    match tried {
        Ok(Tried::Returned(Value::Null) | Tried::Undone) => Came { done: Some(true), ..Came::default() },
        Ok(Tried::Returned(value)) => Came { returns: Some(plain(value)), ..Came::default() },
        Ok(Tried::Prepared(prepared)) => Came {
            undo: Some(plain(&prepared.undo.undo)),
            describe: Some(prepared.undo.describe.clone()).filter(|words| !words.is_empty()),
            would_return: Some(plain(&prepared.undo.would_return)).filter(|value| !value.is_null()),
            irrevocable: prepared.irrevocable.clone(),
            ..Came::default()
        },
        Ok(Tried::State(state)) => {
            let (found, because) = match state {
                State::Before => (Found::Before, None),
                State::After => (Found::After, None),
                State::Other(how) => (Found::Other, Some(words(how))),
            };
            Came { state: Some(found), because, ..Came::default() }
        }
        Err(failure) => {
            let because = match failure {
                Failure::Denied(why)
                | Failure::NotFound(why)
                | Failure::Conflict(why)
                | Failure::Invalid(why)
                | Failure::Unavailable(why) => Some(words(why)),
            };
            Came { fails: Some(FailureKind::of(failure)), because, ..Came::default() }
        }
    }
}

/// The text with the made-up value in place of each handle.
fn without_handles(text: &str, handles: &BTreeMap<String, String>) -> String {
    handles.iter().fold(text.to_owned(), |text, (handle, made_up)| text.replace(handle, made_up))
}

/// The text with a short name in place of each placeholder, the same one for the same secret.
fn without_placeholders(text: &str, masks: &mut BTreeMap<String, String>) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(remit_connector::PLACEHOLDER) {
        let digits =
            rest[at + remit_connector::PLACEHOLDER.len()..].bytes().take_while(u8::is_ascii_hexdigit);
        let end = at + remit_connector::PLACEHOLDER.len() + digits.count();
        let number = masks.len() + 1;
        let mask = masks.entry(rest[at..end].to_owned()).or_insert_with(|| format!("{MASK}-{number}"));
        shown.push_str(&rest[..at]);
        shown.push_str(mask);
        rest = &rest[end..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_has_one_name_in_a_fixture() {
        let mut masks = BTreeMap::new();
        let [one, two] = ["remit-secret-0a1b", "remit-secret-ffff"];
        assert_eq!(without_placeholders(&format!("x{one}.{two}"), &mut masks), "xSECRET-1.SECRET-2");
        assert_eq!(without_placeholders(&format!("{two}{one} y"), &mut masks), "SECRET-2SECRET-1 y");
    }
}
