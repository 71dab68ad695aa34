//! The kinds of files that are read.

/// The purpose that a file is read for. It determines the name in errors, the maximum size, and whether it may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An action, or another WebAssembly file.
    Component,
    /// A public or private key.
    Key,
    /// A detached signature.
    Signature,
    /// A token, or another short secret.
    Secret,
    /// A value to store as a secret.
    Given,
    /// Certificates in PEM form.
    Certificates,
    /// The configuration of a home, `remit.toml`.
    Configuration,
    /// The principals of a home, `principals.toml`.
    Principals,
    /// A file of policies.
    Policy,
    /// Rules that an administrator signed.
    Rules,
    /// A table of cases that test policies.
    Cases,
    /// A scope, in TOML.
    Scope,
    /// The input of an action.
    Input,
    /// The plan of a rehearsal, as JSON.
    Plan,
    /// A document that is to be signed on another machine, or was.
    Approval,
    /// A proof from a journal.
    Proof,
    /// A signed checkpoint.
    Checkpoint,
    /// A tile of a published log.
    Tile,
    /// A test of an action.
    Fixture,
    /// A file of an action's project: its manifest, a source.
    Source,
    /// A key of the host's own: 32 bytes.
    Seed,
    /// A file that Remit keeps for itself.
    Kept,
    /// A file that Remit writes for a person.
    Output,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl Kind {
    /// The name with its article: `a key`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Component => "a component",
            Self::Key => "a key",
            Self::Signature => "a signature",
            Self::Secret => "a secret",
            Self::Given => "a value",
            Self::Certificates => "a file of certificates",
            Self::Configuration => "a configuration",
            Self::Principals => "a list of principals",
            Self::Policy => "a policy",
            Self::Rules => "a signature over the rules",
            Self::Cases => "a table of cases",
            Self::Scope => "a scope",
            Self::Input => "an input",
            Self::Plan => "a plan",
            Self::Approval => "an approval",
            Self::Proof => "a proof",
            Self::Checkpoint => "a checkpoint",
            Self::Tile => "a tile of a log",
            Self::Fixture => "a test of an action",
            Self::Source => "a file of a project",
            Self::Seed => "a key of this host",
            Self::Kept => "a file of the home",
            Self::Output => "an output",
        }
    }

    /// The maximum size in bytes.
    #[must_use]
    pub const fn limit(self) -> u64 {
        match self {
            Self::Component => 128 * MIB,
            Self::Key | Self::Seed | Self::Signature | Self::Secret => 64 * KIB,
            Self::Given
            | Self::Certificates
            | Self::Configuration
            | Self::Principals
            | Self::Policy
            | Self::Rules
            | Self::Cases
            | Self::Scope
            | Self::Checkpoint => MIB,
            Self::Input | Self::Plan | Self::Approval | Self::Fixture => 16 * MIB,
            Self::Proof | Self::Tile | Self::Source | Self::Kept | Self::Output => 256 * MIB,
        }
    }

    /// Whether an empty file is certainly a mistake.
    pub(crate) fn needs_content(self) -> bool {
        match self {
            Self::Component
            | Self::Key
            | Self::Signature
            | Self::Secret
            | Self::Certificates
            | Self::Configuration
            | Self::Rules
            | Self::Input
            | Self::Plan
            | Self::Approval
            | Self::Proof
            | Self::Checkpoint => true,
            Self::Given
            | Self::Principals
            | Self::Policy
            | Self::Cases
            | Self::Scope
            | Self::Tile
            | Self::Fixture
            | Self::Source
            | Self::Seed
            | Self::Kept
            | Self::Output => false,
        }
    }
}
