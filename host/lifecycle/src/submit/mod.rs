//! What principals do, each in two steps: a document is prepared, and submitted once it is signed. Both steps make the same
//! checks, and a document in the journal is the only way to authority.

mod again;
mod certify;
mod decide;
mod enrol;
mod explain;
mod order;
mod request;
mod session;
mod start;

pub use certify::{Certifying, certify, certify_exchanged};
pub use decide::{Decision, may_approve, prepare_decision, submit_decision, who_may_approve};
pub use enrol::{Enrolled, Enrolment};
pub use explain::{ApprovalState, Explained, Needed, Permission, could, differences, explain, orders};
pub use order::{Ordered, Target, prepare_freeze, prepare_review, prepare_revoke, submit_order};
pub use request::{
    RequestOptions, prepare_run_request, prepare_standing_request, submit_request, submit_request_once,
};
pub use session::{SignedBy, accept_session, passkeys_of, prepare_login, prepare_session, signed_by};
pub use start::{Start, prepare_start, submit_start};
