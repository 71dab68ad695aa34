//! Encodes the world that the host offers as a component: the types that a foreign component is held against. It has the
//! host's own world, and the world `imports` of each domain's package in `wit/`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{ManglingAndAbi, Resolve, UnresolvedPackageGroup};

/// Where packages are, each in a folder of its own.
const PACKAGES: [&str; 2] = ["../../wit", "../../wit/wasi"];
/// The world of all that belongs to no domain.
const OWN: &str = "../capability/wit";
/// The domain that shows how one is added: see `docs/adding-a-domain.md`.
const TEST_DOMAIN: &str = "../../tests/domain/wit";

#[expect(clippy::disallowed_methods, reason = "a build script")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut folders = vec![PathBuf::from(OWN)];
    for packages in PACKAGES {
        println!("cargo::rerun-if-changed={packages}");
        let entries = std::fs::read_dir(packages)?.map(|entry| Ok(entry?.path()));
        folders.extend(entries.collect::<std::io::Result<Vec<_>>>()?);
    }
    folders.retain(|folder| !folder.ends_with("wasi"));
    println!("cargo::rerun-if-changed={OWN}");
    if std::env::var_os("CARGO_FEATURE_TEST_DOMAIN").is_some() {
        println!("cargo::rerun-if-changed={TEST_DOMAIN}");
        folders.push(TEST_DOMAIN.into());
    }
    let packages = folders.iter().map(UnresolvedPackageGroup::parse_dir).collect::<Result<Vec<_>, _>>()?;
    let domains = packages.iter().map(|package| &package.main);
    let domains = domains.filter(|main| main.worlds.iter().any(|(_, world)| world.name == "imports"));
    let mut text = "package remit:offered;\nworld action {\ninclude remit:host-bindings/action;\n".to_owned();
    for main in domains {
        writeln!(text, "include {};", main.name.interface_id("imports"))?;
    }
    text.push('}');
    let offered =
        UnresolvedPackageGroup::parse("offered.wit", &text).map_err(|(_, error)| error.to_string())?;

    let mut resolve = Resolve::default();
    let package = resolve.push_groups(offered, packages)?;
    let world = resolve.select_world(&[package], Some("action"))?;
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default().module(&module)?.validate(true).encode()?;
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("offered.wasm"), component)?;
    Ok(())
}
