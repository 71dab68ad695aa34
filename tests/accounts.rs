//! `remit:accounts` by the host itself: against a real `OpenLDAP`, a real domain of Active Directory by Samba, and a real
//! `PostgreSQL`, checked by their own clients.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

pub mod between;
mod directory;
mod domain;
mod roles;

use std::fs;

use crate::common::openldap::OpenLdap;
use crate::common::{Ran, World};
use serde_json::{Value, json};

const ACTION: &str = "account-steps.wasm";

/// What serves `end-sessions`, which the action imports too. Nobody is there.
const SESSIONS: &str = "
[[accounts]]
name = \"nowhere\"
backend = \"databases\"
server = \"nowhere\"
[[databases]]
name = \"nowhere\"
address = \"127.0.0.1\"
port = 1
role = \"remit\"
";

/// A home with these `[[accounts]]`.
fn world(config: &str) -> World {
    let world = World::with(&["account-steps"]);
    world.configure(&format!("{config}{SESSIONS}"));
    world.private("home/ldap.key", "remits-own\n");
    let allow = |name: &str| {
        let more = if name == "end-sessions" { "irrevocable = true\n" } else { "" };
        format!("[[allow]]\ncapability = \"remit:accounts/{name}\"\nresources = [\"account:**\"]\n{more}")
    };
    world.write(
        "s.toml",
        format!("{}[limits]\nchanges = 9\n", ["inspect", "disable", "end-sessions"].map(allow).concat()),
    );
    world
}

fn input(path: &str, deeds: &[&str]) -> String {
    json!({"do": deeds, "path": path}).to_string()
}

/// Asks for this, and has it approved; the request.
fn approved(world: &World, path: &str, deeds: &[&str]) -> String {
    world.ask(&["request", ACTION, "--input", &input(path, deeds), "--scope", "s.toml"], "asked");
    world.request("asked")
}

fn run(world: &World, request: &str) -> Ran {
    world.remit(&["run", request, "--key", "bot.key", "--json"])
}

/// Does this under a request of its own; the answers of the action.
#[track_caller]
fn done(world: &World, path: &str, deeds: &[&str]) -> Vec<Value> {
    let request = approved(world, path, deeds);
    run(world, &request).exits(0).json()["output"].as_array().unwrap().clone()
}

/// Why a rehearsal of this fails.
#[track_caller]
fn refused(world: &World, path: &str, deeds: &[&str]) -> String {
    let planned = world.remit(&["plan", ACTION, "--input", &input(path, deeds)]);
    assert_ne!(planned.code, 0, "{planned:?}");
    planned.err
}

/// A directory, and a home with it by TLS.
fn directory() -> (OpenLdap, World) {
    let server = OpenLdap::start();
    let address = format!("ldaps://localhost:{}", server.tls_port);
    let world =
        world(&OpenLdap::people("directory", &address).replace("timeout", "ca_file = \"ca.pem\"\ntimeout"));
    fs::copy(server.path("ca.pem"), world.home().join("ca.pem")).unwrap();
    (server, world)
}
