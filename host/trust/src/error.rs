//! What can be wrong with keys, signatures and sealed data.

use std::path::PathBuf;

use miette::Diagnostic;

/// A key cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] remit_file::FileError),
    /// The file is not a key that Remit can use.
    #[error("{shown} is not a usable key: {why}")]
    #[diagnostic(
        code(usage::key),
        help(
            "principals sign with ECDSA P-256 or Ed25519, in PEM or in OpenSSH's form, publishers with ECDSA P-256 in PEM; `remit keys new --out NAME` makes a pair"
        )
    )]
    Unusable {
        /// The file, as errors show it.
        shown: String,
        /// What is wrong with it.
        why: String,
    },
    /// A private file is readable by others.
    #[error("{} can be read by others (mode {mode:04o})", path.display())]
    #[diagnostic(code(usage::key_mode), help("chmod 600 {}", path.display()))]
    Exposed {
        /// The path of the file.
        path: PathBuf,
        /// The permission bits of the file.
        mode: u32,
    },
    /// The ssh-agent did not sign.
    #[error("the ssh-agent did not sign: {why}")]
    #[diagnostic(code(usage::agent), help("{help}"))]
    Agent {
        /// Why the agent did not sign.
        why: String,
        /// What a person can do about it.
        help: &'static str,
    },
    /// The system's random source failed.
    #[error("the system gave no randomness")]
    #[diagnostic(code(failed::random), help("try again; a machine without entropy cannot make keys"))]
    Random,
}

/// A signature is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum SignatureError {
    /// The signature is empty.
    #[error("the signature is empty")]
    #[diagnostic(
        code(refused::signature_missing),
        help(
            "sign it again: an action with `remit sign FILE --key NAME.key`, a document as docs/authority.md has it"
        )
    )]
    Missing,
    /// The bytes are not a signature.
    #[error("the signature is malformed: {0}")]
    #[diagnostic(
        code(refused::signature_malformed),
        help(
            "of a file: an ECDSA signature in DER, bare or in base64, as `remit sign` and cosign write it; of a document: that, or one by `ssh-keygen -Y sign`"
        )
    )]
    Malformed(String),
    /// No trusted key made this signature over these bytes.
    #[error("no trusted key made this signature over these bytes")]
    #[diagnostic(
        code(refused::signature),
        help(
            "either it changed after it was signed, or its signer is not trusted here; compare digests with whoever signed it; trusted publishers and administrators are in remit.toml under [trust], principals in principals.toml"
        )
    )]
    Untrusted,
    /// An SSH key made the signature, for another purpose (namespace).
    #[error("the signature was made for `{found}`, not for `remit`")]
    #[diagnostic(code(refused::namespace), help("sign with `ssh-keygen -Y sign -n remit`"))]
    Namespace {
        /// The namespace of the signature.
        found: String,
    },
    /// A hardware key made the signature without a touch.
    #[error("the hardware key signed without a touch: nobody was present")]
    #[diagnostic(code(refused::presence), help("use a key that requires a touch"))]
    NobodyPresent,
    /// A passkey made the signature, and not as it must.
    #[error("the passkey's signature is not accepted: {0}")]
    #[diagnostic(
        code(refused::passkey),
        help(
            "sign again on the console's own page, which [passkeys] of principals.toml names, with a device that asks for a PIN, a finger or a face"
        )
    )]
    Passkey(String),
    /// The envelope is for another kind of document.
    #[error("the signed document is a `{found}`, expected a `{expected}`")]
    #[diagnostic(code(refused::payload_type), help("pass the right kind of file"))]
    PayloadType {
        /// The type of the document.
        found: String,
        /// The type that was expected.
        expected: String,
    },
}

/// Sealed data cannot be opened, or data cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum SealError {
    /// The key or the context is wrong, or the data was changed.
    #[error("sealed data does not open: it was changed, moved from its place, or sealed under another key")]
    #[diagnostic(
        code(integrity::sealed),
        help(
            "restore the seal key this data was written under; `remit audit verify` tells whether the journal was changed"
        )
    )]
    Broken,
    /// The cipher or the random source failed.
    #[error("the data could not be sealed")]
    #[diagnostic(code(failed::seal), help("try again; nothing was changed"))]
    Failed,
}
