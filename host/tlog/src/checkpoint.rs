//! The text a log signs: <https://c2sp.org/tlog-checkpoint>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Hash;

/// The state of a log at one moment, as the log states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log: one line, not empty, without control characters.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// Further signed lines, each not empty and without control characters. Readers may ignore them, and some witnesses refuse
    /// to sign them.
    pub extensions: Vec<String>,
}

/// Text that is not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("this is not a checkpoint: {0}")]
#[diagnostic(
    code(integrity::checkpoint),
    help("expected the text form of c2sp.org/tlog-checkpoint, as `remit audit` prints it")
)]
pub struct CheckpointError(&'static str);

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads the text. The content of extension lines is not checked, as the specification says.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError("it does not end in a newline"))?;
        let mut lines = body.split('\n');
        let origin = lines.next().filter(|l| !l.is_empty()).ok_or(CheckpointError("it names no log"))?;
        let size = lines.next().ok_or(CheckpointError("it has no size"))?;
        if size.is_empty()
            || !size.bytes().all(|b| b.is_ascii_digit())
            || (size.len() > 1 && size.starts_with('0'))
        {
            return Err(CheckpointError("its size is not a number"));
        }
        let size = size.parse().map_err(|_| CheckpointError("its size is too large"))?;
        let root = lines.next().ok_or(CheckpointError("it has no root"))?;
        let root = STANDARD.decode(root).map_err(|_| CheckpointError("its root is not base64"))?;
        let root = root.try_into().map_err(|_| CheckpointError("its root is not 32 bytes"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(CheckpointError("it has an empty line"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}
