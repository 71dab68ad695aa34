//! A job of CI: who its platform says it is, what it types, and what a real scanner finds for it.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::issuer::Issuer;
use super::{Ran, World};

/// The issuer of the jobs, and the principals that its tokens are for.
pub fn rules(issuer: &Issuer, kind: &str, more: &str) -> String {
    let url = &issuer.url;
    format!("[[issuer]]\nname = 'jobs'\nkind = '{kind}'\nurl = '{url}'\naudience = 'remit'\n{more}\n")
}

/// A principal that proves who it is by tokens with these claims.
pub fn software(name: &str, claims: &str) -> String {
    format!(
        "\n[[principal]]\nname = '{name}'\nkind = 'service'\n[[principal.identity]]\nissuer = 'jobs'\n{claims}\n"
    )
}

pub const SHOP: &str = "repository_id = '74'\nrepository_owner_id = '65'\n";

/// Adds this to the rules, which are signed.
pub fn with(world: &World, text: &str) {
    let file = world.home().join("principals.toml");
    let before = fs::read_to_string(&file).unwrap();
    change(world, &format!("{text}\n{before}"));
}

pub fn change(world: &World, text: &str) {
    fs::write(world.home().join("principals.toml"), text).unwrap();
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
}

/// A command of a job: it has a token, and nothing of the home.
#[track_caller]
pub fn in_job(world: &World, token: &str, args: &[&str]) -> Ran {
    in_job_with_stdin(world, token, args, "")
}

#[track_caller]
pub fn in_job_with_stdin(world: &World, token: &str, args: &[&str], stdin: &str) -> Ran {
    let mut command = world.command(args);
    command.env_remove("REMIT_HOME").env_remove("REMIT_KEY").env("HOME", "/nonexistent");
    command.env("XDG_CONFIG_HOME", world.path("job.config")).env("REMIT_ID_TOKEN", token);
    let ran = super::finish(command, stdin);
    super::schema::hold(args, &ran.out);
    ran
}

/// What a scanner finds by one of its rules in a folder of the world.
#[track_caller]
pub fn scan(world: &World, folder: &str, rule: &str) -> String {
    let scanner = std::env::var("REMIT_SCANNER")
        .expect("REMIT_SCANNER is not set: run the tests with `cargo xtask test`");
    let (report, quiet) = ("found.json", ["--no-validate", "--no-update-check", "--no-rule-cache"]);
    let mut scan = Command::new(scanner);
    scan.arg("scan").args(quiet).args(["--rule", rule, "--format", "json", "--output", report, folder]);
    let scanned = scan.current_dir(world.dir.path()).output().unwrap();
    let told = String::from_utf8_lossy(&scanned.stderr);
    let found: Value = serde_json::from_slice(&fs::read(world.path(report)).unwrap())
        .unwrap_or_else(|error| panic!("{error}: {told}"));
    let found = found["findings"][0]["finding"]["snippet"].as_str();
    found.unwrap_or_else(|| panic!("nothing: {told}")).to_owned()
}
