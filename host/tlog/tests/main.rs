//! The tests of the crate from outside. They are one program: what they share is compiled once, and linked once.

mod merkle;
mod notes;
mod support;
mod tiles;
mod vectors;
mod witness;
