//! Write connectors in Rust: the component behind an interface, for one system with an HTTP API.
//!
//! A connector implements [`Connector`] and names itself in [`connector!`](crate::connector!). What each of its functions may send
//! is in `connector.toml`; the host refuses everything else, and adds the credential, which a connector never sees.
//!
//! The five functions are called one by one, each in a fresh instance: nothing is kept between them but what
//! [`Connector::prepare`] returned, which is in the journal.

// Generated.
#[rustfmt::skip]
mod domains;
mod export;
mod http;
pub mod time;
pub mod wide;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::expect_used,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "generated code"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod bindings;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use crate::bindings::remit::types::errors::Failure;
pub use bindings::exports::remit::connector::operations::Live;
pub use domains::*;
pub use http::{Request, Response};

#[doc(hidden)]
pub use export::{observe, perform, prepare, state, undo};

/// What a function of a connector answers.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A connector. See `remit:connector/operations` for what each function is called for.
pub trait Connector {
    /// The calls that it serves: those of one package, such as [`tokens::Call`]; or an enum of several, with
    /// `#[serde(untagged)]`.
    type Asked: DeserializeOwned;
    /// The table `config` of the operator's entry; `()` does not read it.
    type Config: DeserializeOwned;
    /// What a preparation writes down for the other functions. It is in the journal, and in the plan: no secret.
    type Undo: Serialize + DeserializeOwned;

    /// Reads. The answer is what the function returns.
    fn observe(call: &Call<Self>) -> Result<Value>;

    /// Reads what a change needs, and decides all that it will do.
    fn prepare(call: &Call<Self>) -> Result<Prepared<Self::Undo>>;

    /// Makes the change, by one request. The answer is what the function returns.
    fn perform(call: &Call<Self>, prepared: &Prepared<Self::Undo>) -> Result<Value>;

    /// Compares the live state with what was prepared. `got` is what `perform` returned, if anybody knows it.
    fn state(call: &Call<Self>, prepared: &Prepared<Self::Undo>, got: Option<&Value>) -> Result<Live>;

    /// Takes the change back, by one request. A function that is always irrevocable has nothing to do here: the host does not
    /// ask for it.
    fn undo(call: &Call<Self>, prepared: &Prepared<Self::Undo>, got: Option<&Value>) -> Result<()>;
}

/// One call.
pub struct Call<C: Connector + ?Sized> {
    /// The function and its arguments.
    pub asked: C::Asked,
    /// The table `config` of the operator's entry.
    pub config: C::Config,
    /// In a rehearsal, the changes that were simulated before this call, in order: the answer is to be as if they had been made.
    pub simulated: Vec<Simulated<C>>,
}

/// A change that was simulated.
pub struct Simulated<C: Connector + ?Sized> {
    /// The function and its arguments.
    pub asked: C::Asked,
    /// What its preparation wrote down.
    pub undo: C::Undo,
}

/// What a preparation found and decided.
#[derive(Debug)]
pub struct Prepared<U> {
    /// What the other functions need to know.
    pub undo: U,
    /// What they need to know and is secret: the host keeps it sealed.
    pub secret: Option<String>,
    /// Why this call cannot be taken back; none if it can.
    pub irrevocable: Option<String>,
    /// What `undo` would do, for the plan: `enable user 42 again`.
    pub describe: String,
    /// What a rehearsal returns in place of `perform`.
    pub would_return: Value,
}

impl<U> Prepared<U> {
    /// A change that can be taken back; the function returns nothing.
    pub fn new(undo: U, describe: impl Into<String>) -> Self {
        let describe = describe.into();
        Self { undo, secret: None, irrevocable: None, describe, would_return: Value::Null }
    }

    /// With what a rehearsal returns in place of `perform`.
    ///
    /// # Panics
    /// If it cannot be written as JSON.
    #[must_use]
    pub fn returning(mut self, answer: &impl Serialize) -> Self {
        self.would_return = json(answer);
        self
    }

    /// Says that this call cannot be taken back, and why.
    #[must_use]
    pub fn irrevocable(mut self, because: impl Into<String>) -> Self {
        self.irrevocable = Some(because.into());
        self
    }
}

/// An answer as JSON.
///
/// # Panics
/// If it cannot be written as JSON: a map whose keys are no texts.
pub fn json(answer: &impl Serialize) -> Value {
    #[expect(clippy::expect_used, reason = "the types of answers are structs")]
    serde_json::to_value(answer).expect("an answer is JSON")
}

/// The path of a resource, taken apart: the name of the instance, and the segments after it.
///
/// # Errors
/// `invalid`, if there is another number of segments.
pub fn segments<const N: usize>(path: &str) -> Result<(&str, [&str; N])> {
    let mut all = path.split('/');
    let instance = all.next().unwrap_or_default();
    let rest: Vec<&str> = all.collect();
    let found = rest.len();
    let rest = rest.try_into();
    rest.map(|rest| (instance, rest)).map_err(|_| {
        Failure::Invalid(format!("`{path}` has {found} segments after the name of the system, not {N}"))
    })
}

/// Makes a type the connector of this crate. Call it once, at the top of the crate.
#[macro_export]
macro_rules! connector {
    ($connector:ty) => {
        #[doc(hidden)]
        pub struct RemitConnector;

        const _: () = {
            use $crate::connector as remit;
            use $crate::connector::bindings::exports::remit::connector::operations as wit;

            impl wit::Guest for RemitConnector {
                fn observe(call: wit::Call) -> ::std::result::Result<::std::string::String, remit::Failure> {
                    remit::observe::<$connector>(call)
                }
                fn prepare(call: wit::Call) -> ::std::result::Result<wit::Prepared, remit::Failure> {
                    remit::prepare::<$connector>(call)
                }
                fn perform(
                    call: wit::Call,
                    prepared: wit::Prepared,
                ) -> ::std::result::Result<::std::string::String, remit::Failure> {
                    remit::perform::<$connector>(call, prepared)
                }
                fn state(
                    call: wit::Call,
                    prepared: wit::Prepared,
                    got: ::std::option::Option<::std::string::String>,
                ) -> ::std::result::Result<wit::Live, remit::Failure> {
                    remit::state::<$connector>(call, prepared, got)
                }
                fn undo(
                    call: wit::Call,
                    prepared: wit::Prepared,
                    got: ::std::option::Option<::std::string::String>,
                ) -> ::std::result::Result<(), remit::Failure> {
                    remit::undo::<$connector>(call, prepared, got)
                }
            }
        };

        // The export names are no symbols that a native linker takes.
        #[cfg(target_arch = "wasm32")]
        $crate::connector::bindings::export!(RemitConnector with_types_in $crate::connector::bindings);
    };
}
