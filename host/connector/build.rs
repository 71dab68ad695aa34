//! Encodes the contract of connectors as a component, which foreign components are held against; and the WIT of every package of
//! this host, which connectors may implement, with the documented effect of each function.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{ManglingAndAbi, Resolve, UnresolvedPackageGroup};

/// Where the packages are, each in a folder of its own.
const PACKAGES: &str = "../../wit";

#[expect(clippy::disallowed_methods, reason = "a build script")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PACKAGES}");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let entries = std::fs::read_dir(PACKAGES)?.map(|entry| Ok(entry?.path()));
    let mut folders = entries.collect::<std::io::Result<Vec<_>>>()?;
    folders.retain(|folder| !folder.ends_with("wasi"));
    folders.sort();
    let packages = folders.iter().map(UnresolvedPackageGroup::parse_dir).collect::<Result<Vec<_>, _>>()?;
    let main = UnresolvedPackageGroup::parse("main.wit", "package remit:main;");
    let mut resolve = Resolve::default();
    resolve.push_groups(main.map_err(|(_, error)| error.to_string())?, packages)?;

    let mut table =
        "/// Each package in its binary form.\npub(crate) const PACKAGES: &[&[u8]] = &[\n".to_owned();
    let mut effects =
        "/// The documented effect of each function.\npub(crate) const EFFECTS: &[(&str, &str)] = &[\n"
            .to_owned();
    for (id, package) in &resolve.packages {
        let name = &package.name;
        if name.name == "main" {
            continue;
        }
        let file = format!("{}-{}.wasm", name.namespace, name.name);
        std::fs::write(out.join(&file), wit_component::encode(&resolve, id)?)?;
        writeln!(table, "include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")),")?;
        for (interface, of) in &package.interfaces {
            for (function, of) in &resolve.interfaces[*of].functions {
                let docs = of.docs.contents.as_deref().unwrap_or_default();
                let Some((_, effect)) = docs.split_once("Effect: ") else { continue };
                let effect: String = effect.chars().take_while(char::is_ascii_lowercase).collect();
                writeln!(
                    effects,
                    "(\"{}:{}/{interface}.{function}\", \"{effect}\"),",
                    name.namespace, name.name
                )?;
            }
        }
    }
    std::fs::write(out.join("standard.rs"), format!("{table}];\n{effects}];\n"))?;

    let connector = resolve.packages.iter().find(|(_, package)| package.name.name == "connector");
    let (connector, _) = connector.ok_or("there is no wit/connector")?;
    let world = resolve.select_world(&[connector], Some("connector"))?;
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default().module(&module)?.validate(true).encode()?;
    std::fs::write(Path::new(&out).join("contract.wasm"), component)?;
    Ok(())
}
