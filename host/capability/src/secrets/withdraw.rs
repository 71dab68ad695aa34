//! Taking one version out of use, until enabled again or for good; and enabling it.

use std::borrow::Cow;

use remit_backend::{Act, Identity, Metadata, Right, Secrets, Target, Turn, Version, VersionState};
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use serde::{Deserialize, Serialize};

use super::bindings::remit::secrets::{destroy, disable, enable};
use crate::{CallError, Ctx};

impl disable::Host for Ctx {
    async fn disable(&mut self, path: String, version: u64) -> Result<(), CallError> {
        let resource = self.secret::<Disable>(&path)?;
        self.change(Disable { resource, version }).await
    }
}

impl enable::Host for Ctx {
    async fn enable(&mut self, path: String, version: u64) -> Result<(), CallError> {
        let resource = self.secret::<Enable>(&path)?;
        self.change(Enable { resource, version }).await
    }
}

impl destroy::Host for Ctx {
    async fn destroy(&mut self, path: String, version: u64) -> Result<(), CallError> {
        let resource = self.secret::<Destroy>(&path)?;
        self.change(Destroy { resource, version }).await
    }
}

/// `remit:secrets/disable.disable`: makes a version unreadable until it is enabled again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disable {
    /// The secret that the version belongs to.
    pub resource: Resource,
    /// The number of the version to disable.
    pub version: u64,
}

/// `remit:secrets/enable.enable`: makes a disabled version readable, until it is disabled again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enable {
    /// The secret that the version belongs to.
    pub resource: Resource,
    /// The number of the version to enable.
    pub version: u64,
}

/// `remit:secrets/destroy.destroy`: destroys the value of a version, which cannot be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroy {
    /// The secret that the version belongs to.
    pub resource: Resource,
    /// The number of the version to destroy.
    pub version: u64,
}

/// What a version was before its state was changed. Which one is current is no part of it: the numbers of a secret only
/// ever grow, so that with its identity the number says which version is meant, whoever rotates it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeWithdrawal {
    /// Which secret it was; none in records of the first version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The state of the version before.
    pub state: VersionState,
}

/// The version that an operation is about.
#[derive(Clone, Copy)]
struct Aim<'a> {
    resource: &'a Resource,
    version: u64,
}

impl Aim<'_> {
    async fn look(self, on: &Secrets) -> Result<(Metadata, Version), Failure> {
        let (store, _) = on.at(self.resource)?;
        let found = store.metadata(self.resource).await?;
        let version = *found.version(self.resource.as_str(), self.version)?;
        Ok((found, version))
    }

    /// The version, and what is recorded of it, unless it is in the state already that it is to be in.
    async fn prepare(self, to: VersionState, on: &Secrets) -> Result<(Version, BeforeWithdrawal), Failure> {
        let (found, version) = self.look(on).await?;
        if version.state == to || version.state == VersionState::Destroyed {
            return Err(Failure::Conflict(format!(
                "version {} of {} is {} already",
                self.version, self.resource, version.state
            )));
        }
        if to != VersionState::Destroyed && on.turned(self.resource, self.version).is_some() {
            // To and fro, nobody could tell what was undone of it already.
            return Err(Failure::Conflict(format!(
                "this run has disabled or enabled version {} of {} already, which it can do once",
                self.version, self.resource
            )));
        }
        Ok((version, BeforeWithdrawal { identity: found.identity, state: version.state }))
    }

    /// Compares what there is with what was recorded: a secret that is another one and a version that is gone are two
    /// more ways to differ.
    async fn compare(
        self,
        before: &BeforeWithdrawal,
        on: &Secrets,
        state: impl Fn(VersionState) -> State,
    ) -> Result<State, Failure> {
        // Without a store there is nothing to compare with.
        on.at(self.resource)?;
        let (found, version) = match self.look(on).await {
            Err(Failure::NotFound(why)) => return Ok(State::Other(why)),
            looked => looked?,
        };
        Ok(match found.must_be(before.identity.as_ref(), self.resource.as_str()) {
            Err(Failure::Conflict(why)) => State::Other(why),
            same => {
                same?;
                state(version.state)
            }
        })
    }

    /// Why the host could not do this to the version later, to take back what it is about to do.
    async fn no_way_back(self, by: Turn, verb: &str, on: &Secrets) -> Result<Option<String>, Failure> {
        let (store, _) = on.at(self.resource)?;
        Ok(match store.right(self.resource, Act::Turn(by)).await? {
            Right::Held => None,
            Right::Lacking(why) | Right::Unknown(why) => Some(format!("it could not be {verb} again: {why}")),
        })
    }

    async fn turn<O: Change<Undo = BeforeWithdrawal>>(
        self,
        turn: Turn,
        on: &Secrets,
        by: &Permit<'_, O>,
    ) -> Result<(), Failure> {
        let target = Target { secret: self.resource, identity: by.before().undo.identity.as_ref() };
        on.note_turn(self.resource, self.version, turn);
        let done = on.store(self.resource)?.turn(target, self.version, turn, by.authority()).await;
        if done.as_ref().is_err_and(Failure::is_definite) {
            on.forget_turn(self.resource, self.version, turn);
        }
        done
    }

    fn play(self, turn: Turn, on: &Secrets) {
        if let Some(played) = on.played(self.resource) {
            on.note_turn(self.resource, self.version, turn);
            played.turn(self.resource, self.version, turn);
        }
    }
}

fn is_as_planned(planned: &BeforeWithdrawal, found: &BeforeWithdrawal) -> bool {
    Identity::is_still(planned.identity.as_ref(), found.identity.as_ref()) && planned.state == found.state
}

impl Disable {
    fn aim(&self) -> Aim<'_> {
        Aim { resource: &self.resource, version: self.version }
    }

    /// Why the version could not be enabled again as it is now.
    async fn no_way_back(&self, version: Version, on: &Secrets) -> Result<Option<String>, Failure> {
        if let Some(expires) = version.expires {
            return Ok(Some(format!(
                "the server is to delete version {} at {expires}, and enabling it again would not bring that time back",
                self.version
            )));
        }
        self.aim().no_way_back(Turn::Enable, "enabled", on).await
    }
}

impl Operation for Disable {
    const NAME: &'static str = "remit:secrets/disable.disable";
    type Kind = Changes;
    type Backend = Secrets;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for Disable {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Isolate;
    type Undo = BeforeWithdrawal;

    async fn prepare(&self, on: &Secrets) -> Result<Prepared<BeforeWithdrawal>, Failure> {
        let (version, undo) = self.aim().prepare(VersionState::Disabled, on).await?;
        Ok(Prepared { undo, secret: None, irrevocable: self.no_way_back(version, on).await? })
    }

    fn rehearse(&self, _: &Prepared<BeforeWithdrawal>, on: &Secrets) {
        self.aim().play(Turn::Disable, on);
    }

    async fn perform(on: &Secrets, by: Permit<'_, Self>) -> Result<(), Failure> {
        by.operation().aim().turn(Turn::Disable, on, &by).await
    }

    async fn state(&self, before: &Prepared<BeforeWithdrawal>, on: &Secrets) -> Result<State, Failure> {
        let state = |state| match state {
            VersionState::Enabled => State::Before,
            VersionState::Disabled => State::After,
            VersionState::Destroyed => State::Other(format!("version {} is destroyed", self.version)),
        };
        self.aim().compare(&before.undo, on, state).await
    }

    async fn undo(on: &Secrets, by: Permit<'_, Self>) -> Result<(), Failure> {
        by.operation().aim().turn(Turn::Enable, on, &by).await
    }

    fn describe_undo(&self, _: &BeforeWithdrawal) -> String {
        format!("enable version {} again", self.version)
    }

    fn is_as_planned(planned: &BeforeWithdrawal, found: &BeforeWithdrawal) -> bool {
        is_as_planned(planned, found)
    }
}

impl Enable {
    fn aim(&self) -> Aim<'_> {
        Aim { resource: &self.resource, version: self.version }
    }
}

impl Operation for Enable {
    const NAME: &'static str = "remit:secrets/enable.enable";
    type Kind = Changes;
    type Backend = Secrets;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for Enable {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Restore;
    type Undo = BeforeWithdrawal;

    async fn prepare(&self, on: &Secrets) -> Result<Prepared<BeforeWithdrawal>, Failure> {
        let (_, undo) = self.aim().prepare(VersionState::Enabled, on).await?;
        let irrevocable = self.aim().no_way_back(Turn::Disable, "disabled", on).await?;
        Ok(Prepared { undo, secret: None, irrevocable })
    }

    fn rehearse(&self, _: &Prepared<BeforeWithdrawal>, on: &Secrets) {
        self.aim().play(Turn::Enable, on);
    }

    async fn perform(on: &Secrets, by: Permit<'_, Self>) -> Result<(), Failure> {
        by.operation().aim().turn(Turn::Enable, on, &by).await
    }

    async fn state(&self, before: &Prepared<BeforeWithdrawal>, on: &Secrets) -> Result<State, Failure> {
        let state = |state| match state {
            VersionState::Disabled => State::Before,
            VersionState::Enabled => State::After,
            VersionState::Destroyed => State::Other(format!("version {} is destroyed", self.version)),
        };
        self.aim().compare(&before.undo, on, state).await
    }

    async fn undo(on: &Secrets, by: Permit<'_, Self>) -> Result<(), Failure> {
        by.operation().aim().turn(Turn::Disable, on, &by).await
    }

    fn describe_undo(&self, _: &BeforeWithdrawal) -> String {
        format!("disable version {} again", self.version)
    }

    fn is_as_planned(planned: &BeforeWithdrawal, found: &BeforeWithdrawal) -> bool {
        is_as_planned(planned, found)
    }
}

impl Destroy {
    fn aim(&self) -> Aim<'_> {
        Aim { resource: &self.resource, version: self.version }
    }
}

impl Operation for Destroy {
    const NAME: &'static str = "remit:secrets/destroy.destroy";
    type Kind = Changes;
    type Backend = Secrets;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for Destroy {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Evict;
    const IRREVOCABLE: Option<&'static str> = Some("a destroyed version is gone for good");
    type Undo = BeforeWithdrawal;

    async fn prepare(&self, on: &Secrets) -> Result<Prepared<BeforeWithdrawal>, Failure> {
        let (_, undo) = self.aim().prepare(VersionState::Destroyed, on).await?;
        Ok(Prepared { undo, secret: None, irrevocable: None })
    }

    fn rehearse(&self, _: &Prepared<BeforeWithdrawal>, on: &Secrets) {
        self.aim().play(Turn::Destroy, on);
    }

    async fn perform(on: &Secrets, by: Permit<'_, Self>) -> Result<(), Failure> {
        by.operation().aim().turn(Turn::Destroy, on, &by).await
    }

    async fn state(&self, before: &Prepared<BeforeWithdrawal>, on: &Secrets) -> Result<State, Failure> {
        let state = |state| match state {
            VersionState::Destroyed => State::After,
            // Nothing comes back from there, so it was not destroyed; whether it is enabled is another
            // change's matter, such as one of the same run that was undone since.
            VersionState::Enabled | VersionState::Disabled => State::Before,
        };
        self.aim().compare(&before.undo, on, state).await
    }

    async fn undo(_: &Secrets, _: Permit<'_, Self>) -> Result<(), Failure> {
        Err(Failure::Invalid("a destroyed version cannot be brought back".to_owned()))
    }

    fn describe_undo(&self, _: &BeforeWithdrawal) -> String {
        "none: a destroyed version is gone for good".to_owned()
    }

    fn is_as_planned(planned: &BeforeWithdrawal, found: &BeforeWithdrawal) -> bool {
        is_as_planned(planned, found)
    }
}
