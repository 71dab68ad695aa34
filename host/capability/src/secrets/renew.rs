//! Writing a new version of a secret in which one field has another value: what a rotation and putting a sealed input share.

use std::collections::BTreeMap;

use remit_backend::{
    Act, Fields, Generator, Identity, Metadata, Right, SecretView, Secrets, Target, VersionState,
};
use remit_gate::{Change, Failure, Permit, Prepared, Resource, State};
use remit_trust::{SecretBytes, SecretText};
use serde::{Deserialize, Serialize};

/// The public part of what takes a rotation back. The values, old and new, are sealed beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeRotation {
    /// Which secret it was; none in records of the first version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The version that was current.
    pub previous: u64,
    /// The field that gets the new value.
    pub field: String,
}

/// The sealed part: what every field was and what it will be. Decided in `prepare`, so that the intent on
/// disk says what the effect will be, and the run's own version can be told from anyone else's.
struct Values {
    old: Fields,
    new: Fields,
}

impl Values {
    fn seal(&self) -> Result<SecretBytes, Failure> {
        #[derive(Serialize)]
        struct Written<'a> {
            old: BTreeMap<&'a str, &'a str>,
            new: BTreeMap<&'a str, &'a str>,
        }
        let written = Written { old: self.old.iter().collect(), new: self.new.iter().collect() };
        match serde_json::to_vec(&written) {
            Ok(bytes) => Ok(SecretBytes::new(bytes)),
            Err(_) => Err(Failure::Invalid("the secret's fields cannot be recorded".to_owned())),
        }
    }

    fn of(before: &Prepared<BeforeRotation>) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Read {
            old: BTreeMap<String, String>,
            new: BTreeMap<String, String>,
        }
        let sealed = before.secret.as_ref().map(SecretBytes::expose).unwrap_or_default();
        // Serde's words could quote a value.
        let read: Read = serde_json::from_slice(sealed).map_err(|_| {
            Failure::Invalid("the journal does not hold the values of this rotation".to_owned())
        })?;
        Ok(Self { old: read.old.into_iter().collect(), new: read.new.into_iter().collect() })
    }
}

/// The secret that gets a new version.
#[derive(Clone, Copy)]
pub(super) struct Renewal<'a> {
    pub(super) resource: &'a Resource,
}

/// Where a secret stands, seen from a rotation of it.
enum Standing {
    /// Version `at` holds what the rotation wrote.
    Rotated { at: u64 },
    /// Nothing was written since, or what was there before was put back.
    Unrotated,
    /// The present state, in words.
    Other(String),
}

impl Renewal<'_> {
    /// Compares values, not only numbers: a later rotation of the same run that was undone leaves this
    /// one's value behind under a higher number, and undoing this one is then right.
    async fn standing(self, before: &Prepared<BeforeRotation>, on: &Secrets) -> Result<Standing, Failure> {
        let (store, _) = on.at(self.resource)?;
        let found = match store.metadata(self.resource).await {
            Err(Failure::NotFound(why)) => return Ok(Standing::Other(why)),
            found => found?,
        };
        if let Err(other) = found.must_be(before.undo.identity.as_ref(), self.resource.as_str()) {
            return match other {
                Failure::Conflict(why) => Ok(Standing::Other(why)),
                other => Err(other),
            };
        }
        let current = found.current;
        let state =
            found.versions.iter().find(|version| version.number == current).map(|version| version.state);
        match state {
            Some(VersionState::Enabled) if current == before.undo.previous => return Ok(Standing::Unrotated),
            Some(VersionState::Enabled) if current > before.undo.previous => {}
            Some(VersionState::Enabled) => {
                return Ok(Standing::Other(format!("version {current} is current")));
            }
            Some(state) => {
                return Ok(Standing::Other(format!("version {current} is current and {state}")));
            }
            None => return Ok(Standing::Other("it has no current version".to_owned())),
        }
        let values = Values::of(before)?;
        let live = self.value(current, store).await?;
        // Where the new value is the old one, only the number of the version tells the one from the other.
        let is_own = values.new != values.old || current == before.undo.previous + 1;
        Ok(if is_own && live.as_ref() == Some(&values.new) {
            Standing::Rotated { at: current }
        } else if live.as_ref() == Some(&values.old)
            || self.is_over(before.undo.previous, &values, &found, store).await?
        {
            Standing::Unrotated
        } else {
            Standing::Other(format!("version {current} is current, and this run did not write it"))
        })
    }

    /// Whether the history shows that this rotation was already undone although the current value is neither of its
    /// two: if an earlier rotation of the run was undone too, the current value is that rotation's. Without this, an
    /// interrupted revert could not be started again.
    async fn is_over(
        self,
        previous: u64,
        values: &Values,
        found: &Metadata,
        store: &dyn SecretView,
    ) -> Result<bool, Failure> {
        // A rotation writes this version or none.
        let own = previous + 1;
        let mut happened = false;
        let mut same_secret = false;
        for version in &found.versions {
            if version.number < previous || version.state != VersionState::Enabled {
                continue;
            }
            let Some(value) = self.value(version.number, store).await? else { continue };
            if version.number == previous {
                // Not one that was made anew under its name: of a record without identity only values tell.
                same_secret = value == values.old;
            } else if version.number == own {
                if value != values.new {
                    return Ok(same_secret);
                }
                happened = true;
            } else if happened && value == values.old {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The value of a version, to compare; none if it was taken out of use since it was seen.
    async fn value(self, version: u64, store: &dyn SecretView) -> Result<Option<Fields>, Failure> {
        match store.read(self.resource, version).await {
            Err(Failure::NotFound(_)) => Ok(None),
            // Others write what is not text. It equals no value of a rotation, nor do no fields at all.
            Err(Failure::Invalid(_)) => Ok(Some(Fields::default())),
            read => read.map(Some),
        }
    }

    /// Decides what the new version holds. `pick` chooses the field, `make` its value.
    pub(super) async fn prepare(
        self,
        on: &Secrets,
        pick: impl FnOnce(&Fields) -> Result<String, Failure>,
        make: impl FnOnce(&Generator) -> Result<SecretText, Failure>,
    ) -> Result<Prepared<BeforeRotation>, Failure> {
        let (store, generator) = on.at(self.resource)?;
        let found = store.metadata(self.resource).await?;
        let previous = found.current;
        match found.versions.iter().find(|version| version.number == previous).map(|version| version.state) {
            Some(VersionState::Enabled) => {}
            Some(state) => {
                let why = format!("the current version {previous} of {} is {}", self.resource, state);
                return Err(Failure::Conflict(why));
            }
            None if previous == 0 => {
                return Err(Failure::NotFound(format!("{} has no version yet", self.resource)));
            }
            None => {
                let why = format!("the current version {previous} of {} is not there", self.resource);
                return Err(Failure::NotFound(why));
            }
        }
        on.may_read(self.resource, previous)?;
        let old = store.read(self.resource, previous).await?;
        let field = pick(&old)?;
        let mut new = old.clone();
        new.insert(field.clone(), make(generator)?);
        let secret = Values { old, new }.seal()?;
        // To put the old value back needs the same right as to write the new one. It is better to know now than
        // half-way.
        if let Right::Lacking(why) = store.right(self.resource, Act::Put).await? {
            return Err(Failure::Denied(why));
        }
        let undo = BeforeRotation { identity: found.identity, previous, field };
        Ok(Prepared { undo, secret: Some(secret), irrevocable: None })
    }

    /// Plays the new version; returns its number.
    pub(super) fn rehearse(self, before: &Prepared<BeforeRotation>, on: &Secrets) -> u64 {
        if let (Some(played), Ok(values)) = (on.played(self.resource), Values::of(before)) {
            played.put(self.resource, values.new);
        }
        before.undo.previous + 1
    }

    /// Writes the new version; returns its number.
    pub(super) async fn perform<O: Change<Undo = BeforeRotation>>(
        self,
        on: &Secrets,
        by: &Permit<'_, O>,
    ) -> Result<u64, Failure> {
        let values = Values::of(by.before())?;
        let BeforeRotation { identity, previous, .. } = &by.before().undo;
        let target = Target { secret: self.resource, identity: identity.as_ref() };
        on.store(self.resource)?.put(target, &values.new, *previous, by.authority()).await
    }

    pub(super) async fn state(
        self,
        before: &Prepared<BeforeRotation>,
        on: &Secrets,
    ) -> Result<State, Failure> {
        Ok(match self.standing(before, on).await? {
            Standing::Rotated { .. } => State::After,
            Standing::Unrotated => State::Before,
            Standing::Other(live) => State::Other(live),
        })
    }

    /// Puts the previous value back.
    pub(super) async fn undo<O: Change<Undo = BeforeRotation>>(
        self,
        on: &Secrets,
        by: &Permit<'_, O>,
    ) -> Result<(), Failure> {
        match self.standing(by.before(), on).await? {
            Standing::Unrotated => Ok(()),
            Standing::Other(live) => Err(Failure::Conflict(live)),
            Standing::Rotated { at } => {
                let values = Values::of(by.before())?;
                let target = Target { secret: self.resource, identity: by.before().undo.identity.as_ref() };
                on.store(self.resource)?.put(target, &values.old, at, by.authority()).await.map(drop)
            }
        }
    }
}

impl BeforeRotation {
    pub(super) fn describe_undo(&self) -> String {
        format!("put the value of version {} back", self.previous)
    }

    pub(super) fn is_still(&self, found: &Self) -> bool {
        Identity::is_still(self.identity.as_ref(), found.identity.as_ref())
            && (self.previous, &self.field) == (found.previous, &found.field)
    }
}

/// The field of this name, which must be there.
pub(super) fn named(field: &str, of: &Resource, fields: &Fields) -> Result<String, Failure> {
    match fields.get(field) {
        Some(_) => Ok(field.to_owned()),
        None => Err(Failure::NotFound(format!("{of} has no field `{field}`"))),
    }
}
