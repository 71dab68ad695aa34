//! An action with nothing to it, so that what is measured is the host. Its input is a number `N`, and it looks at a
//! secret `N` times; or a list of secrets, and it rotates each.

use remit::bindings::exports::remit::action::remediation::Guest;
use remit::bindings::remit::secrets::{inspect, rotate};

/// See the head of this file.
pub struct Measure;

impl Guest for Measure {
    fn run(input: String) -> Result<String, String> {
        let mut sum = 0;
        if input.starts_with('[') {
            // Paths need no escapes: whatever is between two quotes is one.
            for path in input.split('"').skip(1).step_by(2) {
                sum += rotate::rotate(path, None).map_err(|failure| format!("{failure:?}"))?.current;
            }
            return Ok(sum.to_string());
        }
        let times: u32 = input.parse().map_err(|_| "neither a number nor a list".to_owned())?;
        for _ in 0..times {
            sum += inspect::metadata("app/db").map_err(|failure| format!("{failure:?}"))?.current;
        }
        Ok(sum.to_string())
    }

    fn verify(_: String, _: String) -> Result<(), String> {
        Ok(())
    }
}

// The export names are no symbols that a native linker takes.
#[cfg(target_arch = "wasm32")]
remit::bindings::export!(Measure with_types_in remit::bindings);
