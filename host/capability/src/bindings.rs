//! Generated from `wit/`: one trait per interface that an action may import, and the exports that it
//! must have. Nothing of it is written by hand but the list, in `wit/world.wit` beside this crate's `src`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "generated code"
)]

/// How a function of `wasi:filesystem` fails.
pub type FileError = crate::CallError<wasi::filesystem::types::ErrorCode>;
/// How a function of `wasi:io/streams` fails.
pub type StreamError = crate::CallError<wasi::io::streams::StreamError>;

wasmtime::component::bindgen!({
    path: [
        "../../wit/action",
        "../../wit/host",
        "../../wit/types",
        "../../wit/wasi/io",
        "../../wit/wasi/clocks",
        "../../wit/wasi/filesystem",
        "../../wit/wasi/random",
        "../../wit/wasi/cli",
        "wit",
    ],
    world: "remit:host-bindings/action",
    imports: { default: async | trappable },
    exports: { default: async },
    trappable_error_type: {
        "remit:types/errors.failure" => crate::CallError,
        "wasi:filesystem/types.error-code" => crate::bindings::FileError,
        "wasi:io/streams.stream-error" => crate::bindings::StreamError,
    },
    with: {
        "wasi:filesystem/types.descriptor": crate::wasi::handle::Descriptor,
        "wasi:filesystem/types.directory-entry-stream": crate::wasi::handle::DirectoryEntryStream,
        "wasi:io/error.error": crate::bindings::wasi::filesystem::types::ErrorCode,
        "wasi:io/poll.pollable": crate::wasi::handle::Pollable,
        "wasi:io/streams.input-stream": crate::wasi::handle::Input,
        "wasi:io/streams.output-stream": crate::wasi::handle::Output,
        "wasi:cli/terminal-input.terminal-input": crate::wasi::handle::Terminal,
        "wasi:cli/terminal-output.terminal-output": crate::wasi::handle::Terminal,
    },
});
