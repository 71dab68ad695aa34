//! Lines for the journal of the run. They count against the scope's `log_bytes`; write no secrets.

use crate::bindings::remit::host::log::{Level, write};

/// A detail for whoever examines the action.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message.as_ref());
}

/// Something the operator may want to know.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message.as_ref());
}

/// Something the operator should look at.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message.as_ref());
}

/// Something that went wrong.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message.as_ref());
}
