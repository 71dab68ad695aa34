//! Randomness that is unpredictable to the action's author and repeatable from the journal.

use ring::hmac;

use super::misuse;
use crate::Ctx;
use crate::bindings::wasi::random::{insecure, insecure_seed, random};

/// Bytes of one call, at most: work for the host that the guest's fuel does not pay for.
const MAX_BYTES: u64 = 64 * 1024;

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

    fn bytes(&mut self, call: &'static str, len: u64) -> wasmtime::Result<Vec<u8>> {
        match usize::try_from(len) {
            Ok(len) if len as u64 <= MAX_BYTES => Ok(self.take(len)),
            _ => Err(misuse(call, format!("{len} bytes in one call; the host gives at most {MAX_BYTES}"))),
        }
    }

    fn number(&mut self) -> u64 {
        self.take(8).into_iter().fold(0, |n, byte| (n << 8) | u64::from(byte))
    }
}

impl random::Host for Ctx {
    async fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.wasi.random.bytes("wasi:random/random.get-random-bytes", len)
    }

    async fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.random.number())
    }
}

impl insecure::Host for Ctx {
    async fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.wasi.random.bytes("wasi:random/insecure.get-insecure-random-bytes", len)
    }

    async fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.random.number())
    }
}

impl insecure_seed::Host for Ctx {
    async fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.wasi.random.number(), self.wasi.random.number()))
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
