//! The datagrams of `multicast send --numbered`: a magic, a run, a number and a time, in network byte order.

use super::histogram::Histogram;
use super::jitter::Jitter;
use super::sequence::Sequence;
use crate::pure::bytes::bytes_at;

const MAGIC: &[u8; 4] = b"MCN1";

/// The first bytes of a numbered datagram.
pub(super) struct Header {
    pub(super) run: u32,
    pub(super) number: u64,
    pub(super) sent_ns: u64,
}

impl Header {
    /// Read the header; `None` if this is no numbered datagram.
    #[inline]
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let header: &[u8; 24] = payload.first_chunk()?;
        (header.first_chunk() == Some(MAGIC)).then_some(())?;
        Some(Self {
            run: u32::from_be_bytes(bytes_at(header, 4)?),
            number: u64::from_be_bytes(bytes_at(header, 8)?),
            sent_ns: u64::from_be_bytes(bytes_at(header, 16)?),
        })
    }
}

/// A stream of numbered datagrams, of this project or of iperf 2.
#[derive(Debug, Default)]
pub(super) struct Numbered {
    pub(super) sequence: Sequence,
    pub(super) jitter: Jitter,
    /// The delays, less the first one, which contains the difference of both clocks.
    pub(super) delays: Histogram,
    first_delay: Option<i128>,
    last_delay: i128,
    run: u32,
}

impl Numbered {
    pub(super) fn begin(header: &Header, time_ns: i64) -> Box<Self> {
        let mut numbered = Box::<Self>::default();
        numbered.add(header, time_ns);
        numbered
    }

    #[inline]
    pub(super) fn add(&mut self, header: &Header, time_ns: i64) {
        if self.first_delay.is_some() && header.run != self.run {
            self.sequence.restart();
        }
        self.run = header.run;
        self.sequence.add(header.number, time_ns);
        let delay = i128::from(time_ns) - i128::from(header.sent_ns);
        match self.first_delay {
            Some(_) => self.jitter.add((delay - self.last_delay) as f64),
            None => self.jitter.begin(),
        }
        self.last_delay = delay;
        self.delays.add(clamp(delay - *self.first_delay.get_or_insert(delay)));
    }

    /// The delay of the first datagram, in nanoseconds.
    pub(super) fn first_delay(&self) -> i64 {
        self.first_delay.map_or(0, clamp)
    }
}

/// A forged time of sending can be any number.
fn clamp(nanoseconds: i128) -> i64 {
    nanoseconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}
