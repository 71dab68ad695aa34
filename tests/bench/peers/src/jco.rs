//! jco: turns a component into JavaScript and core modules, which Node runs. Components as Remit takes them, in another
//! engine: V8.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use js_component_bindgen::{InstantiationMode, TranspileOpts, transpile};
use serde::Deserialize;

use crate::report::{ALL, Measure, Peer, version_of};

/// What the script prints.
#[derive(Deserialize)]
struct Told {
    node: String,
    v8: String,
    measures: Vec<Measure>,
}

/// Measures it, or says why not: this peer alone needs Node.
pub(crate) fn measure(component: &[u8], dir: &Path) -> Peer {
    eprintln!("peers: jco");
    let mut peer = Peer {
        host: "jco",
        version: version_of("js-component-bindgen", "").unwrap_or_default(),
        stands_on: BTreeMap::new(),
        settings: "--instantiation sync; compiled once, then `new WebAssembly.Instance`",
        measures: Vec::new(),
    };
    match told(component, dir) {
        Ok(told) => {
            peer.stands_on = BTreeMap::from([("node", told.node), ("v8", told.v8)]);
            peer.measures = told.measures;
        }
        Err(error) => {
            let why = format!("{error:#}");
            eprintln!("peers: jco is not measured: {why}");
            peer.measures = ALL.map(|what| Measure::missing(what, &why)).into();
        }
    }
    peer
}

fn told(component: &[u8], dir: &Path) -> Result<Told> {
    let options = TranspileOpts::builder()
        .name("guest".to_owned())
        .no_typescript(true)
        .instantiation_mode(InstantiationMode::Sync)
        .build();
    let transpiled = transpile(component, options).context("transpiling the component")?;
    let write = |name: &str, bytes: &[u8]| {
        let file = dir.join(name);
        fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))
    };
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    for (name, bytes) in &transpiled.files {
        write(name, bytes)?;
    }
    // Node takes the transpiled file for a module because of this.
    write("package.json", b"{ \"private\": true, \"type\": \"module\" }\n")?;
    write("measure.js", include_bytes!("jco.js"))?;

    let mut node = Command::new("node");
    node.arg("measure.js").current_dir(dir).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = node.output().context("starting `node`, which must be on the PATH")?;
    ensure!(output.status.success(), "`node measure.js` failed: {}", output.status);
    serde_json::from_slice(&output.stdout).context("reading what `node measure.js` printed")
}
