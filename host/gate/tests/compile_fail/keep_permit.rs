//! A permit does not outlive its call.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

static KEPT: std::sync::Mutex<Option<Permit<'static, Rotate>>> = std::sync::Mutex::new(None);

fn keep(permit: Permit<'_, Rotate>) {
    *KEPT.lock().unwrap() = Some(permit);
}

fn main() {}
