//! The table: every interface an action may import, in one place.

use remit_gate::{AnyOperation, Effect, Of, Scope, ScopeError};
use wasmtime::component::Linker;

use crate::bindings::{remit, wasi};
use crate::ctx::Run;
use crate::{Ctx, files, host, secrets, wasi as inert};

/// One interface that the host offers.
pub struct Interface {
    /// Its name without the version: `remit:secrets/rotate`.
    pub name: &'static str,
    /// The version the host implements.
    pub version: &'static str,
    /// Of which kind the resources are that a scope grants it on. One without is ambient: it reaches nothing but the
    /// run itself, and no scope names it.
    pub kind: Option<&'static str>,
    /// The strongest effect of its operations.
    pub effect: Effect,
    /// What granting it means, in one plain sentence for an operator.
    pub risk: &'static str,
    /// Its operations. The gate never sees any other function of it, because no other reaches anything.
    pub operations: &'static [&'static dyn AnyOperation],
}

impl Interface {
    /// `NAME@VERSION`, as a component imports it.
    #[must_use]
    pub fn import_name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Whether a scope must name it.
    #[must_use]
    pub fn granted_by_scope(&self) -> bool {
        self.kind.is_some()
    }

    /// Whether it is a part of WASI.
    #[must_use]
    pub fn is_wasi(&self) -> bool {
        self.name.starts_with("wasi:")
    }
}

impl std::fmt::Debug for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Interface({}@{})", self.name, self.version)
    }
}

/// Makes the rows and, from the same list, the function that links one.
macro_rules! table {
    ($(
        $name:literal $version:literal $reach:ident $effect:ident [$($operation:ty),*]
        by $($module:ident)::+ : $risk:literal;
    )*) => {
        static TABLE: &[Interface] = &[$(
            Interface {
                name: $name,
                version: $version,
                kind: table!(@$reach),
                effect: Effect::$effect,
                risk: $risk,
                operations: &[$(&Of::<$operation>::NEW),*],
            },
        )*];

        impl Interface {
            /// Lets the components of `linker` import this interface, and only this one.
            pub fn link<T: AsMut<Ctx> + Send + 'static>(&self, linker: &mut Linker<T>) -> wasmtime::Result<()> {
                match self.name {
                    $($name => $($module)::+::add_to_linker::<T, Run>(linker, T::as_mut),)*
                    other => Err(wasmtime::Error::msg(format!("{other} is not in the table"))),
                }
            }
        }
    };
    (@secret) => { Some(secrets::KIND) };
    (@ambient) => { None };
}

table! {
    "remit:secrets/inspect" "0.1.0" secret Observe [secrets::Metadata] by remit::secrets::inspect:
        "sees which versions a secret has and when they were made, never a value";
    "remit:secrets/rotate" "0.1.0" secret Change [secrets::Rotate] by remit::secrets::rotate:
        "replaces a secret's value by a new one it never sees; whoever still uses the old value is locked out";
    "remit:secrets/disable" "0.1.0" secret Change [secrets::Disable] by remit::secrets::disable:
        "makes a version of a secret unreadable until it is enabled again";
    "remit:secrets/destroy" "0.1.0" secret Irrevocable [secrets::Destroy] by remit::secrets::destroy:
        "destroys a version of a secret for good; nothing brings it back";
    "remit:secrets/reveal" "0.1.0" secret Disclose [secrets::Reveal] by remit::secrets::reveal:
        "reads a secret's value; from then on the action knows it";
    "remit:types/errors" "0.1.0" ambient Observe [] by remit::types::errors:
        "names the errors of the other interfaces; can do nothing";

    "remit:host/log" "0.1.0" ambient Observe [host::Write] by remit::host::log:
        "writes lines into the run's own journal";
    "remit:host/run" "0.1.0" ambient Observe [host::ReadFacts] by remit::host::run:
        "knows its run's identifier, start and reason";

    "wasi:cli/environment" "0.2.12" ambient Observe [] by wasi::cli::environment:
        "sees an empty environment: no variables, no arguments, no directory";
    "wasi:cli/exit" "0.2.12" ambient Observe [] by wasi::cli::exit:
        "can end its own run";
    "wasi:cli/stdin" "0.2.12" ambient Observe [] by wasi::cli::stdin:
        "reads a standard input that is always at its end";
    "wasi:cli/stdout" "0.2.12" ambient Observe [] by wasi::cli::stdout:
        "prints into the run's own log";
    "wasi:cli/stderr" "0.2.12" ambient Observe [] by wasi::cli::stderr:
        "prints into the run's own log";
    "wasi:cli/terminal-input" "0.2.12" ambient Observe [] by wasi::cli::terminal_input:
        "asks about a terminal; there is none";
    "wasi:cli/terminal-output" "0.2.12" ambient Observe [] by wasi::cli::terminal_output:
        "asks about a terminal; there is none";
    "wasi:cli/terminal-stdin" "0.2.12" ambient Observe [] by wasi::cli::terminal_stdin:
        "asks about a terminal; there is none";
    "wasi:cli/terminal-stdout" "0.2.12" ambient Observe [] by wasi::cli::terminal_stdout:
        "asks about a terminal; there is none";
    "wasi:cli/terminal-stderr" "0.2.12" ambient Observe [] by wasi::cli::terminal_stderr:
        "asks about a terminal; there is none";
    "wasi:clocks/monotonic-clock" "0.2.12" ambient Observe [inert::MonotonicNow] by wasi::clocks::monotonic_clock:
        "measures time; each look is recorded";
    "wasi:clocks/wall-clock" "0.2.12" ambient Observe [inert::WallNow] by wasi::clocks::wall_clock:
        "knows the date and time; each look is recorded";
    "wasi:filesystem/preopens" "0.2.12" ambient Observe [files::GetDirectories] by wasi::filesystem::preopens:
        "asks which directories it may use; there are none but those that a scope grants";
    "wasi:filesystem/types" "0.2.12" ambient Observe [] by wasi::filesystem::types:
        "uses files that a scope grants by remit:files/read and remit:files/write; otherwise there are none";
    "wasi:io/error" "0.2.12" ambient Observe [] by wasi::io::error:
        "reads error texts of its own streams";
    "wasi:io/poll" "0.2.12" ambient Observe [inert::Poll, inert::Ready] by wasi::io::poll:
        "waits, within its time limit; each wait is recorded";
    "wasi:io/streams" "0.2.12" ambient Observe [] by wasi::io::streams:
        "uses its standard streams, which end in the run's own log";
    "wasi:random/insecure" "0.2.12" ambient Observe [] by wasi::random::insecure:
        "gets random numbers that the run's journal can repeat";
    "wasi:random/insecure-seed" "0.2.12" ambient Observe [] by wasi::random::insecure_seed:
        "gets random numbers that the run's journal can repeat";
    "wasi:random/random" "0.2.12" ambient Observe [] by wasi::random::random:
        "gets random numbers that the run's journal can repeat";
}

/// What a scope can grant and no component imports: see [`powers`].
static POWERS: &[Interface] = &[
    Interface {
        name: files::READ,
        version: "0.1.0",
        kind: Some(remit_backend::files::KIND),
        effect: Effect::Observe,
        risk: "reads files and lists directories; from then on the action knows what is in them",
        operations: &[&Of::<files::Look>::NEW, &Of::<files::Read>::NEW, &Of::<files::List>::NEW],
    },
    Interface {
        name: files::WRITE,
        version: "0.1.0",
        kind: Some(remit_backend::files::KIND),
        effect: Effect::Change,
        risk: "replaces, makes and removes files and directories; whoever reads them follows the new content",
        operations: &[
            &Of::<files::Find>::NEW,
            &Of::<files::Put>::NEW,
            &Of::<files::Remove>::NEW,
            &Of::<files::MakeDirectory>::NEW,
            &Of::<files::RemoveDirectory>::NEW,
        ],
    },
];

/// The powers a scope can grant to a component that imports `interface`, where that interface alone has
/// none: an action is let in without them, and can then do nothing through it.
#[must_use]
pub fn powers(interface: &str) -> &'static [Interface] {
    if interface == "wasi:filesystem/types" { POWERS } else { &[] }
}

/// Every interface the host offers, the granted ones first.
#[must_use]
pub fn interfaces() -> &'static [Interface] {
    TABLE
}

/// The interface that a component's import `NAME@VERSION` means, if the host offers it.
///
/// Our own versions must be equal: wasmtime's linker would bind any compatible one, and an operator
/// grants the one that was inspected. WASI promises that every 0.2.x means the same.
#[must_use]
pub fn find(import: &str) -> Option<&'static Interface> {
    let (name, version) = import.split_once('@')?;
    let found = TABLE.iter().find(|interface| interface.name == name)?;
    let same = version == found.version
        || found.is_wasi()
            && version
                .strip_prefix("0.2.")
                .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()));
    same.then_some(found)
}

/// Whether each rule of a scope allows something that this host has, on resources that it can have to do with. A rule
/// that never applies is a mistake that somebody counts on.
pub fn check(scope: &Scope) -> Result<(), ScopeError> {
    let wrong = |detail: String| Err(ScopeError::Value { file: "the scope".to_owned(), detail });
    for allow in &scope.allow {
        let (name, _) = allow.interface();
        let Some(kind) = TABLE.iter().chain(POWERS).find(|known| known.name == name).and_then(|i| i.kind)
        else {
            let known: Vec<&str> =
                TABLE.iter().chain(POWERS).filter(|known| known.granted_by_scope()).map(|i| i.name).collect();
            return wrong(format!(
                "{name} is nothing that a scope grants; it can grant {}",
                known.join(", ")
            ));
        };
        if let Some(pattern) = allow.resources.iter().find(|pattern| pattern.kind() != kind) {
            return wrong(format!(
                "{name} has to do with resources of the kind `{kind}:`, not with {pattern}"
            ));
        }
    }
    Ok(())
}

/// The operation that the journal knows as `name`.
#[must_use]
pub fn operation(name: &str) -> Option<&'static dyn AnyOperation> {
    TABLE
        .iter()
        .chain(POWERS)
        .flat_map(|interface| interface.operations)
        .copied()
        .find(|operation| operation.name() == name)
}
