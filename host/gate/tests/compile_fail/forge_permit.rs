//! A permit has no public constructor and no public fields.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

async fn sneak(backend: &Backend) {
    let permit = Permit { operation: &Change, before: None };
    let _ = Change::perform(backend, permit).await;
}

fn main() {}
