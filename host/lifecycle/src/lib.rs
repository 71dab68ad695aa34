//! The life of a repair: plan, request, approve, run, verify, revert. Everything that a front end needs is here, so that a
//! front end only parses and prints.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod actor;
mod authority;
mod changes;
mod claim;
mod class;
mod components;
mod config;
pub mod connectors;
mod contain;
mod doctor;
mod error;
mod expire;
mod export;
mod home;
mod host;
mod init;
mod input;
mod inspect;
mod inspect_connector;
mod issuer_keys;
mod keyring;
mod lists;
mod local;
mod notify;
mod open_requests;
mod own_words;
mod plan;
mod recover;
mod remind;
mod replay;
mod request_words;
mod revert;
mod run;
mod sealed;
mod setup;
mod status;
mod submit;
#[cfg(test)]
mod testing;
mod time;
mod timeline;
mod turn;
mod views;
mod witness;

pub use actor::Actor;
pub use authority::{
    AccessKind, ActionSelector, Approval, Budget, Budgets, Document, Ending, Given, Hours, Identity,
    MissingApprovals, Order, OrderKind, Power, Powers, Prepared, Request, RequestState, RequestedAuthority,
    Rules, Session, StandingScope, Status, Trigger, budgets, check_authority, read_signed, review_of,
    waiting_for_room,
};
pub use class::Class;
pub use components::install;
pub use config::{Config, RateConfig, ServerConfig, TlsConfig, TracesConfig, Trust, WitnessConfig};
pub use contain::{extend, prepare_extend};
pub use doctor::{Finding, doctor};
pub use error::Error;
pub use expire::{expire_undo, prepare_expire_undo};
pub use export::{export_ocsf, export_records};
pub use home::{Home, log_key};
pub use host::Host;
pub use init::{InitOptions, InitPrincipal, Initialised};
pub use input::Input;
pub use inspect::{DiffView, ImportView, InspectView, OfferView, PublisherState, PublisherView};
pub use inspect_connector::{ConnectorView, FunctionView, Looked, connector_diff};
pub use keyring::rekey;
pub use lists::{RequestFilter, RunFilter, UNFINISHED};
pub use local::{KeyHolder, Under};
pub use notify::{Delivery, expire, give_up, notify, prepare_give_up};
pub use own_words::{OwnWords, own_words};
pub use plan::{PlanFile, rehearse};
pub use recover::{Recovered, Recovery, Verdict, prepare_resolve, recover, resolve};
pub use remind::remind;
pub use replay::{Replayed, replay};
pub use revert::{Reverted, Step as RevertStep, prepare_revert, preview_revert, revert};
pub use run::{Finished, Started};
pub use sealed::keep_sealed_input;
pub use setup::Setup;
pub use status::{Ends, Frozen, HostStatus, Open, frozen, status};
pub use submit::{
    ApprovalState, Certifying, Decision, Enrolled, Enrolment, Explained, Needed, Ordered, Permission,
    RequestOptions, SignedBy, Start, Target, accept_session, certify, certify_exchanged, could, differences,
    explain, may_approve, orders, passkeys_of, prepare_decision, prepare_freeze, prepare_login,
    prepare_review, prepare_revoke, prepare_run_request, prepare_session, prepare_standing_request,
    prepare_start, signed_by, submit_decision, submit_order, submit_request, submit_request_once,
    submit_start, who_may_approve,
};
pub use time::{down_to, second};
pub use timeline::{
    ChangeState, Changed, Covers, Line, LogLine, Reached, Refused, Resolution, RunAuthority, Seen, Timeline,
    Undone, Words, operation_words, undo_words,
};
pub use views::{
    DeliveryView, ExtendedView, FrozenView, PrincipalView, RequestView, RequestsView, RevertView,
    ReviewedView, RevokedView, RulesView, RunView, SignedRulesView, StoryView,
};
pub use witness::{Witnessed, ask_witnesses};
