//! Nothing is performed without a permit.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

async fn sneak(backend: &Backend) {
    let _ = Change::perform(backend).await;
    let _ = Change::perform(backend, &Change).await;
    let _ = Look::perform(backend).await;
}

fn main() {}
