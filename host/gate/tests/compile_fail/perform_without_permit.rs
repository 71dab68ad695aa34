//! Nothing is performed without a permit.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

async fn sneak(backend: &Backend) {
    let _ = Rotate::perform(backend).await;
    let _ = Rotate::perform(backend, &Rotate).await;
    let _ = Look::perform(backend).await;
}

fn main() {}
