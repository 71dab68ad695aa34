//! One backend, one change, one observation, as they are meant. The other cases include this file.

#[allow(unused_imports)]
pub use remit_gate::{
    Authority, Change, Changes, Countermeasure, Failure, Observe, Operation, Permit, Prepared, Reads,
    Resource, State,
};
#[allow(unused_imports)]
pub use serde::{Deserialize, Serialize};
#[allow(unused_imports)]
pub use std::borrow::Cow;

pub struct Backend;

impl Backend {
    pub fn change(&self, _: Authority<'_>) {}
    pub fn read(&self) -> u32 {
        1
    }
}

#[derive(Serialize, Deserialize)]
pub struct Rotate;

impl Operation for Rotate {
    const NAME: &'static str = "test:vault/rotate.rotate";
    type Kind = Changes;
    type Backend = Backend;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(Resource::new("secret", "a").unwrap())
    }
}

impl Change for Rotate {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;
    type Undo = ();

    async fn prepare(&self, _: &Backend) -> Result<Prepared<()>, Failure> {
        Ok(Prepared { undo: (), secret: None, irrevocable: None })
    }
    fn rehearse(&self, _: &Prepared<()>, _: &Backend) {}
    async fn perform(on: &Backend, by: Permit<'_, Self>) -> Result<(), Failure> {
        on.change(by.authority());
        on.change(by.authority());
        Ok(())
    }
    async fn state(&self, _: &Prepared<()>, _: &Backend) -> Result<State, Failure> {
        Ok(State::After)
    }
    async fn undo(on: &Backend, by: Permit<'_, Self>) -> Result<(), Failure> {
        on.change(by.authority());
        Ok(())
    }
    fn describe_undo(&self, (): &()) -> String {
        String::new()
    }
}

#[derive(Serialize, Deserialize)]
pub struct Look;

impl Operation for Look {
    const NAME: &'static str = "test:vault/read.look";
    type Kind = Reads;
    type Backend = Backend;
    type Outcome = u32;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(Resource::new("secret", "a").unwrap())
    }
}

impl Observe for Look {
    async fn observe(&self, on: &Backend) -> Result<u32, Failure> {
        Ok(on.read())
    }
}

#[allow(dead_code)]
fn main() {}
