//! An action that does to a workload what its input says, one thing after the other.

use remit::{Error, evidence, network};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Input {
    #[serde(rename = "do")]
    deeds: Vec<Deed>,
    path: String,
    #[serde(default)]
    other: String,
    #[serde(default)]
    archive: String,
    #[serde(default)]
    sha256: String,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    Get,
    Connections,
    Cut,
    Capture,
    CaptureOther,
    /// Goes on if it fails.
    TryCapture,
    /// Whether what was captured last is there.
    Holds,
}

fn capture(path: &str, last: &mut (String, String)) -> Result<Value, Error> {
    let kept = evidence::capture(path)?;
    *last = (kept.name.clone(), kept.sha256.clone());
    Ok(json!({
        "name": kept.name, "sha256": kept.sha256, "size": kept.size, "parts": kept.parts, "cut-off": kept.cut_off,
        "missing": kept.missing,
    }))
}

/// One answer for each deed.
fn run(input: Input) -> Result<Vec<Value>, Error> {
    let Input { deeds, path, other, archive, sha256 } = input;
    let (mut answers, mut last) = (Vec::new(), (archive, sha256));
    for deed in deeds {
        answers.push(match deed {
            Deed::Get => {
                let found = network::inspect_get(&path)?;
                json!({ "path": found.path, "cut": found.cut, "by-run": found.by_run, "refused": found.refused })
            }
            Deed::Connections => {
                let found = network::inspect_connections(&path)?.into_iter();
                found.map(|found| json!([found.local, found.remote, found.state])).collect()
            }
            Deed::Cut => json!(network::cut(&path)?),
            Deed::Capture => capture(&path, &mut last)?,
            Deed::CaptureOther => capture(&other, &mut last)?,
            Deed::TryCapture => json!(capture(&path, &mut last).is_ok()),
            Deed::Holds => json!(evidence::check(&path, &last.0, &last.1)?),
        });
    }
    Ok(answers)
}

fn verify(input: Input, answers: Vec<Value>) -> Result<(), Error> {
    if answers.len() == input.deeds.len() {
        return Ok(());
    }
    Err(Error::new(format!("{} of {} things were done", answers.len(), input.deeds.len())))
}

remit::action!(run, verify);
