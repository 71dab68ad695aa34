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
    trappable_error_type: { "remit:types/errors.failure" => crate::CallError },
    with: {
        "wasi:filesystem/types.descriptor": crate::wasi::Descriptor,
        "wasi:filesystem/types.directory-entry-stream": crate::wasi::DirectoryEntryStream,
        "wasi:io/error.error": crate::wasi::IoError,
        "wasi:io/poll.pollable": crate::wasi::Pollable,
        "wasi:io/streams.input-stream": crate::wasi::Input,
        "wasi:io/streams.output-stream": crate::wasi::Output,
        "wasi:cli/terminal-input.terminal-input": crate::wasi::Terminal,
        "wasi:cli/terminal-output.terminal-output": crate::wasi::Terminal,
    },
});
