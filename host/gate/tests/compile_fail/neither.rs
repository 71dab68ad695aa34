//! The gate has two entries, one for each kind: nothing else is an operation.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

enum Other {}

impl remit_gate::Kind for Other {}

async fn sneak(gate: &remit_gate::Gate) {
    let _ = gate.observe(Rotate).await;
    let _ = gate.change(Look).await;
}

fn main() {}
