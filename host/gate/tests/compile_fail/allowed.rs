//! One backend, one change, one observation, as they are meant. The other cases include this file.

#[allow(unused_imports)]
pub use remit_gate::{
    Authority, Effect, Failure, Observation, Operation, Permit, Prepared, Resource, State,
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
pub struct Change;

impl Operation for Change {
    const NAME: &'static str = "test:vault/rotate.rotate";
    const EFFECT: Effect = Effect::Change;
    type Backend = Backend;
    type Outcome = ();
    type Undo = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(Resource::new("secret", "a").unwrap())
    }
    async fn prepare(&self, _: &Backend) -> Result<Prepared<()>, Failure> {
        Ok(Prepared { undo: (), secret: None, irrevocable: None })
    }
    fn simulate(&self, (): &()) {}
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

impl Observation for Look {
    const NAME: &'static str = "test:vault/read.look";
    type Backend = Backend;
    type Outcome = u32;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(Resource::new("secret", "a").unwrap())
    }
    async fn observe(&self, on: &Backend) -> Result<u32, Failure> {
        Ok(on.read())
    }
}

#[allow(dead_code)]
fn main() {}
