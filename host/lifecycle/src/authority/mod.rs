//! What principals sign, the rules that decide about it, and the authority that follows. Nothing here opens a home or
//! writes to the journal: `submit` does.

mod budget;
mod covers;
mod documents;
mod grant;
mod holder;
mod hours;
mod identity;
mod policy_request;
mod powers;
mod proof;
mod request_state;
mod rules;
mod sign_rules;
mod signed;
mod spent;
mod unreviewed;

pub use budget::{Budget, Budgets, budgets, waiting_for_room};
pub(crate) use budget::{Room, has_room, room_by_policies, waits};
pub(crate) use covers::covers;
pub use documents::{
    ActionSelector, Approval, Document, Order, OrderKind, Request, RequestedAuthority, Session,
    StandingScope, Trigger,
};
pub(crate) use documents::{MAX_STANDING, MAX_TTL, claimed, may_be_valid};
pub(crate) use grant::{Grant, grant};
pub(crate) use holder::Holder;
pub use hours::Hours;
pub use identity::Identity;
pub(crate) use identity::check_allowed;
pub(crate) use policy_request::{
    policy_request, policy_request_of_rehearsal, policy_request_of_standing_run, policy_request_of_start,
};
pub(crate) use powers::kinds;
pub use powers::{AccessKind, Power, Powers};
pub use proof::check_authority;
pub use request_state::{Given, MissingApprovals, RequestState, Status};
pub use rules::Rules;
pub(crate) use rules::subject;
pub use sign_rules::Ending;
pub(crate) use signed::{
    Accepted, JITTER, check_length, check_reason, digest_of, digests_on_record, refused, refused_named,
};
pub use signed::{Prepared, read_signed};
pub(crate) use spent::Counted;
pub use unreviewed::review_of;
pub(crate) use unreviewed::{check_reviewed, unreviewed_runs};
