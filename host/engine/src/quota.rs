//! The most that one component can have of what the engine keeps ready for all, so that each finds room whatever the
//! others are.

/// Core instances in one component. Generous: a component made of Python has 38.
pub(crate) const CORE_INSTANCES: u32 = 48;
/// Linear memories in one component; Python has 2.
pub(crate) const MEMORIES: u32 = 4;
/// Tables in one component; Python has 3.
pub(crate) const TABLES: u32 = 16;
/// Elements in one table. A table that is never filled costs addresses only.
pub(crate) const TABLE_ELEMENTS: usize = 10_000_000;
