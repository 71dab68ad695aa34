//! Encodes the world that the host offers as a component: the types that a foreign component is held against.

use std::error::Error;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{ManglingAndAbi, Resolve};

/// Where the WIT is, each below what it uses; the world itself last.
const WIT: [&str; 10] = [
    "../../wit/action",
    "../../wit/host",
    "../../wit/types",
    "../../wit/secrets",
    "../../wit/wasi/io",
    "../../wit/wasi/clocks",
    "../../wit/wasi/filesystem",
    "../../wit/wasi/random",
    "../../wit/wasi/cli",
    "../capability/wit",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let mut last = None;
    for path in WIT {
        println!("cargo::rerun-if-changed={path}");
        last = Some(resolve.push_path(path)?.0);
    }
    let world = resolve.select_world(last.as_slice(), Some("action"))?;
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default().module(&module)?.validate(true).encode()?;
    #[expect(clippy::disallowed_methods, reason = "a build script")]
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("offered.wasm"), component)?;
    Ok(())
}
