//! Fixtures of connectors: `tests/*.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use remit_connector::{Phase, Recorded};
use remit_gate::Effect;
use remit_text::Mistake;
use remit_trust::{Handle, Opening};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::Spanned;

use crate::{FailureKind, OfflineError};

/// One call, and what becomes of it: the phases of its life, each with what is sent and answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// The function, as the description names it: `remit:tokens/revoke.revoke`.
    pub function: String,
    /// The arguments by the names of the parameters, without those that are sealed. The first segment of the path names the
    /// instance.
    pub arguments: Map<String, Value>,
    /// What the entry in `remit.toml` has as `config`.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// The values of sealed parameters, made up.
    #[serde(default)]
    pub sealed: BTreeMap<String, String>,
    /// The changes that the rehearsal played before.
    #[serde(default)]
    pub simulated: Vec<Simulated>,
    /// The phases in order; of a fixture that is to be recorded, none need be there.
    #[serde(default, rename = "phase")]
    pub phases: Vec<Scene>,
}

/// A change that a rehearsal played.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    /// The function.
    pub function: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// What its preparation decided.
    #[serde(default)]
    pub undo: Map<String, Value>,
}

/// A phase of a story: the function that is called, what has to be sent meanwhile, and what has to come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The function of the connector that is called.
    pub run: Phase,
    /// What comes of it; none if it is not written yet.
    pub expect: Option<Spanned<Came>>,
    /// The requests that are sent, in order, and what is answered.
    #[serde(default, rename = "exchange")]
    pub exchanges: Vec<Spanned<Recorded>>,
}

/// What comes of a phase. Of what is expected, `describe`, `would_return`, `irrevocable` and `because` may be left out. A member
/// that is `null` is left out: TOML has no word for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Came {
    /// It ended well, and returned nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<bool>,
    /// What `observe` or `perform` returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returns: Option<Value>,
    /// What `prepare` decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<Value>,
    /// What its undo would do, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub describe: Option<String>,
    /// What a rehearsal returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_return: Option<Value>,
    /// Why this call cannot be taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irrevocable: Option<String>,
    /// What `state` found: `before`, `after` or `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Found>,
    /// How it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails: Option<FailureKind>,
    /// Words of the failure, or of how the state differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// The live state, compared with what was prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// As before the change.
    Before,
    /// As the change left it.
    After,
    /// Neither.
    Other,
}

impl Found {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Other => "other",
        }
    }
}

impl Story {
    /// Reads a file; a mistake shows its line.
    pub fn load(path: &Path) -> Result<Self, OfflineError> {
        let text = remit_file::given(path, remit_file::Kind::Fixture)?.into_text()?;
        Self::parse(&text)
            .map_err(|why| OfflineError::Story { file: path.display().to_string(), why: why.to_string() })
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        let story: Self = remit_text::toml::read_exact(text)?;
        for scene in &story.phases {
            for exchange in &scene.exchanges {
                exchange.get_ref().check().map_err(|why| Mistake::new(text, exchange.span(), why))?;
            }
            if let Some(expect) = &scene.expect
                && let Some(why) = expect.get_ref().misfits(scene.run)
            {
                return Err(Mistake::new(text, expect.span(), why));
            }
        }
        for (name, value) in &story.sealed {
            let why = if !Handle::is_name(name) {
                "is no name of a sealed argument"
            } else if value.is_empty() || value.len() > Opening::MAX {
                "has no value, or one that is longer than 64 KiB"
            } else {
                continue;
            };
            let at = text.find("sealed").unwrap_or_default();
            return Err(Mistake::new(text, at..at, format!("`{}` {why}", name.escape_debug())));
        }
        Ok(story)
    }

    /// The phases of a life without trouble, for a fixture that has none yet.
    #[must_use]
    pub fn usual(effect: Effect) -> Vec<Scene> {
        use Phase::{Observe, Perform, Prepare, State, Undo};
        let phases: &[Phase] = match effect {
            Effect::Observe | Effect::Disclose => &[Observe],
            Effect::Change => &[Prepare, Perform, State, Undo, State],
            Effect::Irrevocable => &[Prepare, Perform, State],
        };
        phases.iter().map(|run| Scene { run: *run, expect: None, exchanges: Vec::new() }).collect()
    }

    /// Whether a change is taken back in it, and that is what is expected.
    #[must_use]
    pub fn undoes(&self) -> bool {
        let well = |phase: Phase| {
            let of = self.phases.iter().filter(move |scene| scene.run == phase);
            let mut expected = of.filter_map(|scene| scene.expect.as_ref());
            expected.any(|expect| expect.get_ref().fails.is_none())
        };
        well(Phase::Perform) && well(Phase::Undo)
    }
}

impl Came {
    /// Why nothing like this can come of a phase.
    fn misfits(&self, of: Phase) -> Option<String> {
        let kinds = [
            ("done = true", self.done.is_some(), matches!(of, Phase::Observe | Phase::Perform | Phase::Undo)),
            ("returns", self.returns.is_some(), matches!(of, Phase::Observe | Phase::Perform)),
            ("undo", self.undo.is_some(), of == Phase::Prepare),
            ("state", self.state.is_some(), of == Phase::State),
            ("fails", self.fails.is_some(), true),
        ];
        let there: Vec<_> = kinds.iter().filter(|(_, there, _)| *there).collect();
        match there[..] {
            [(_, _, true)] if self.done != Some(false) => None,
            _ => {
                let fit =
                    kinds.iter().filter(|(_, _, fits)| *fits).map(|(name, ..)| *name).collect::<Vec<_>>();
                Some(format!("what comes of `{}` is one of: {}", of.name(), fit.join(", ")))
            }
        }
    }
}
