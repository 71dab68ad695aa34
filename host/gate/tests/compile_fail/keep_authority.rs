//! An authority outlives neither its permit nor its call, not even in a task of its own.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

static KEPT: std::sync::Mutex<Option<Authority<'static>>> = std::sync::Mutex::new(None);

fn keep(permit: Permit<'_, Rotate>) {
    *KEPT.lock().unwrap() = Some(permit.authority());
}

fn hand_out(permit: Permit<'_, Rotate>) -> Authority<'_> {
    permit.authority()
}

fn later(permit: Permit<'_, Rotate>) {
    std::thread::spawn(move || Backend.change(permit.authority()));
}

fn main() {}
