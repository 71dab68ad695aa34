//! Generated from `wit/evidence`.

#![allow(missing_docs, clippy::pedantic, clippy::unwrap_used, clippy::expect_used, reason = "generated code")]

wasmtime::component::bindgen!({
    path: ["../../wit/types", "../../wit/evidence"],
    world: "remit:evidence/imports",
    imports: { default: async | trappable },
    with: { "remit:types/errors": crate::bindings::remit::types::errors },
    trappable_error_type: { "remit:types/errors.failure" => crate::CallError },
});
