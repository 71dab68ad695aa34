//! An admitted connector: a component, an origin, and a description that binds both.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use remit_capability::connected::{Boxed, Call, Connector, Facts, Found, Played};
use remit_engine::{Engine, Publishers, Signatures};
use remit_gate::{Authority, Effect, Failure, Prepared, State};
use remit_journal::{ActionRef, ConnectedInterface, ConnectorRef};
use remit_text::json;
use remit_trust::{SecretBytes, canonical};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

use super::AdmissionError;
use super::bindings::ConnectorPre;
use super::bindings::exports::remit::connector::operations as wit;
use super::inspection::{Candidate, Inspection};
use super::phase::{Ended, Guest, Running, returned, unusable};
use crate::{Cas, Description, Entry, Origin, Phase, Placeholders};

/// The longest `undo` and the longest `secret` of a preparation, in bytes.
const LONGEST: usize = 64 * 1024;
/// The longest text that a person reads, in columns.
const LONGEST_WORDS: usize = 200;

/// A connector that serves interfaces of this home.
pub struct Connected {
    reference: ConnectorRef,
    interfaces: BTreeMap<String, Signatures>,
    pub(super) description: Arc<Description>,
    pub(super) origin: Arc<Origin>,
    pub(super) engine: Arc<Engine>,
    candidate: Arc<Candidate>,
    ready: Arc<OnceCell<ConnectorPre<Guest>>>,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connected({} {})", self.reference.instance, self.reference.component.digest)
    }
}

impl Connected {
    /// Admits a component for an entry of the configuration: signed by a publisher → a connector with the contract, which imports
    /// nothing else → whose description and WIT agree with each other and with this host. Nothing is compiled yet.
    pub fn admit(
        engine: &Arc<Engine>,
        candidate: Candidate,
        publishers: &Publishers,
        entry: &Entry,
        origin: Arc<Origin>,
    ) -> Result<Self, AdmissionError> {
        let publisher = candidate.publisher(publishers)?;
        let admitted = Self::of(engine, candidate, publisher.to_string(), entry, origin)?;
        if let Ok(found) = admitted.candidate.inspection() {
            admitted.candidate.learn(found, Some(&publisher));
            engine.remember(&admitted.candidate);
        }
        Ok(admitted)
    }

    /// Admits the component of a recorded run, to take back what was changed through it. Who signed it was checked then: the
    /// right to undo outlives the trust in a publisher.
    pub fn readmit(
        engine: &Arc<Engine>,
        candidate: Candidate,
        of: &ConnectorRef,
        entry: &Entry,
        origin: Arc<Origin>,
    ) -> Result<Self, AdmissionError> {
        Self::of(engine, candidate, of.publisher.clone(), entry, origin)
    }

    pub(super) fn of(
        engine: &Arc<Engine>,
        candidate: Candidate,
        publisher: String,
        entry: &Entry,
        origin: Arc<Origin>,
    ) -> Result<Self, AdmissionError> {
        let refuse = |why: String| AdmissionError::NotAConnector {
            instance: entry.name.clone(),
            file: candidate.shown().to_owned(),
            why,
        };
        let found = candidate.inspection()?;
        if let Some(why) = found.obstacles.first() {
            return Err(refuse(why.clone()));
        }
        let description =
            Description::parse(&found.description).map_err(|mistake| refuse(mistake.to_string()))?;
        let Inspection { name, version, interfaces, .. } = found.clone();
        let reference = ConnectorRef {
            instance: entry.name.clone(),
            component: ActionRef { digest: candidate.digest(), name, version },
            publisher,
            origin: origin.address().to_owned(),
            config: origin.config_digest().map_err(|error| refuse(error.to_string()))?,
            interfaces: interfaces.iter().map(|(name, of)| told(name, of, &description)).collect(),
        };
        Ok(Self {
            reference,
            interfaces,
            description: Arc::new(description),
            origin,
            engine: Arc::clone(engine),
            candidate: Arc::new(candidate),
            ready: Arc::default(),
        })
    }

    /// The same component for another entry: what was compiled serves both.
    pub(super) fn at(&self, entry: &Entry, origin: Arc<Origin>) -> Result<Self, Failure> {
        let reference = ConnectorRef {
            instance: entry.name.clone(),
            origin: origin.address().to_owned(),
            config: origin.config_digest()?,
            ..self.reference.clone()
        };
        Ok(Self {
            reference,
            interfaces: self.interfaces.clone(),
            description: Arc::clone(&self.description),
            origin,
            engine: Arc::clone(&self.engine),
            candidate: Arc::clone(&self.candidate),
            ready: Arc::clone(&self.ready),
        })
    }

    /// The component.
    #[must_use]
    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    /// The origin, as it was opened.
    #[must_use]
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Sends the read that its description names for it, as the entry's credential; the status of the answer. None if there is no
    /// such read, or the entry has no credential that could be wrong. Blocks: call it on a thread that may.
    #[must_use]
    pub fn check(&self) -> Option<Result<u16, Failure>> {
        self.origin.entry.credential.as_ref()?;
        Some(self.origin.check(self.description.check()?))
    }

    /// Compiles it, if that was not done yet.
    pub async fn compile(&self) -> Result<(), Failure> {
        self.ready().await.map(drop)
    }

    pub(super) async fn ready(&self) -> Result<&ConnectorPre<Guest>, Failure> {
        let ready = self.ready.get_or_try_init(|| async {
            let (engine, candidate) = (Arc::clone(&self.engine), Arc::clone(&self.candidate));
            let made = tokio::task::spawn_blocking(move || super::phase::link(&engine, &candidate));
            made.await.unwrap_or_else(|_| Err("it could not be compiled".to_owned()))
        });
        ready.await.map_err(|why| unusable(self, &why))
    }

    /// Makes the change. Whoever asks for it answers for it: in a home, that is the gate.
    pub(super) async fn make(&self, call: &Call, before: &Prepared<Found>) -> Result<Value, Failure> {
        let before = Before::of(before)?;
        let running = Running::new(Phase::Perform, call, Some(&before), None);
        let told = Running::told(self, call, Vec::new());
        let Ended { value, exchange } = running
            .run(self, async |guest, store| guest.call_perform(store, &told, &before.wit).await)
            .await?;
        returned(self, call, &exchange, &value)
    }

    /// Takes the change back.
    pub(super) async fn take_back(
        &self,
        call: &Call,
        before: &Prepared<Found>,
        got: Option<&RawValue>,
    ) -> Result<(), Failure> {
        let before = Before::of(before)?;
        let running = Running::new(Phase::Undo, call, Some(&before), got);
        let told = Running::told(self, call, Vec::new());
        let got = got.map(RawValue::get);
        let undone =
            running.run(self, async |guest, store| guest.call_undo(store, &told, &before.wit, got).await);
        undone.await.map(|_| ())
    }

    /// Runs a preparation's result through every check.
    fn prepared(&self, call: &Call, ended: Ended<wit::Prepared>) -> Result<Prepared<Found>, Failure> {
        let Ended { value, exchange } = ended;
        let refuse = |what: &str| Err(unusable(self, &format!("its `{what}` cannot be used")));
        let shown = [&value.undo, &value.describe, &value.would_return];
        let shown = shown.into_iter().chain(&value.irrevocable);
        if value.undo.len() > LONGEST || shown.into_iter().any(|text| exchange.has_secret(text)) {
            return Err(unusable(self, "what it prepared has a secret in it, or is too long"));
        }
        let Ok(undo @ Value::Object(_)) = json::parse(&value.undo) else { return refuse("undo") };
        let would_return = returned(self, call, &exchange, &value.would_return)?;
        let secret = match value.secret {
            None => None,
            Some(secret) if secret.len() > LONGEST => return refuse("secret"),
            Some(secret) => Some(keep(&secret, &exchange.placeholders())),
        };
        let words = |text: &str| remit_text::short_line(text, LONGEST_WORDS).into_owned();
        let found = Found { undo, describe: words(&value.describe), would_return };
        Ok(Prepared { undo: found, secret, irrevocable: value.irrevocable.as_deref().map(words) })
    }
}

/// One interface, as requests and records name it.
fn told(name: &str, functions: &Signatures, description: &Description) -> ConnectedInterface {
    let plain = name.split('@').next().unwrap_or(name);
    let all = || {
        functions
            .0
            .keys()
            .filter_map(|function| Some((function, description.function(&format!("{plain}.{function}"))?)))
    };
    let mut effects: Vec<Effect> = all().map(|(_, of)| of.effect()).collect();
    effects.sort_by_key(ToString::to_string);
    effects.dedup();
    let sealed = all().filter(|(_, of)| !of.sealed().is_empty());
    ConnectedInterface {
        name: name.to_owned(),
        kind: all().next().map(|(_, of)| of.kind().to_owned()).unwrap_or_default(),
        effects,
        sealed: sealed.map(|(name, of)| (name.clone(), of.sealed().to_vec())).collect(),
    }
}

/// What a change's later phases get from its preparation.
pub(super) struct Before {
    pub(super) wit: wit::Prepared,
    pub(super) undo: Value,
    pub(super) placeholders: Arc<Placeholders>,
}

impl Before {
    /// The same whether the process that prepared it lives or not.
    fn of(before: &Prepared<Found>) -> Result<Self, Failure> {
        let broken = || Failure::Unavailable("what was prepared cannot be read back".to_owned());
        let (secret, placeholders) = match &before.secret {
            None => (None, Arc::default()),
            Some(kept) => {
                let (secret, placeholders) = restore(kept.expose()).ok_or_else(broken)?;
                (Some(secret), placeholders)
            }
        };
        let undo = canonical(&before.undo.undo).ok().and_then(|text| String::from_utf8(text).ok());
        let wit = wit::Prepared {
            undo: undo.ok_or_else(broken)?,
            secret,
            irrevocable: before.irrevocable.clone(),
            describe: String::new(),
            would_return: "null".to_owned(),
        };
        Ok(Self { wit, undo: before.undo.undo.clone(), placeholders })
    }
}

/// The connector's secret, with the secrets of the placeholders in it: to be sealed as one.
fn keep(secret: &str, placeholders: &Placeholders) -> SecretBytes {
    let kept = placeholders.keep(secret);
    let kept = kept.as_ref().map(SecretBytes::expose).unwrap_or_default();
    let mut bytes = Vec::with_capacity(4 + secret.len() + kept.len());
    // No longer than `LONGEST`.
    bytes.extend(u32::try_from(secret.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(secret.as_bytes());
    bytes.extend(kept);
    SecretBytes::new(bytes)
}

fn restore(bytes: &[u8]) -> Option<(String, Arc<Placeholders>)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (secret, kept) = rest.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
    let placeholders = if kept.is_empty() { Arc::default() } else { Arc::new(Placeholders::restore(kept)?) };
    Some((std::str::from_utf8(secret).ok()?.to_owned(), placeholders))
}

impl Connector for Connected {
    fn reference(&self) -> &ConnectorRef {
        &self.reference
    }

    fn interfaces(&self) -> &BTreeMap<String, Signatures> {
        &self.interfaces
    }

    fn function(&self, operation: &str) -> Option<Facts<'_>> {
        let of = self.description.function(operation)?;
        let irrevocable = (of.effect() == Effect::Irrevocable).then_some("it has no undo");
        Some(Facts {
            effect: of.effect(),
            kind: of.kind(),
            irrevocable_because: of.irrevocable_because().or(irrevocable),
            sealed: of.sealed(),
            countermeasure: of.countermeasure(),
            compares: of.cas() != Cas::None,
        })
    }

    fn observe<'a>(&'a self, call: &'a Call, played: Vec<Played>) -> Boxed<'a, Value> {
        Box::pin(async move {
            let running = Running::new(Phase::Observe, call, None, None);
            let told = Running::told(self, call, played);
            let Ended { value, exchange } =
                running.run(self, async |guest, store| guest.call_observe(store, &told).await).await?;
            returned(self, call, &exchange, &value)
        })
    }

    fn prepare<'a>(&'a self, call: &'a Call, played: Vec<Played>) -> Boxed<'a, Prepared<Found>> {
        Box::pin(async move {
            let running = Running::new(Phase::Prepare, call, None, None);
            let told = Running::told(self, call, played);
            let ended =
                running.run(self, async |guest, store| guest.call_prepare(store, &told).await).await?;
            self.prepared(call, ended)
        })
    }

    fn perform<'a>(
        &'a self,
        call: &'a Call,
        before: &'a Prepared<Found>,
        _: Authority<'a>,
    ) -> Boxed<'a, Value> {
        Box::pin(self.make(call, before))
    }

    fn state<'a>(
        &'a self,
        call: &'a Call,
        before: &'a Prepared<Found>,
        got: Option<&'a RawValue>,
    ) -> Boxed<'a, State> {
        Box::pin(async move {
            let before = Before::of(before)?;
            let running = Running::new(Phase::State, call, Some(&before), got);
            let told = Running::told(self, call, Vec::new());
            let got = got.map(RawValue::get);
            let Ended { value, exchange } = running
                .run(self, async |guest, store| guest.call_state(store, &told, &before.wit, got).await)
                .await?;
            Ok(match value {
                wit::Live::Before => State::Before,
                wit::Live::After => State::After,
                wit::Live::Other(how) => {
                    let how = exchange.masked(&how);
                    State::Other(remit_text::short_line(&how, LONGEST_WORDS).into_owned())
                }
            })
        })
    }

    fn undo<'a>(
        &'a self,
        call: &'a Call,
        before: &'a Prepared<Found>,
        got: Option<&'a RawValue>,
        _: Authority<'a>,
    ) -> Boxed<'a, ()> {
        Box::pin(self.take_back(call, before, got))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_as_it_was_kept() {
        let kept = keep("a secret", &Placeholders::default());
        let (secret, _) = restore(kept.expose()).unwrap_or_default();
        assert_eq!(secret, "a secret");
        assert!(restore(&kept.expose()[..7]).is_none() && restore(b"").is_none());
    }
}
