//! Files of the host: directories that the configuration names, each reached through a handle of its own
//! (cap-std), so that no path leads out of it.

mod attributes;
mod change;
mod config;
#[cfg(test)]
mod faults;
mod limits;
mod look;
mod node;
mod reload;
mod roots;
mod sys;

pub use attributes::Attributes;
pub use change::Expected;
pub use config::FilesConfig;
pub use limits::{KIND, MAX_FILE, MAX_RUN, MAX_XATTRS, Odd, TEMPORARY};
pub use node::{Entry, FileNode, Found, Is, Likeness, Node, Thing};
pub use reload::ReloadConfig;
pub use roots::Files;
