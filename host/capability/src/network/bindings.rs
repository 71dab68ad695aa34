//! Generated from `wit/network`.

#![allow(missing_docs, clippy::pedantic, clippy::unwrap_used, clippy::expect_used, reason = "generated code")]

wasmtime::component::bindgen!({
    path: ["../../wit/types", "../../wit/network"],
    world: "remit:network/imports",
    imports: { default: async | trappable },
    with: { "remit:types/errors": crate::bindings::remit::types::errors },
    trappable_error_type: { "remit:types/errors.failure" => crate::CallError },
});
