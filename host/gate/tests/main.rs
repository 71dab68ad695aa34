//! The tests of the crate from outside. They are one program: what they share is compiled once, and linked once.

mod compile_fail;
mod gate;
mod replay;
mod require;
mod scope;
mod support;
mod undo;
