//! From two Rust functions to the exports that the host calls.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Makes `run` and `verify` the action of this crate. Call it once, at the top of the crate.
///
/// `run` is a `fn(Input) -> Result<Output, remit::Error>` and `verify` a
/// `fn(Input, Output) -> Result<(), remit::Error>`, where `Input` is [`Deserialize`](serde::Deserialize)
/// and `Output` is also [`Serialize`].
#[macro_export]
macro_rules! action {
    ($run:path, $verify:path) => {
        #[doc(hidden)]
        pub struct RemitAction;

        impl $crate::bindings::exports::remit::action::remediation::Guest for RemitAction {
            fn run(input: ::std::string::String) -> ::std::result::Result<::std::string::String, ::std::string::String> {
                $crate::call_run(&input, $run)
            }

            fn verify(
                input: ::std::string::String,
                output: ::std::string::String,
            ) -> ::std::result::Result<(), ::std::string::String> {
                $crate::call_verify(&input, &output, $verify)
            }
        }

        // The export names are no symbols that a native linker takes.
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::export!(RemitAction with_types_in $crate::bindings);
    };
}

/// What the macro makes of `run`.
#[doc(hidden)]
pub fn call_run<I: DeserializeOwned, O: Serialize>(
    input: &str,
    run: impl FnOnce(I) -> Result<O, Error>,
) -> Result<String, String> {
    log_panics();
    let result = read("input", input)
        .and_then(run)
        .and_then(|output| serde_json::to_string(&output).map_err(|e| Error::json("output", e)));
    result.map_err(|error| error.to_string())
}

/// What the macro makes of `verify`.
#[doc(hidden)]
pub fn call_verify<I: DeserializeOwned, O: DeserializeOwned>(
    input: &str,
    output: &str,
    verify: impl FnOnce(I, O) -> Result<(), Error>,
) -> Result<(), String> {
    log_panics();
    let result = read("input", input).and_then(|i| read("output", output).and_then(|o| verify(i, o)));
    result.map_err(|error| error.to_string())
}

/// The longest panic message that is logged, in bytes: more would use up the run's `log_bytes`, and end it for that.
const LONGEST: usize = 4096;

/// Has a panic write its message and place into the run's log: this target has no standard error, so Rust's own hook
/// says nothing. The host tells that line as the reason of the crash.
pub(crate) fn log_panics() {
    // Elsewhere (WASI, the author's own unit tests) there is a standard error, and no host to log to.
    if cfg!(not(all(target_family = "wasm", target_os = "unknown"))) {
        return;
    }
    std::panic::set_hook(Box::new(|panic| crate::log::error(panic_line(&panic.to_string()))));
}

/// `panicked at src/lib.rs:7:9:`, a line feed, and the message: in one line, cut where it is too long.
fn panic_line(text: &str) -> String {
    let mut line = text.replacen(":\n", ": ", 1);
    if line.len() > LONGEST {
        line.truncate((0..=LONGEST).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0));
        line.push('…');
    }
    line
}

fn read<T: DeserializeOwned>(what: &'static str, json: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|e| Error::json(what, e))
}

#[cfg(test)]
#[expect(clippy::unnecessary_wraps, reason = "the functions under test take this shape")]
mod tests {
    use super::*;

    fn double(n: u64) -> Result<u64, Error> {
        Ok(n * 2)
    }

    #[test]
    fn json_goes_in_and_comes_out() {
        assert_eq!(call_run("21", double), Ok("42".to_owned()));
    }

    #[test]
    fn a_wrong_input_says_what_is_wrong() {
        let error = call_run("true", double).err();
        let expected = "the action's input: invalid type: boolean `true`, expected u64 at line 1 column 4";
        assert_eq!(error.as_deref(), Some(expected));
    }

    #[test]
    fn a_panic_is_one_line_of_bounded_length() {
        assert_eq!(panic_line("panicked at src/lib.rs:7:9:\noh: no"), "panicked at src/lib.rs:7:9: oh: no");
        let long = panic_line(&"é".repeat(LONGEST));
        assert_eq!(long, "é".repeat(LONGEST / 2) + "…");
    }

    #[test]
    fn verify_sees_what_run_returned() {
        let verify = |input: u64, output: u64| {
            if output == input * 2 { Ok(()) } else { Err(Error::new("it is not the double")) }
        };
        assert_eq!(call_verify("21", "42", verify), Ok(()));
        assert_eq!(call_verify("21", "43", verify), Err("it is not the double".to_owned()));
    }
}
