//! Generated from `wit/`: one trait per interface that an action may import, and the exports that it
//! must have. Nothing here is written by hand but the list.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "generated code"
)]

wasmtime::component::bindgen!({
    inline: "
        package remit:host-bindings;

        world action {
            import remit:host/log@0.1.0;
            import remit:host/run@0.1.0;
            import remit:secrets/inspect@0.1.0;
            import remit:secrets/rotate@0.1.0;
            import remit:secrets/disable@0.1.0;
            import remit:secrets/destroy@0.1.0;
            import remit:secrets/reveal@0.1.0;

            import wasi:io/error@0.2.12;
            import wasi:io/poll@0.2.12;
            import wasi:io/streams@0.2.12;
            import wasi:cli/environment@0.2.12;
            import wasi:cli/exit@0.2.12;
            import wasi:cli/stdin@0.2.12;
            import wasi:cli/stdout@0.2.12;
            import wasi:cli/stderr@0.2.12;
            import wasi:cli/terminal-input@0.2.12;
            import wasi:cli/terminal-output@0.2.12;
            import wasi:cli/terminal-stdin@0.2.12;
            import wasi:cli/terminal-stdout@0.2.12;
            import wasi:cli/terminal-stderr@0.2.12;
            import wasi:clocks/monotonic-clock@0.2.12;
            import wasi:clocks/wall-clock@0.2.12;
            import wasi:filesystem/types@0.2.12;
            import wasi:filesystem/preopens@0.2.12;
            import wasi:random/random@0.2.12;
            import wasi:random/insecure@0.2.12;
            import wasi:random/insecure-seed@0.2.12;

            export remit:action/remediation@0.1.0;
        }
    ",
    path: [
        "../../wit/action",
        "../../wit/host",
        "../../wit/secrets",
        "../../wit/wasi/io",
        "../../wit/wasi/clocks",
        "../../wit/wasi/filesystem",
        "../../wit/wasi/random",
        "../../wit/wasi/cli",
    ],
    world: "remit:host-bindings/action",
    imports: { default: async | trappable },
    exports: { default: async },
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
