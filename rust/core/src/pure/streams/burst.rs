//! The most that arrived within a short time, and the memory that a kernel needs to hold it.

/// The length of a burst, in nanoseconds: about as long as a busy program pauses between two reads.
pub const WINDOW_NS: i64 = 10_000_000;

/// What Linux needs for a packet besides its bytes: `struct sk_buff`, `struct skb_shared_info`, and room for headers.
const DESCRIPTION: u64 = 256;
const SHARED_INFO: u64 = 320;
const HEADERS: u64 = 80;
const PAGE: u64 = 4096;

/// Datagrams that arrived together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Their number.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Bytes that they occupy in the kernel.
    pub memory: u64,
}

/// The largest burst of a stream.
#[derive(Debug, Default)]
pub struct Burst {
    since_ns: i64,
    current: Amount,
    peak: Amount,
}

impl Burst {
    /// Account for a datagram. Times that go back start another burst.
    #[inline]
    pub fn add(&mut self, length: usize, time_ns: i64) {
        if !(0..WINDOW_NS).contains(&time_ns.saturating_sub(self.since_ns)) {
            self.since_ns = time_ns;
            self.current = Amount::default();
        }
        self.current.packets += 1;
        self.current.bytes += length as u64;
        self.current.memory += memory(length as u64);
        if self.current.memory > self.peak.memory {
            self.peak = self.current;
        }
    }

    /// The burst that occupied the most memory.
    pub fn peak(&self) -> Amount {
        self.peak
    }
}

/// The memory that Linux charges to a receive buffer for a datagram (`truesize`): small buffers have sizes that are
/// powers of two, and larger ones consist of pages.
fn memory(length: u64) -> u64 {
    let buffer = length + HEADERS + SHARED_INFO;
    DESCRIPTION + if buffer <= PAGE { buffer.next_power_of_two() } else { buffer.next_multiple_of(PAGE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_loopback_interface_of_linux() {
        assert_eq!([0, 100, 1316, 8000].map(memory), [768, 768, 2304, 12_544]);
    }

    #[test]
    fn burst_is_the_largest_amount_within_its_time() {
        let mut burst = Burst::default();
        let arrivals = [(100, 0), (100, 1), (50, WINDOW_NS), (60, WINDOW_NS + 1), (70, 2 * WINDOW_NS - 1), (9, 99)];
        arrivals.into_iter().for_each(|(length, time)| burst.add(length, time + 1_000_000_000));
        assert_eq!(burst.peak(), Amount { packets: 3, bytes: 180, memory: 3 * 768 });
    }

    #[test]
    fn burst_of_times_that_jump_does_not_overflow() {
        let mut burst = Burst::default();
        [i64::MAX, i64::MIN, 0, i64::MIN].into_iter().for_each(|time| burst.add(1, time));
        assert_eq!(burst.peak().packets, 1);
    }
}
