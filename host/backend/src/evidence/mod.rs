//! Evidence: what there is of a workload before it is contained, in archives that are written once.

mod bucket;
mod collect;
mod config;
mod files;
mod folder;
mod made_up;
mod place;
mod processes;
mod router;

pub use config::EvidenceConfig;
pub use made_up::MadeUpEvidence;
pub use place::{Custody, EvidencePlace, Gathered, Held, KIND, Kept, Part};
pub use router::Evidence;
