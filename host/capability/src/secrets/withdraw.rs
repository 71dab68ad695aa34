//! Taking one version out of use: until enabled again, or for good.

use std::borrow::Cow;

use remit_backend::{Secrets, VersionState};
use remit_gate::{Effect, Failure, Operation, Permit, Prepared, Resource, State};
use serde::{Deserialize, Serialize};

/// `remit:secrets/disable.disable`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disable {
    /// The secret.
    pub resource: Resource,
    /// Which version of it.
    pub version: u64,
}

/// `remit:secrets/destroy.destroy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroy {
    /// The secret.
    pub resource: Resource,
    /// Which version of it.
    pub version: u64,
}

/// What a version was before it was withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeWithdrawal {
    /// Its state.
    pub state: VersionState,
}

async fn state_of(resource: &Resource, version: u64, on: &Secrets) -> Result<VersionState, Failure> {
    let (store, _) = on.at(resource)?;
    let found = store.metadata(resource).await?;
    match found.versions.iter().find(|known| known.number == version) {
        Some(known) => Ok(known.state),
        None => Err(Failure::NotFound(format!("{resource} has no version {version}"))),
    }
}

/// The same, to compare: a version that someone removed is one more way to differ.
async fn compare(
    resource: &Resource,
    version: u64,
    on: &Secrets,
    state: impl Fn(VersionState) -> State,
) -> Result<State, Failure> {
    // Without a store there is nothing to compare with.
    on.at(resource)?;
    match state_of(resource, version, on).await {
        Err(Failure::NotFound(why)) => Ok(State::Other(why)),
        found => found.map(state),
    }
}

impl Operation for Disable {
    const NAME: &'static str = "remit:secrets/disable.disable";
    const EFFECT: Effect = Effect::Change;
    type Backend = Secrets;
    type Outcome = ();
    type Undo = BeforeWithdrawal;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }

    async fn prepare(&self, on: &Secrets) -> Result<Prepared<BeforeWithdrawal>, Failure> {
        match state_of(&self.resource, self.version, on).await? {
            state @ VersionState::Enabled => {
                Ok(Prepared { undo: BeforeWithdrawal { state }, secret: None, irrevocable: None })
            }
            state => Err(Failure::Conflict(format!(
                "version {} of {} is {} already",
                self.version, self.resource, state
            ))),
        }
    }

    fn simulate(&self, _: &BeforeWithdrawal) {}

    async fn perform(on: &Secrets, by: Permit<'_, Self>) -> Result<(), Failure> {
        let Self { resource, version } = by.operation();
        let (store, _) = on.at(resource)?;
        store.disable(resource, *version, by.authority()).await
    }

    async fn state(&self, _: &Prepared<BeforeWithdrawal>, on: &Secrets) -> Result<State, Failure> {
        compare(&self.resource, self.version, on, |state| match state {
            VersionState::Enabled => State::Before,
            VersionState::Disabled => State::After,
            VersionState::Destroyed => State::Other(format!("version {} is destroyed", self.version)),
        })
        .await
    }

    async fn undo(on: &Secrets, by: Permit<'_, Self>) -> Result<(), Failure> {
        let Self { resource, version } = by.operation();
        let (store, _) = on.at(resource)?;
        store.enable(resource, *version, by.authority()).await
    }

    fn describe_undo(&self, _: &BeforeWithdrawal) -> String {
        format!("enable version {} again", self.version)
    }
}

impl Operation for Destroy {
    const NAME: &'static str = "remit:secrets/destroy.destroy";
    const EFFECT: Effect = Effect::Irrevocable;
    type Backend = Secrets;
    type Outcome = ();
    type Undo = BeforeWithdrawal;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }

    async fn prepare(&self, on: &Secrets) -> Result<Prepared<BeforeWithdrawal>, Failure> {
        match state_of(&self.resource, self.version, on).await? {
            VersionState::Destroyed => Err(Failure::Conflict(format!(
                "version {} of {} is destroyed already",
                self.version, self.resource
            ))),
            state => Ok(Prepared {
                undo: BeforeWithdrawal { state },
                secret: None,
                irrevocable: Some("a destroyed version is gone for good".to_owned()),
            }),
        }
    }

    fn simulate(&self, _: &BeforeWithdrawal) {}

    async fn perform(on: &Secrets, by: Permit<'_, Self>) -> Result<(), Failure> {
        let Self { resource, version } = by.operation();
        let (store, _) = on.at(resource)?;
        store.destroy(resource, *version, by.authority()).await
    }

    async fn state(&self, _: &Prepared<BeforeWithdrawal>, on: &Secrets) -> Result<State, Failure> {
        compare(&self.resource, self.version, on, |state| match state {
            VersionState::Destroyed => State::After,
            // Nothing comes back from there, so it was not destroyed; whether it is enabled is another
            // change's matter, such as one of the same run that was undone since.
            VersionState::Enabled | VersionState::Disabled => State::Before,
        })
        .await
    }

    async fn undo(_: &Secrets, _: Permit<'_, Self>) -> Result<(), Failure> {
        Err(Failure::Invalid("a destroyed version cannot be brought back".to_owned()))
    }

    fn describe_undo(&self, _: &BeforeWithdrawal) -> String {
        "none: a destroyed version is gone for good".to_owned()
    }
}
