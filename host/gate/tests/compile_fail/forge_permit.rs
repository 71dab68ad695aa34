//! A permit has no public constructor and no public fields.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

async fn sneak(backend: &Backend) {
    let permit = Permit { operation: &Rotate, before: &Prepared { undo: (), secret: None, irrevocable: None } };
    let _ = Rotate::perform(backend, permit).await;
}

fn main() {}
