//! What a client is told, or finds.

use miette::Diagnostic;
use serde::Deserialize;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused it or failed, and says why.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The server's address is none, or what is sent there could be read on its way.
    #[error("`{url}` is no address of a server: {why}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: remit_text::AddressError,
    },
    /// The server cannot be reached.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// The URL of the call.
        url: String,
        /// What the system or TLS said.
        why: String,
    },
    /// The answer is not what a Remit server gives.
    #[error("{url} does not answer as a Remit server: {why}")]
    NotRemit {
        /// The URL of the call.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server has another home than before.
    #[error(
        "{url} has another journal than when it was added: {found}, and not {expected} with the same key"
    )]
    OtherHome {
        /// The server's URL.
        url: String,
        /// The name of its journal.
        found: String,
        /// The name that it had.
        expected: String,
    },
    /// Certificates that cannot be read.
    #[error("the certificates cannot be used: {0}")]
    Certificates(String),
    /// The server prepared something else than what it was asked for. It was not signed.
    #[error("the server prepared something else than it was asked for: {0}")]
    Altered(String),
    /// A document cannot be read or signed.
    #[error(transparent)]
    Document(#[from] remit_lifecycle::Error),
    /// Whoever calls has proven who they are in a way that lets them look only.
    #[error("nothing can be signed here: this connection only reads")]
    ReadsOnly,
    /// A value that was to be given sealed is not known here.
    #[error("no value named `{0}` can be given sealed here")]
    NotSealed(String),
    /// A platform gives no ID token.
    #[error("there is no ID token: {why}")]
    NoToken {
        /// What the platform did.
        why: String,
    },
    /// The principal's key cannot be used.
    #[error(transparent)]
    Key(#[from] remit_trust::KeyError),
    /// The system gives no random numbers.
    #[error("this system gives no random numbers")]
    Random,
    /// A value that cannot be serialised: a defect.
    #[error("a call could not be written: {0}")]
    Serialise(#[from] serde_json::Error),
}

/// A problem document (RFC 9457) of a server.
#[derive(Debug, Deserialize)]
pub struct Problem {
    /// The status code.
    pub status: u16,
    /// What happened.
    pub detail: String,
    /// What to do next.
    #[serde(default)]
    pub help: Option<String>,
    /// The error's code, as at the server: `refused::policy`.
    pub code: String,
    /// What can be signed and submitted instead.
    #[serde(default)]
    pub prepared: Option<serde_json::Value>,
}

impl Diagnostic for ClientError {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        match self {
            Self::Problem(problem) => Some(Box::new(&problem.code)),
            Self::Key(error) => error.code(),
            Self::Document(error) => error.code(),
            Self::ReadsOnly => Some(Box::new("refused::reads_only")),
            Self::NotSealed(_) => Some(Box::new("usage::sealed_input")),
            Self::Address { .. } => Some(Box::new("usage::address")),
            Self::Unreachable { .. } => Some(Box::new("failed::unreachable")),
            Self::NotRemit { .. } => Some(Box::new("failed::answer")),
            Self::Altered(_) => Some(Box::new("refused::altered")),
            Self::OtherHome { .. } => Some(Box::new("refused::other_home")),
            Self::NoToken { .. } => Some(Box::new("failed::id_token")),
            Self::Certificates(_) => Some(Box::new("usage::certificates")),
            Self::Random | Self::Serialise(_) => Some(Box::new("failed::other")),
        }
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        match self {
            Self::Problem(problem) => Some(Box::new(problem.help.as_ref()?)),
            Self::Key(error) => error.help(),
            Self::Document(error) => error.help(),
            Self::ReadsOnly => Some(Box::new(
                "start `remit mcp` where your key is: it signs there; or come with a token of an issuer that the rules name",
            )),
            Self::NotSealed(_) => Some(Box::new(
                "a person names the file as they configure the client: `remit mcp --secret-input NAME=@FILE`, on the machine that has it; over /mcp nothing can be sealed, because the server reads no file of a client",
            )),
            Self::Address { .. } => Some(Box::new("give the URL of the server: https://HOST[:PORT]")),
            Self::Unreachable { .. } => Some(Box::new(
                "look whether the server runs (`remit serve`), and whether its URL and certificate are right",
            )),
            Self::NotRemit { .. } => Some(Box::new("look whether the URL is that of a Remit server")),
            Self::Altered(_) => {
                Some(Box::new("nothing was signed; do not trust this server until you know why"))
            }
            Self::OtherHome { .. } => Some(Box::new(
                "nothing was sent; ask who keeps it why, compare the key with theirs, and add the context again",
            )),
            Self::NoToken { .. } => {
                Some(Box::new("look at what the job may do: it needs `permissions: id-token: write`"))
            }
            Self::Certificates(_) => Some(Box::new("name a file of certificates in PEM")),
            Self::Random | Self::Serialise(_) => None,
        }
    }
}
