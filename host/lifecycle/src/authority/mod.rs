//! Who may do it: principals ask, others approve exactly that, and anyone entitled can stop it. The only way to
//! authority.

mod actor;
mod budget;
mod case;
mod decide;
mod documents;
mod hours;
mod matter;
mod powers;
mod proof;
mod propose;
mod rules;
mod start;
mod tell;
mod voids;

pub use actor::Actor;
pub use budget::{Budget, Budgets, budgets};
pub use case::{Case, Given, Lacks, Status};
pub use decide::{
    Opinion, Target, decide, freeze, import_approval, prepare_approval, review, revoke, who_may_approve,
};
pub(crate) use documents::claimed;
pub use documents::{Approval, Asks, Order, Request, Standing, Trigger, What, Which};
pub use hours::Hours;
pub(crate) use matter::{matter, matter_of_rehearsal};
pub(crate) use powers::kinds;
pub use powers::{Does, Power, Powers};
pub use proof::check_authority;
pub(crate) use propose::unreviewed_runs;
pub use propose::{Terms, request_run, request_standing, waiting_for_room};
pub(crate) use rules::who;
pub use rules::{Identity, Rules};
pub(crate) use start::Grant;
pub use start::{Under, execute, execute_standing};
pub use tell::{Could, Explained, Needed, Said, could, differences, explain, orders};
pub use voids::Ending;
