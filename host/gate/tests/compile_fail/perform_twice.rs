//! To perform is to use the permit up.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

async fn twice(backend: &Backend, permit: Permit<'_, Change>) {
    let _ = Change::perform(backend, permit).await;
    let _ = Change::perform(backend, permit).await;
}

fn main() {}
