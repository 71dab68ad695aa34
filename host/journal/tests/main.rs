//! The tests of the crate from outside. They are one program: what they share is compiled once, and linked once.

mod authority;
mod clock;
mod due;
mod durability;
mod passkeys;
mod proof;
mod schema;
mod support;
mod tamper;
