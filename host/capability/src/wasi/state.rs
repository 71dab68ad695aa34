//! What WASI keeps of one run.

use ring::hmac;
use wasmtime::component::ResourceTable;

use super::files::Buffers;

/// Handles a guest can hold at once. Enough for every runtime we know; a leak ends in a trap.
const MAX_HANDLES: usize = 256;
/// A line longer than this, in bytes, is logged in pieces, so that the host's buffer stays small.
const MAX_LINE: usize = 4096;

/// The WASI side of one run.
pub(crate) struct State {
    pub(super) table: ResourceTable,
    pub(super) files: Buffers,
    pub(super) random: Stream,
    pub(super) out: Lines,
    pub(super) err: Lines,
}

impl State {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            table,
            files: Buffers::default(),
            random: Stream::new(&seed),
            out: Lines::default(),
            err: Lines::default(),
        }
    }
}

/// Text on its way to the log: what came after the last line feed.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// The next line that `bytes` ends, or piece of a long one; none if the rest of `bytes` waits for its end.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<String> {
        let room = MAX_LINE - self.0.len();
        let feed = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
        let end = feed.unwrap_or(room).min(bytes.len());
        let (line, rest) = bytes.split_at(end);
        self.0.extend_from_slice(line);
        *bytes = rest.strip_prefix(b"\n").unwrap_or(rest);
        (!rest.is_empty()).then(|| self.text())
    }

    /// The last line, which has no line feed; none if there is nothing in it.
    pub(super) fn last(&mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.text())
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned()
    }
}

/// HMAC-SHA-256 in counter mode, keyed by the run's seed (the construction of NIST SP 800-108, 4.1).
pub(super) struct Stream {
    key: hmac::Key,
    block: u64,
    left: Vec<u8>,
}

impl Stream {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed), block: 0, left: Vec::new() }
    }

    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        while self.left.len() < len {
            let mut mac = hmac::Context::with_key(&self.key);
            mac.update(b"remit-guest-random-v1");
            mac.update(&self.block.to_be_bytes());
            self.left.extend_from_slice(mac.sign().as_ref());
            self.block += 1;
        }
        self.left.drain(..len).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Stream;

    #[test]
    fn the_stream_is_the_seeds_however_it_is_cut() {
        let whole = Stream::new(&[7; 32]).take(100);
        let mut cut = Stream::new(&[7; 32]);
        let pieces = [cut.take(1), cut.take(0), cut.take(31), cut.take(33), cut.take(35)].concat();
        assert_eq!(whole, pieces);
        assert_ne!(whole, Stream::new(&[8; 32]).take(100));
    }
}
