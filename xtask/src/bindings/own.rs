//! For guests of the tests that import an interface of a publisher's own: its WIT for their world, and the bindings. Whoever writes
//! such an action elsewhere has them from `wit-bindgen rust`.

use std::fs;

use anyhow::{Context, Result};
use wit_bindgen_rust::WithOption;
use wit_parser::Resolve;

use super::rust::bindings;
use super::text::{Files, MARK};
use crate::shell;

/// The package's name, its WIT, and the guest with the name of its module.
const OWN: [(&str, &str, &str, &str); 1] = [(
    "remit-aws:secrets@0.1.0",
    "plugins/connectors/aws-secrets/wit/secrets.wit",
    "tests/guests/answer-leak",
    "aws",
)];

pub(super) fn generate(resolve: &Resolve, files: &mut Files) -> Result<()> {
    for (package, wit, guest, module) in OWN {
        let text = fs::read_to_string(shell::root().join(wit)).with_context(|| format!("reading {wit}"))?;
        let mut resolve = resolve.clone();
        let id = resolve.push_str(wit, &text)?;
        let world = resolve.select_world(&[id], None)?;
        let errors = "remit:types/errors@0.1.0".to_owned();
        let ours = WithOption::Path("remit::bindings::remit::types::errors".to_owned());
        // From the folder of the SDK, where all else is generated.
        let made = |file: &str| format!("../{guest}/{file}").into();
        files.insert(made(&format!("src/{module}.rs")), bindings(resolve, world, vec![(errors, ours)])?);
        let nested = text.replace(&format!("package {package};"), &format!("package {package} {{"));
        files.insert(made(&format!("wit/{module}.wit")), format!("// {MARK}\n{nested}}}\n"));
    }
    Ok(())
}
