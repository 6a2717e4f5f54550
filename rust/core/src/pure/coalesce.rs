//! Coalescing arithmetic: splitting received buffers (`UDP_GRO`), and grouping messages to send (`UDP_SEGMENT`).

/// How a coalesced buffer splits into datagrams: all have the same length, except that the last may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Datagrams in the buffer, from 1.
    pub count: usize,
    /// Bytes of each datagram but the last, and so from the start of one to the start of the next.
    pub size: usize,
    /// Bytes of the last.
    pub last: usize,
}

/// Split `length` bytes into datagrams of `segment` bytes. A `segment` of 0 means that nothing was coalesced.
#[inline]
pub fn split(length: usize, segment: usize) -> Split {
    if segment == 0 || segment >= length {
        // An empty datagram counts as one.
        return Split { count: 1, size: length, last: length };
    }
    let count = length.div_ceil(segment);
    Split { count, size: segment, last: length - (count - 1) * segment }
}

/// The limits of one coalesced send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coalescing {
    /// The most messages in one run; 1 turns coalescing off.
    pub max_messages: usize,
    /// The most bytes in one run.
    pub max_bytes: usize,
    /// The length of the longest message that can be coalesced: it must fit the interface without fragmentation.
    pub max_message: usize,
}

impl Coalescing {
    /// Send each message separately.
    pub const OFF: Self = Self { max_messages: 1, max_bytes: 0, max_message: 0 };
}

/// Return how many messages, from the first on, one send can carry: equal sizes, except that the last may be shorter
/// (`UDP_SEGMENT`, udp(7)). The result is at least 1 if there is a message.
pub fn run_length(sizes: impl IntoIterator<Item = usize>, limits: Coalescing) -> usize {
    let mut sizes = sizes.into_iter();
    let Some(first) = sizes.next() else { return 0 };
    if first == 0 || first > limits.max_message {
        return 1;
    }
    let limit = limits.max_messages.min(limits.max_bytes / first).max(1);
    let mut count = 1;
    for size in sizes.take(limit - 1) {
        // An empty segment would disappear in the coalesced buffer.
        if size > first || size == 0 {
            break;
        }
        count += 1;
        if size < first {
            break;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Coalescing = Coalescing { max_messages: 64, max_bytes: 65_507, max_message: 1472 };

    #[test]
    fn split_cuts_at_the_segment_size() {
        let parts = |length, segment| {
            let Split { count, size, last } = split(length, segment);
            (count, size, last)
        };
        assert_eq!(parts(250, 100), (3, 100, 50));
        assert_eq!(parts(200, 100), (2, 100, 100));
        assert_eq!(parts(100, 100), (1, 100, 100));
        assert_eq!(parts(40, 100), (1, 40, 40));
        assert_eq!(parts(40, 0), (1, 40, 40));
        assert_eq!(parts(0, 0), (1, 0, 0));
        assert_eq!(parts(0, 100), (1, 0, 0));
    }

    #[test]
    fn split_keeps_every_byte_at_any_size() {
        for length in [0usize, 1, 99, 100, 101, 65_507, 65_535] {
            for segment in [0, 1, 2, 99, 100, 1472, 65_535] {
                let Split { count, size, last } = split(length, segment);
                assert_eq!((count - 1) * size + last, length);
                assert!(last <= size && (last > 0 || length == 0));
            }
        }
    }

    #[test]
    fn run_length_takes_equal_sizes_and_a_shorter_last_one() {
        let run = |sizes: &[usize]| run_length(sizes.iter().copied(), LIMITS);
        assert_eq!(run(&[]), 0);
        assert_eq!(run(&[100]), 1);
        assert_eq!(run(&[100, 100, 100]), 3);
        assert_eq!(run(&[100, 100, 50, 50]), 3);
        assert_eq!(run(&[100, 101]), 1);
        assert_eq!(run(&[100, 0, 100]), 1);
        assert_eq!(run(&[0, 0]), 1);
        assert_eq!(run(&[1473, 1473]), 1);
    }

    #[test]
    fn run_length_respects_the_limits() {
        assert_eq!(run_length(vec![10; 1000], LIMITS), 64);
        assert_eq!(run_length(vec![1472; 1000], LIMITS), 65_507 / 1472);
        assert_eq!(run_length(vec![10; 1000], Coalescing::OFF), 1);
    }
}
