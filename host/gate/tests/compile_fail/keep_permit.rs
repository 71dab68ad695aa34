//! A permit does not outlive its call.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

static KEPT: std::sync::Mutex<Option<Permit<'static, Change>>> = std::sync::Mutex::new(None);

fn keep(permit: Permit<'_, Change>) {
    *KEPT.lock().unwrap() = Some(permit);
}

fn main() {}
