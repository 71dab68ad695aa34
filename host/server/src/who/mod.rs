//! Who calls: a session that a principal's key opened, and for each call a proof that its holder makes it.

mod caller;
mod dpop;
mod session;

pub(crate) use caller::{Caller, NewSession, open};
pub use dpop::check_proof;
pub(crate) use session::Sessions;
