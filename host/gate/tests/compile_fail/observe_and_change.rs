//! An observation gets no permit, so it reaches nothing that asks for an authority.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

#[derive(Serialize, Deserialize)]
struct Sly;

impl Observation for Sly {
    const NAME: &'static str = "test:vault/read.sly";
    type Backend = Backend;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(Resource::new("secret", "a").unwrap())
    }
    async fn observe(&self, on: &Backend) -> Result<(), Failure> {
        on.change();
        on.change(self.authority());
        Ok(())
    }
}

fn main() {}
