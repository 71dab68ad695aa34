//! `remit:lamps`: whether a lamp is lit, and to switch it.

use std::borrow::Cow;
use std::path::Path;

use remit_backend::Systems as _;
use remit_backend::lamps::{KIND, Lamps, LampsConfig, word};
use remit_gate::{
    Change, Changes, Countermeasure, Estate, Failure, Mode, Observe, Operation, Permit, Prepared, Reads,
    Resource, Scope, State,
};
use serde::{Deserialize, Serialize};

use crate::domain::{Domain, SystemsOf, interfaces};
use crate::fixture::Offline;
use crate::{CallError, Ctx};
pub use bindings::remit::lamps as wit;

#[allow(missing_docs, clippy::pedantic, clippy::unwrap_used, clippy::expect_used, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/types", "../../tests/domain/wit"],
        world: "remit:lamps/imports",
        imports: { default: async | trappable },
        with: { "remit:types/errors": crate::bindings::remit::types::errors },
        trappable_error_type: { "remit:types/errors.failure" => crate::CallError },
    });
}

/// The domain.
pub(crate) static DOMAIN: Domain =
    Domain { name: "lamps", interfaces: INTERFACES, systems: Some(&SystemsOf::<Lamps>::NEW) };

interfaces! {
    "remit:lamps/read" "0.1.0" on KIND [observe Lit] by wit::read:
        "sees whether a lamp is lit";
    "remit:lamps/switch" "0.1.0" on KIND [change Turn] by wit::switch:
        "switches a lamp on or off; whoever is in the room sees it";
}

/// `remit:lamps/read.lit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lit {
    /// Which lamp the call is about.
    pub resource: Resource,
}

impl wit::read::Host for Ctx {
    async fn lit(&mut self, path: String) -> Result<bool, CallError> {
        let resource = self.resource::<Lit>(KIND, &path)?;
        self.observe(Lit { resource }).await
    }
}

impl Operation for Lit {
    const NAME: &'static str = "remit:lamps/read.lit";
    type Kind = Reads;
    type Backend = Lamps;
    type Outcome = bool;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Lit {
    async fn observe(&self, on: &Lamps) -> Result<bool, Failure> {
        on.is_lit(&self.resource)
    }
}

/// `remit:lamps/switch.turn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Which lamp the call is about.
    pub resource: Resource,
    /// Whether it is to be lit.
    pub on: bool,
}

/// What a lamp was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was {
    /// Whether it was lit.
    pub lit: bool,
}

impl wit::switch::Host for Ctx {
    async fn turn(&mut self, path: String, on: bool) -> Result<bool, CallError> {
        let resource = self.resource::<Turn>(KIND, &path)?;
        self.change(Turn { resource, on }).await
    }
}

impl Operation for Turn {
    const NAME: &'static str = "remit:lamps/switch.turn";
    type Kind = Changes;
    type Backend = Lamps;
    type Outcome = bool;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for Turn {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;
    type Undo = Was;

    async fn prepare(&self, on: &Lamps) -> Result<Prepared<Was>, Failure> {
        let lit = on.is_lit(&self.resource)?;
        if lit == self.on {
            return Err(Failure::Conflict(format!("{} is {} already", self.resource, word(lit))));
        }
        Ok(Prepared { undo: Was { lit }, secret: None, irrevocable: None })
    }

    fn rehearse(&self, before: &Prepared<Was>, on: &Lamps) -> bool {
        on.play(&self.resource, self.on);
        before.undo.lit
    }

    async fn perform(on: &Lamps, by: Permit<'_, Self>) -> Result<bool, Failure> {
        let (Self { resource, on: lit }, Was { lit: was }) = (by.operation(), by.before().undo);
        on.turn(resource, was, *lit, by.authority())?;
        Ok(was)
    }

    async fn state(&self, before: &Prepared<Was>, on: &Lamps) -> Result<State, Failure> {
        let lit = on.is_lit(&self.resource)?;
        Ok(if lit == before.undo.lit { State::Before } else { State::After })
    }

    async fn undo(on: &Lamps, by: Permit<'_, Self>) -> Result<(), Failure> {
        let (Self { resource, on: lit }, Was { lit: was }) = (by.operation(), by.before().undo);
        on.turn(resource, *lit, was, by.authority())
    }

    fn describe_undo(&self, before: &Was) -> String {
        format!("switch it {} again", word(before.lit))
    }
}

/// A lamp, before an offline test and after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lamp {
    path: String,
    lit: bool,
}

impl Offline for Lamps {
    const TABLE: &'static str = KIND;
    type Before = Lamp;
    type After = Lamp;

    fn serve(self, estate: Estate) -> Estate {
        estate.with_per_run(self, |lamps: &Lamps, _: &Scope, mode: Mode| {
            Some(if mode == Mode::Rehearse { lamps.for_rehearsal() } else { lamps.clone() })
        })
    }

    fn path_before(lamp: &Lamp) -> &str {
        &lamp.path
    }

    fn path_after(lamp: &Lamp) -> &str {
        &lamp.path
    }

    fn no_path(path: &str) -> Option<String> {
        Resource::new(KIND, path).err().map(|error| error.to_string())
    }

    async fn make_up(before: &[Lamp], folder: &Path) -> Result<Lamps, Failure> {
        let lines: Vec<_> =
            before.iter().map(|Lamp { path, lit }| format!("{path} {}\n", word(*lit))).collect();
        let file = folder.join("lamps");
        remit_file::write(&file, lines.concat().as_bytes())
            .map_err(|error| Failure::Unavailable(error.to_string()))?;
        Lamps::open(&[LampsConfig { file }], folder).map_err(|error| Failure::Unavailable(error.to_string()))
    }

    async fn look(&self, path: &str) -> Result<Lamp, Failure> {
        let lamp = Resource::new(KIND, path).map_err(|error| Failure::Invalid(error.to_string()))?;
        Ok(Lamp { path: path.to_owned(), lit: self.is_lit(&lamp)? })
    }

    fn words(lamp: &Lamp) -> String {
        word(lamp.lit).to_owned()
    }
}
