//! The measured guest as a component, on Remit's own bindings: looks at a secret as often as its input says.

use remit::bindings::exports::remit::action::remediation::Guest;
use remit::bindings::remit::secrets::inspect;

struct Component;

impl Guest for Component {
    fn run(input: String) -> Result<String, String> {
        let times: u32 = input.parse().map_err(|_| format!("`{input}` is no number"))?;
        let mut sum = 0;
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
remit::bindings::export!(Component with_types_in remit::bindings);
