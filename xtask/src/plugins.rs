//! `cargo xtask plugins`: the guest components.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use wasm_metadata::AddMetadata;
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::{bindings, shell, wasm_std};

/// A guest: its package, and the directory with the world it is held to. `misbehave` may reach whatever
/// the SDK offers.
const GUESTS: [(&str, &str); 2] =
    [("rotate-secret", "plugins/rotate-secret/wit"), ("misbehave", "sdk/rust/wit")];

/// Builds every guest to `<target>/plugins/NAME.wasm` and prints name, size and digest of each.
pub(crate) fn run() -> Result<()> {
    let target = shell::target()?;
    let out = target.join("plugins");
    fs::create_dir_all(&out)?;
    let modules = compile(&target)?;
    for (name, world) in GUESTS {
        let module = modules.join(format!("{}.wasm", name.replace('-', "_")));
        let component = componentise(name, &module).with_context(|| format!("making {name} a component"))?;
        check(&component, world).with_context(|| format!("checking the imports of {name}"))?;
        replace(&out.join(format!("{name}.wasm")), &component)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &component);
        println!("{name:<14} {:>8} bytes  sha256:{}", component.len(), hex::encode(digest));
    }
    Ok(())
}

/// Compiles the guests to core modules; the directory where they lie.
fn compile(target: &Path) -> Result<PathBuf> {
    // Apart from the host's build: the guests have other features and another profile.
    let dir = target.join("guests");
    let wasm_std = wasm_std::get(target)?;
    let mut cargo =
        shell::cargo(["build", "--release", "--target", "wasm32-unknown-unknown", "--target-dir"])?;
    cargo.arg(&dir);
    for (name, _) in GUESTS {
        cargo.args(["-p", name]);
    }
    // A guest is small and built in seconds: a third off its size is worth the whole-program build.
    cargo
        .args(wasm_std.arguments)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags()?)
        .envs(wasm_std.environment);
    shell::run(&mut cargo)?;
    Ok(dir.join("wasm32-unknown-unknown/release"))
}

/// Keeps the builder's home directory out of the panic messages, so that the same source gives the same
/// digest for everyone.
fn flags() -> Result<String> {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    Ok(format!("--remap-path-prefix={home}=cargo"))
}

fn componentise(name: &str, module: &Path) -> Result<Vec<u8>> {
    let module = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    let mut metadata = AddMetadata::default();
    metadata.name = wasm_metadata::AddMetadataField::Set(name.to_owned());
    metadata.version = wasm_metadata::AddMetadataField::Set(env!("CARGO_PKG_VERSION").parse()?);
    metadata.to_wasm(&component)
}

/// Fails when the component imports what no action may, or what its own world does not declare.
fn check(component: &[u8], world: &str) -> Result<()> {
    let DecodedWasm::Component(resolve, decoded) = wit_component::decode(component)? else {
        anyhow::bail!("it is a WIT package, not a component");
    };
    for (key, _) in &resolve.worlds[decoded].imports {
        let import = resolve.name_world_key(key);
        ensure!(import.starts_with("remit:"), "it imports {import}");
    }
    let (resolve, world) = bindings::world(&shell::root().join(world))?;
    wit_component::targets(&resolve, world, component)
}

/// Writes a file in one step: a test that runs at the same time sees the old one or the new one whole.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let draft = file.with_extension("wasm.new");
    fs::write(&draft, bytes).with_context(|| format!("writing {}", draft.display()))?;
    fs::rename(&draft, file).with_context(|| format!("replacing {}", file.display()))
}
