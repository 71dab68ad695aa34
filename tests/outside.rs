//! The server, judged by programs that others wrote and that know nothing of it but its description: schemathesis calls every
//! route with what fits the description and with what does not; clients of the Model Context Protocol use its tools.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::PathBuf;
use std::process::Command;

use crate::common::server::Server;
use crate::common::{World, proxy};

#[test]
fn schemathesis_finds_nothing() {
    let schemathesis = std::env::var("REMIT_SCHEMATHESIS")
        .expect("REMIT_SCHEMATHESIS is not set: run the tests with `cargo xtask test`");
    let world = World::new();
    let config = world.home().join("remit.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    // All that it tries comes from one principal.
    let rate = "[server.rate]\nper_minute = 1_000_000\nburst = 1_000_000\n";
    std::fs::write(&config, format!("{text}\n[server]\nlisten = \"127.0.0.1:0\"\n{rate}")).unwrap();
    let server = Server::of(&world);
    let alice = server.client(&world, "alice");
    let url = proxy::proving(&server.url, move |method, path| alice.prove(method, path).unwrap().to_vec());
    let output = Command::new(schemathesis)
        .args(["run", &format!("{url}/api/v1/openapi.json"), "--url", &url, "--checks", "all"])
        // Most of what fits a schema names nothing that there is, or is signed by nobody: it is refused.
        .args(["--exclude-checks", "positive_data_acceptance"])
        // It cannot write components. `tests/server.rs` does.
        .args(["--exclude-operation-id", "upload_action", "-H", proxy::SESSION])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--workers", "1"])
        // The same each time.
        .args(["--seed", "1", "--generation-deterministic"])
        .args(["--continue-on-failure", "--request-timeout", "60", "--no-color", "--warnings", "off"])
        .current_dir(world.dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{told}");
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    // What was not signed changed nothing, and the server goes on.
    let status = world.remit(&["status", "--json"]).exits(0).json();
    assert!(status["frozen"].is_null());
    assert!(server.stop());
    world.audit_is_sound();
}

/// A server with an action, and an address before it at which every call is made with the bot's session.
fn with_tools(world: &World) -> (Server, String) {
    world.remit(&["install", "rotate-secret.wasm"]).exits(0);
    let server = Server::of(world);
    let bot = server.client(world, "bot");
    let url = proxy::proving_each(&server.url, move |method, path| bot.prove(method, path).unwrap().to_vec());
    (server, url)
}

#[track_caller]
fn is_content(mut command: Command) {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{told}");
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The client of the protocol's own Python SDK, which holds every answer to the schema of its tool.
#[test]
fn a_client_of_others_uses_the_tools() {
    let python = std::env::var("REMIT_MCP_CLIENT")
        .expect("REMIT_MCP_CLIENT is not set: run the tests with `cargo xtask test`");
    let world = World::new();
    let (server, url) = with_tools(&world);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/mcp_client.py");
    let mut command = Command::new(python);
    command.args([script, &format!("{url}/mcp"), env!("CARGO_BIN_EXE_remit")]);
    command.arg(world.home()).arg(world.path("bot.key")).current_dir(world.dir.path());
    is_content(command);
    assert!(server.stop());
    world.audit_is_sound();
}

/// Node and the folder of its packages.
fn node() -> (Command, PathBuf) {
    let set = |name| std::env::var(name).expect("run it with `cargo xtask mcp`");
    (Command::new(set("REMIT_NODE")), set("REMIT_NODE_MODULES").into())
}

/// The protocol's own suite. What it asks of tools, prompts and resources that only its example server has is in the list of
/// expected failures, which has to be exactly what fails.
#[test]
#[ignore = "it needs Node and packages of npm: `cargo xtask mcp`"]
fn node_the_protocol_s_own_suite_finds_nothing() {
    let (mut command, modules) = node();
    let world = World::new();
    let (server, url) = with_tools(&world);
    let expected = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/mcp-expected-failures.yml");
    command.arg(modules.join("@modelcontextprotocol/conformance/dist/index.js"));
    command.args(["server", "--url", &format!("{url}/mcp"), "--requirements", "2026-07-28"]);
    command.args(["--expected-failures", expected]).current_dir(world.dir.path());
    is_content(command);
    assert!(server.stop());
    world.audit_is_sound();
}

/// The client of the protocol's own TypeScript SDK.
#[test]
#[ignore = "it needs Node and packages of npm: `cargo xtask mcp`"]
fn node_a_client_of_others_uses_the_tools() {
    let (mut command, modules) = node();
    let world = World::new();
    let (server, url) = with_tools(&world);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/mcp_client.mjs")).arg(modules);
    command.args([&format!("{url}/mcp"), env!("CARGO_BIN_EXE_remit")]);
    command.arg(world.home()).arg(world.path("bot.key")).current_dir(world.dir.path());
    is_content(command);
    assert!(server.stop());
    world.audit_is_sound();
}
