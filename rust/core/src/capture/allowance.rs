//! The maximum rate of a recording.

use std::time::Instant;

/// The datagrams that the maximum rate allows. A burst may be as large as what it allows in a second.
#[derive(Debug)]
pub(super) struct Allowance {
    bytes_per_second: f64,
    bytes: f64,
    at: Instant,
}

impl Allowance {
    pub(super) fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second, bytes: bytes_per_second, at: Instant::now() }
    }

    pub(super) fn refill(&mut self) {
        let now = Instant::now();
        let gained = (now - self.at).as_secs_f64() * self.bytes_per_second;
        (self.bytes, self.at) = ((self.bytes + gained).min(self.bytes_per_second), now);
    }

    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let is_enough = self.bytes >= bytes as f64;
        if is_enough {
            self.bytes -= bytes as f64;
        }
        is_enough
    }
}
