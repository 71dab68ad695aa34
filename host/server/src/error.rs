//! Why a server does not start.

use miette::Diagnostic;
use remit_file::FileError;

/// Why a server does not start, or stopped.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ServeError {
    /// The home cannot be opened or recovered.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Home(#[from] remit_lifecycle::Error),
    /// A file of the configuration cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// A certificate or its key cannot be used.
    #[error("{file} cannot be used for TLS: {why}")]
    #[diagnostic(
        code(usage::tls),
        help(
            "[server.tls] in remit.toml names PEM files: `certificate` with its chain, and its private `key`"
        )
    )]
    Tls {
        /// The path of the file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// `[server]` is not what a server can be started with.
    #[error("[server] in remit.toml: {why}")]
    #[diagnostic(code(usage::server), help("{help}"))]
    Config {
        /// What is wrong.
        why: String,
        /// What to do.
        help: &'static str,
    },
    /// The client of the tools does not speak the protocol, or went away in the middle of it.
    #[error("the tools could not be served: {0}")]
    #[diagnostic(
        code(failed::tools),
        help("`remit mcp` is started by a client of the Model Context Protocol: docs/agents.md")
    )]
    Tools(String),
    /// The address cannot be listened at.
    #[error("{address} cannot be listened at: {why}")]
    #[diagnostic(
        code(usage::listen),
        help("another program may listen there already: choose another `listen` in [server] of remit.toml")
    )]
    Listen {
        /// The address.
        address: String,
        /// The system's message.
        why: String,
    },
}
