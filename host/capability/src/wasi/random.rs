//! Randomness that is unpredictable to the action's author and repeatable from the journal.

use super::error::misuse;
use super::state::Stream;
use crate::Ctx;
use crate::bindings::wasi::random::{insecure, insecure_seed, random};

/// Bytes of one call, at most: work for the host that the guest's fuel does not pay for.
const MAX_BYTES: u64 = 64 * 1024;

impl Stream {
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
