//! To perform is to use the permit up.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

async fn twice(backend: &Backend, permit: Permit<'_, Rotate>) {
    let _ = Rotate::perform(backend, permit).await;
    let _ = Rotate::perform(backend, permit).await;
}

fn main() {}
