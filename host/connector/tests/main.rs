//! The tests of the crate from outside. They are one program: what they share is compiled once, and linked once.

mod common;
mod credentials;
mod description;
mod hostile;
mod lying;
mod replay;
mod secrets;
