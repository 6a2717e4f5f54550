//! RTP (RFC 3550): sequence numbers of 16 bits, and times in ticks of a clock.

use super::jitter::Jitter;
use super::sequence::{Extender, Sequence};
use crate::pure::bytes::bytes_at;

/// RFC 3550, appendix A.1.
const MAX_DROPOUT: u16 = 3000;
const MAX_MISORDER: u16 = 100;

/// The first bytes of an RTP datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    number: u16,
    stamp: u32,
    source: u32,
    kind: u8,
}

impl Header {
    /// Read the header; `None` if the version is a different one.
    #[inline]
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let header: &[u8; 12] = payload.first_chunk()?;
        (header[0] >> 6 == 2).then_some(())?;
        Some(Self {
            number: u16::from_be_bytes(bytes_at(header, 2)?),
            stamp: u32::from_be_bytes(bytes_at(header, 4)?),
            source: u32::from_be_bytes(bytes_at(header, 8)?),
            kind: header[1] & 0x7f,
        })
    }

    /// Whether it may be RTCP, which has kinds in this range (RFC 5761).
    pub(super) fn is_control(&self) -> bool {
        (72..=76).contains(&self.kind)
    }

    /// Whether this one follows another one of the same source.
    pub(super) fn follows(&self, other: &Self) -> bool {
        self.number == other.number.wrapping_add(1) && self.source == other.source
    }

    /// Ticks of its clock in a second, if its kind has a fixed one (RFC 3551).
    fn clock(&self) -> Option<f64> {
        match self.kind {
            0 | 3 | 4 | 8 | 9 | 18 => Some(8_000.0),
            10 | 11 => Some(44_100.0),
            14 | 25 | 26 | 28 | 31..=34 => Some(90_000.0),
            _ => None,
        }
    }
}

/// A stream of RTP.
#[derive(Debug, Default)]
pub(super) struct Rtp {
    pub(super) sequence: Sequence,
    pub(super) jitter: Jitter,
    extender: Extender,
    source: u32,
    /// The number after a large jump, if the last datagram made one.
    after_jump: Option<u16>,
    /// The time stamp and the arrival of the last datagram.
    last: Option<(u32, i64)>,
}

impl Rtp {
    /// Begin with two datagrams in sequence. The time of the first is no longer known; it matters only for gaps.
    pub(super) fn begin(first: &Header, second: &Header, time_ns: i64) -> Self {
        let mut rtp = Self { source: first.source, ..Self::default() };
        rtp.take_number(first.number, time_ns);
        rtp.add(second, time_ns);
        rtp
    }

    #[inline]
    pub(super) fn add(&mut self, header: &Header, time_ns: i64) {
        if header.source != self.source {
            self.source = header.source;
            self.restart();
        } else if let Some(highest) = self.sequence.highest() {
            let ahead = header.number.wrapping_sub(highest as u16);
            if (MAX_DROPOUT..=MAX_MISORDER.wrapping_neg()).contains(&ahead) {
                // A large jump: if the next datagram continues it, the sender has started again.
                if self.after_jump != Some(header.number) {
                    self.after_jump = Some(header.number.wrapping_add(1));
                    return;
                }
                self.restart();
                self.take_number(header.number.wrapping_sub(1), time_ns);
            }
        }
        self.after_jump = None;
        self.take_number(header.number, time_ns);
        if let Some(clock) = header.clock() {
            match self.last {
                Some((stamp, arrived)) => {
                    // The nearest difference: the stamps wrap around.
                    let sent = f64::from(header.stamp.wrapping_sub(stamp) as i32) * 1e9 / clock;
                    self.jitter.add(time_ns.wrapping_sub(arrived) as f64 - sent);
                }
                None => self.jitter.begin(),
            }
            self.last = Some((header.stamp, time_ns));
        }
    }

    fn restart(&mut self) {
        self.sequence.restart();
        self.extender = Extender::default();
        self.last = None;
    }

    fn take_number(&mut self, number: u16, time_ns: i64) {
        self.sequence.add(self.extender.extend(number), time_ns);
    }
}
