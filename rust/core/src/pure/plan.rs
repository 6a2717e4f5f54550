//! Batching arithmetic: cutting coalesced buffers apart, and gathering messages into runs.

use std::ops::Range;

/// Where the datagrams lie in a buffer that the kernel coalesced (`UDP_GRO`): all of `segment` octets but
/// the last, which may be shorter. A `segment` of 0 means that nothing was coalesced.
pub fn segments(length: usize, segment: usize) -> impl Iterator<Item = Range<usize>> {
    let step = if segment == 0 || segment >= length { length } else { segment };
    // An empty datagram is a datagram too.
    let count = if length == 0 { 1 } else { length.div_ceil(step) };
    (0..count).map(move |i| i * step..((i + 1) * step).min(length))
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
        let cut = |length, segment| segments(length, segment).map(|r| (r.start, r.end)).collect::<Vec<_>>();
        assert_eq!(cut(250, 100), [(0, 100), (100, 200), (200, 250)]);
        assert_eq!(cut(200, 100), [(0, 100), (100, 200)]);
        assert_eq!(cut(100, 100), [(0, 100)]);
        assert_eq!(cut(40, 100), [(0, 40)]);
        assert_eq!(cut(40, 0), [(0, 40)]);
        assert_eq!(cut(0, 0), [(0, 0)]);
        assert_eq!(cut(0, 100), [(0, 0)]);
    }

    #[test]
    fn cutting_loses_no_octet_at_any_size() {
        for length in [0usize, 1, 99, 100, 101, 65_507, 65_535] {
            for segment in [0, 1, 2, 99, 100, 1472, 65_535] {
                let mut end = 0;
                for range in segments(length, segment) {
                    assert_eq!(range.start, end);
                    end = range.end;
                }
                assert_eq!(end, length);
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
