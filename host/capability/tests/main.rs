//! The tests of the crate from outside. They are one program: what they share is compiled once, and linked once.

mod ambient;
mod database_undo;
mod file_undo;
mod files;
mod network_undo;
mod oracle;
mod secrets;
mod support;
mod undo;
