//! The server, judged by a program that knows nothing of it but its description: schemathesis calls every route with what
//! fits the description and with what does not.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::process::Command;

use common::server::Server;
use common::{World, proxy};

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
