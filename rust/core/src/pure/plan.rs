//! Batching arithmetic: cutting coalesced buffers apart, and gathering messages into runs.

/// How a buffer that the kernel coalesced (`UDP_GRO`) is cut apart: all datagrams have the same length but the last, which
/// may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Datagrams in the buffer, from 1.
    pub count: usize,
    /// Octets of each but the last, and so from the start of one to the start of the next.
    pub size: usize,
    /// Octets of the last.
    pub last: usize,
}

/// Cuts `length` octets into datagrams of `segment`; a `segment` of 0 means that nothing was coalesced.
#[inline]
pub fn cut(length: usize, segment: usize) -> Cut {
    if segment == 0 || segment >= length {
        // An empty datagram is a datagram too.
        return Cut { count: 1, size: length, last: length };
    }
    let count = length.div_ceil(segment);
    Cut { count, size: segment, last: length - (count - 1) * segment }
}

/// What one coalesced send may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coalescing {
    /// Messages in one run; 1 turns coalescing off.
    pub messages: usize,
    /// Octets in one run.
    pub octets: usize,
    /// The longest message that may be coalesced at all: what fits the interface without fragmentation.
    pub longest: usize,
}

impl Coalescing {
    /// Every message by itself.
    pub const OFF: Self = Self { messages: 1, octets: 0, longest: 0 };
}

/// How many messages, from the first on, one send can carry: equal sizes, the last may be shorter
/// (`UDP_SEGMENT`, udp(7)). At least 1 where there is a message.
pub fn run_length(sizes: impl IntoIterator<Item = usize>, limits: Coalescing) -> usize {
    let mut sizes = sizes.into_iter();
    let Some(first) = sizes.next() else { return 0 };
    if first == 0 || first > limits.longest {
        return 1;
    }
    let most = limits.messages.min(limits.octets / first).max(1);
    let mut count = 1;
    for size in sizes.take(most - 1) {
        // An empty segment would vanish in the coalesced buffer.
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

    const LIMITS: Coalescing = Coalescing { messages: 64, octets: 65_507, longest: 1472 };

    #[test]
    fn a_coalesced_buffer_is_cut_at_its_segment_size() {
        let parts = |length, segment| {
            let Cut { count, size, last } = cut(length, segment);
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
    fn cutting_loses_no_octet_at_any_size() {
        for length in [0usize, 1, 99, 100, 101, 65_507, 65_535] {
            for segment in [0, 1, 2, 99, 100, 1472, 65_535] {
                let Cut { count, size, last } = cut(length, segment);
                assert_eq!((count - 1) * size + last, length);
                assert!(last <= size && (last > 0 || length == 0));
            }
        }
    }

    #[test]
    fn a_run_is_of_equal_sizes_with_a_shorter_end() {
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
    fn a_run_keeps_to_the_limits_of_the_kernel() {
        assert_eq!(run_length(vec![10; 1000], LIMITS), 64);
        assert_eq!(run_length(vec![1472; 1000], LIMITS), 65_507 / 1472);
        assert_eq!(run_length(vec![10; 1000], Coalescing::OFF), 1);
    }
}
