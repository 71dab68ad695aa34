//! One file for each kind of thing that calls are about.

pub(crate) mod actions;
pub(crate) mod docs;
pub(crate) mod home;
pub(crate) mod log;
pub(crate) mod orders;
pub(crate) mod plans;
pub(crate) mod requests;
pub(crate) mod runs;
pub(crate) mod sealed;
pub(crate) mod sessions;
