//! Batches for the ring's tests.

use crate::net::batch::Batch;
use crate::net::datagram::{DatagramRef, Origin};

fn origin(truncated: bool) -> Origin {
    Origin { sender: ([10, 0, 0, 1], 7).into(), group: None, interface: 3, timestamp_ns: None, ttl: None, truncated }
}

fn made(payloads: &[&[u8]], truncated: bool) -> Batch {
    let mut batch = Batch::compact();
    for data in payloads {
        assert!(batch.append(DatagramRef { data, origin: &origin(truncated) }));
    }
    batch
}

/// Complete datagrams with these payloads.
pub(super) fn batch(payloads: &[&[u8]]) -> Batch {
    made(payloads, false)
}

/// A datagram without its end.
#[cfg(not(loom))]
pub(super) fn truncated(payload: &[u8]) -> Batch {
    made(&[payload], true)
}

/// Pseudo-random numbers that are the same in every run (xorshift64).
#[cfg(not(loom))]
pub(super) struct Random(pub(super) u64);

#[cfg(not(loom))]
impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
