//! Who may do it: principals ask, others approve exactly that, and anyone entitled can stop it. The only way to
//! authority.

mod actor;
mod again;
mod budget;
mod covers;
mod decide;
mod documents;
mod grant;
mod hours;
mod identity;
mod matter;
mod order;
mod powers;
mod proof;
mod propose;
mod request_state;
mod rules;
mod signed;
mod spent;
mod start;
mod start_matter;
mod tell;
mod turn;
mod voids;

pub use actor::Actor;
pub(crate) use actor::Said as SaidBy;
pub(crate) use actor::prepare_order;
pub use budget::{Budget, Budgets, budgets};
pub use decide::{Decision, prepare_decision, submit_decision, who_may_approve};
pub(crate) use documents::claimed;
pub use documents::{Approval, Asks, Document, Order, Request, StandingScope, Trigger, What, Which};
pub(crate) use grant::Grant;
pub use hours::Hours;
pub use identity::Identity;
pub(crate) use matter::{matter, matter_of_rehearsal};
pub use order::{Ordered, Target, prepare_freeze, prepare_review, prepare_revoke, submit_order};
pub(crate) use powers::kinds;
pub use powers::{Does, Power, Powers};
pub use proof::check_authority;
pub(crate) use propose::unreviewed_runs;
pub use propose::{
    RequestOptions, prepare_run_request, prepare_standing_request, submit_request, waiting_for_room,
};
pub use request_state::{Given, Lacks, RequestState, Status};
pub use rules::Rules;
pub(crate) use rules::who;
pub use signed::{Prepared, read_signed};
pub use start::{Start, prepare_start, submit_start};
pub use tell::{Could, Explained, Needed, Said, could, differences, explain, orders};
pub use voids::Ending;
