//! The tests of the crate from outside. They are one program: what they share is compiled once, and linked once.

mod common;
mod files;
mod forms;
mod id_token;
mod issuers;
mod jws;
mod openssl;
mod passkey;
mod principals;
mod signatures;
mod ssh;
