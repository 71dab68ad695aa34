//! An operation that reads cannot also change: what the journal knows it by has one effect.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

impl Change for Look {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;
    type Undo = ();

    async fn prepare(&self, _: &Backend) -> Result<Prepared<()>, Failure> {
        Ok(Prepared { undo: (), secret: None, irrevocable: None })
    }
    fn rehearse(&self, _: &Prepared<()>, _: &Backend) -> u32 {
        0
    }
    async fn perform(_: &Backend, _: Permit<'_, Self>) -> Result<u32, Failure> {
        Ok(0)
    }
    async fn state(&self, _: &Prepared<()>, _: &Backend) -> Result<State, Failure> {
        Ok(State::After)
    }
    async fn undo(_: &Backend, _: Permit<'_, Self>) -> Result<(), Failure> {
        Ok(())
    }
    fn describe_undo(&self, (): &()) -> String {
        String::new()
    }
}

fn main() {}
