//! The UDP datagrams of iperf 2 (from version 2.0.10 on): a number of 64 bits and a time, in network byte order.
//!
//! The number is in two halves: the lower one first, then seconds and microseconds, then the upper half. The last
//! datagram of a test has the next number, but negative.

use super::numbered::Header;
use crate::pure::bytes::bytes_at;

/// A stream is recognized if its first number is lower than this, and its clock is off by less than this.
const MAX_FIRST: u64 = 1 << 40;
const MAX_CLOCK_DIFFERENCE_NS: i128 = 86_400 * 1_000_000_000;

/// Read the header; `None` if this is no datagram of iperf.
#[inline]
pub(super) fn read(payload: &[u8]) -> Option<Header> {
    let header: &[u8; 16] = payload.first_chunk()?;
    let lower = u32::from_be_bytes(bytes_at(header, 0)?);
    let seconds = u32::from_be_bytes(bytes_at(header, 4)?);
    let microseconds = u32::from_be_bytes(bytes_at(header, 8)?);
    let upper = u32::from_be_bytes(bytes_at(header, 12)?);
    (microseconds < 1_000_000).then_some(())?;
    let number = ((u64::from(upper) << 32 | u64::from(lower)) as i64).unsigned_abs();
    let sent_ns = u64::from(seconds) * 1_000_000_000 + u64::from(microseconds) * 1000;
    Some(Header { run: 0, number, sent_ns })
}

/// Read the header of the first datagram of a stream; `None` if it is probably of a different kind, because there is no
/// magic number.
pub(super) fn recognize(payload: &[u8], time_ns: i64) -> Option<Header> {
    read(payload).filter(|header| {
        let difference = i128::from(header.sent_ns) - i128::from(time_ns);
        header.number < MAX_FIRST && difference.abs() < MAX_CLOCK_DIFFERENCE_NS
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: u32 = 1_795_832_515;

    fn datagram(number: i64, microseconds: u32) -> Vec<u8> {
        let bits = number as u64;
        let words = [bits as u32, SECONDS, microseconds, (bits >> 32) as u32];
        words.into_iter().flat_map(u32::to_be_bytes).chain([0; 20]).collect()
    }

    #[test]
    fn header_has_the_number_and_the_time() {
        for (number, expected) in [(0, 0), (52, 52), (-53, 53), (1 << 33, 1 << 33), (-(1 << 33), 1 << 33)] {
            let header = read(&datagram(number, 999_999)).unwrap();
            assert_eq!((header.number, header.sent_ns), (expected, u64::from(SECONDS) * 1_000_000_000 + 999_999_000));
        }
        assert!(read(&datagram(1, 1_000_000)).is_none());
        assert!(read(&[0; 15]).is_none());
    }

    #[test]
    fn stream_is_recognized_only_if_number_and_time_are_plausible() {
        let now = i64::from(SECONDS) * 1_000_000_000;
        assert!(recognize(&datagram(1, 0), now + 3_600_000_000_000).is_some());
        assert!(recognize(&datagram(1, 0), now + 2 * 86_400_000_000_000).is_none());
        assert!(recognize(&datagram(1 << 40, 0), now).is_none());
        assert!(recognize(&datagram(i64::MIN, 0), i64::MIN).is_none());
    }
}
