//! What is behind the handles that a guest holds.
//!
//! None is an authority: a descriptor holds a name, and each thing done by it is decided by the gate anew.

use std::collections::VecDeque;

use remit_backend::files::Entry;
use remit_gate::Resource;

/// An open file or directory.
#[derive(Clone, Debug)]
pub enum Descriptor {
    /// A directory: its name, nothing more.
    Directory(Resource),
    /// A file: which of the run's buffers holds it.
    File {
        /// The index of the file's buffer.
        buffer: usize,
        /// Whether it was opened for reading.
        read: bool,
        /// Whether it was opened for writing.
        write: bool,
    },
}

/// A directory that is being read.
#[derive(Debug)]
pub struct DirectoryEntryStream {
    pub(super) entries: VecDeque<Entry>,
    /// The bytes of memory that it is counted as.
    pub(super) held: usize,
}

/// Where input comes from.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// Standard input: always at its end.
    Ended,
    /// A place in an open file, from which the stream reads.
    File(Place),
}

/// A place in an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The index of the file's buffer.
    pub buffer: usize,
    /// The position of the next byte; none for the end of the file, wherever that is.
    pub at: Option<u64>,
}

/// Where output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output, which becomes log lines.
    Out,
    /// Standard error, which becomes log lines.
    Err,
    /// A place in an open file, to which the stream writes.
    File(Place),
}

/// Something to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pollable {
    /// Has happened: streams never make a guest wait.
    Ready,
    /// Happens at a moment of the monotonic clock.
    At(u64),
}

/// A terminal. None is ever made.
#[derive(Clone, Copy, Debug)]
pub enum Terminal {}
