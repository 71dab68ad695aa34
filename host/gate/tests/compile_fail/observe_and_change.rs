//! An observation gets no permit, so it reaches nothing that asks for an authority.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

#[derive(Serialize, Deserialize)]
struct Sly;

impl Operation for Sly {
    const NAME: &'static str = "test:vault/read.sly";
    type Kind = Reads;
    type Backend = Backend;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Owned(Resource::new("secret", "a").unwrap())
    }
}

impl Observe for Sly {
    async fn observe(&self, on: &Backend) -> Result<(), Failure> {
        on.change();
        on.change(self.authority());
        Ok(())
    }
}

fn main() {}
