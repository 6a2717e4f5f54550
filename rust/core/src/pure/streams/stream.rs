//! One stream: what its payloads say, and what is known of any datagram.

use super::burst::{Amount, Burst};
use super::histogram::Histogram;
use super::iperf;
use super::mpegts::{MpegTs, is_mpegts};
use super::numbered::{self, Numbered};
use super::rtp::{self, Rtp};
use super::sequence::{Counts, Gap, Sequence};

/// After this many datagrams, a stream of unknown kind is not examined further. If it may be RTP, more are examined.
const PROBATION: u32 = 4;
const PROBATION_OF_RTP: u32 = 16;

/// The kind of the payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Without numbers, or not recognized yet.
    Unknown,
    /// RTP.
    Rtp,
    /// An MPEG transport stream.
    MpegTs,
    /// Datagrams of `multicast send --numbered`.
    Numbered,
    /// Datagrams of iperf 2.
    Iperf,
}

/// The arrival of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrived, in nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// Index of the interface; 0 if the system does not say.
    pub interface: u32,
    /// The remaining hops, if the system says them.
    pub ttl: Option<u8>,
    /// The class of traffic, if the system says it.
    pub dscp: Option<u8>,
}

#[derive(Debug)]
enum Content {
    /// Not recognized yet: the number of datagrams tried, and the header of the last one if it may be RTP.
    Open(u32, Option<rtp::Header>),
    Plain,
    Numbered(Box<Numbered>),
    Iperf(Box<Numbered>),
    Rtp(Box<Rtp>),
    MpegTs(Box<MpegTs>),
}

/// The statistics of one stream.
#[derive(Debug)]
pub struct Stream {
    /// Datagrams received.
    pub received: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// When the first datagram arrived, in nanoseconds since the Unix epoch.
    pub first_ns: i64,
    /// The arrival of the last datagram.
    pub last: Arrival,
    burst: Burst,
    content: Content,
}

impl Stream {
    /// Begin with a datagram.
    pub(super) fn begin(payload: &[u8], arrival: Arrival) -> Self {
        let mut stream = Self {
            received: 0,
            bytes: 0,
            first_ns: arrival.time_ns,
            last: arrival,
            burst: Burst::default(),
            content: Content::Open(0, None),
        };
        stream.add(payload, arrival);
        stream
    }

    /// Account for a datagram.
    #[inline]
    pub(super) fn add(&mut self, payload: &[u8], arrival: Arrival) {
        self.received += 1;
        self.bytes += payload.len() as u64;
        self.last = arrival;
        let time_ns = arrival.time_ns;
        self.burst.add(payload.len(), time_ns);
        match &mut self.content {
            Content::Plain => {}
            Content::Numbered(numbered) => {
                if let Some(header) = numbered::Header::read(payload) {
                    numbered.add(&header, time_ns);
                }
            }
            Content::Iperf(numbered) => {
                if let Some(header) = iperf::read(payload) {
                    numbered.add(&header, time_ns);
                }
            }
            Content::Rtp(rtp) => {
                if let Some(header) = rtp::Header::read(payload) {
                    rtp.add(&header, time_ns);
                }
            }
            Content::MpegTs(mpegts) => mpegts.add(payload),
            &mut Content::Open(tried, before) => self.content = recognize(payload, time_ns, tried, before.as_ref()),
        }
    }

    /// The kind of its payloads.
    pub fn kind(&self) -> Kind {
        match &self.content {
            Content::Open(..) | Content::Plain => Kind::Unknown,
            Content::Numbered(_) => Kind::Numbered,
            Content::Iperf(_) => Kind::Iperf,
            Content::Rtp(_) => Kind::Rtp,
            Content::MpegTs(_) => Kind::MpegTs,
        }
    }

    /// The counts of its numbers: of datagrams, or for a transport stream, of packets of 188 bytes, whose reordering
    /// cannot be detected. `None` if it has no numbers.
    pub fn counts(&self) -> Option<Counts> {
        match &self.content {
            Content::MpegTs(mpegts) => {
                Some(Counts { lost: mpegts.lost, duplicates: mpegts.duplicates, ..Counts::default() })
            }
            _ => self.sequence().map(Sequence::counts),
        }
    }

    /// The missing numbers, in order; none for a transport stream.
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.sequence().into_iter().flat_map(Sequence::gaps)
    }

    /// The interarrival jitter in nanoseconds; `None` if the times of sending are not known.
    pub fn jitter_ns(&self) -> Option<f64> {
        match &self.content {
            Content::Numbered(numbered) | Content::Iperf(numbered) => numbered.jitter.nanoseconds(),
            Content::Rtp(rtp) => rtp.jitter.nanoseconds(),
            _ => None,
        }
    }

    /// The one-way delays of datagrams with a time of sending in nanoseconds, less the first one, and the first one.
    pub fn delays(&self) -> Option<(&Histogram, i64)> {
        match &self.content {
            Content::Numbered(numbered) | Content::Iperf(numbered) => Some((&numbered.delays, numbered.first_delay())),
            _ => None,
        }
    }

    /// The most that arrived within [`WINDOW_NS`](super::burst::WINDOW_NS).
    pub fn burst(&self) -> Amount {
        self.burst.peak()
    }

    fn sequence(&self) -> Option<&Sequence> {
        match &self.content {
            Content::Numbered(numbered) | Content::Iperf(numbered) => Some(&numbered.sequence),
            Content::Rtp(rtp) => Some(&rtp.sequence),
            _ => None,
        }
    }
}

/// Find out the kind of a stream from one of its first datagrams, and begin with it.
fn recognize(payload: &[u8], time_ns: i64, tried: u32, before: Option<&rtp::Header>) -> Content {
    if let Some(header) = numbered::Header::read(payload) {
        return Content::Numbered(Numbered::begin(&header, time_ns));
    }
    if let Some(header) = iperf::recognize(payload, time_ns) {
        return Content::Iperf(Numbered::begin(&header, time_ns));
    }
    if is_mpegts(payload) {
        let mut mpegts = Box::<MpegTs>::default();
        mpegts.add(payload);
        return Content::MpegTs(mpegts);
    }
    let tried = tried + 1;
    match rtp::Header::read(payload).filter(|header| !header.is_control()) {
        // Two in sequence, with one source, are RTP (RFC 3550, appendix A.1).
        Some(header) => match before.filter(|before| header.follows(before)) {
            Some(before) => Content::Rtp(Box::new(Rtp::begin(before, &header, time_ns))),
            None if tried >= PROBATION_OF_RTP => Content::Plain,
            None => Content::Open(tried, Some(header)),
        },
        None if tried >= PROBATION => Content::Plain,
        None => Content::Open(tried, before.copied()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::packet::samples::Noise;

    fn at(time_ns: i64) -> Arrival {
        Arrival { time_ns, interface: 1, ttl: Some(7), dscp: None }
    }

    fn fed(payloads: impl IntoIterator<Item = Vec<u8>>) -> Stream {
        let mut payloads = payloads.into_iter();
        let mut stream = Stream::begin(&payloads.next().unwrap(), at(0));
        payloads.enumerate().for_each(|(number, payload)| stream.add(&payload, at((number as i64 + 1) * 1_000_000)));
        stream
    }

    fn rtp(number: u16) -> Vec<u8> {
        let mut payload = vec![0x80, 33];
        payload.extend(number.to_be_bytes());
        payload.extend((u32::from(number) * 90).to_be_bytes());
        payload.extend(7u32.to_be_bytes());
        payload
    }

    fn numbered(run: u32, number: u64, sent_ns: u64) -> Vec<u8> {
        let mut payload = b"MCN1".to_vec();
        payload.extend(run.to_be_bytes());
        payload.extend(number.to_be_bytes());
        payload.extend(sent_ns.to_be_bytes());
        payload
    }

    #[test]
    fn stream_of_each_kind_is_recognized_and_counted() {
        let disorder = [0u16, 1, 4, 3, 3, 8, 9];
        let expected = Some(Counts { lost: 4, duplicates: 1, reordered: 1, restarts: 0 });
        let found = fed(disorder.map(|number| rtp(number.wrapping_add(65_530))));
        assert_eq!((found.kind(), found.counts()), (Kind::Rtp, expected));
        let found = fed(disorder.map(|number| numbered(1, number.into(), 0)));
        assert_eq!((found.kind(), found.counts()), (Kind::Numbered, expected));
        assert_eq!(found.gaps().map(|gap| (gap.first, gap.last)).collect::<Vec<_>>(), [(2, 2), (5, 7)]);
        let packets = [1u8, 2, 5].map(|number| [&[0x47, 1, 0, 0x10 | number][..], &[0xff; 184]].concat());
        let found = fed([packets.concat()]);
        assert_eq!((found.kind(), found.counts().unwrap().lost), (Kind::MpegTs, 2));
        let found = fed(disorder.map(|number| [[0, 0, 0, number as u8], [0; 4], [0; 4], [0; 4]].concat()));
        assert_eq!((found.kind(), found.counts()), (Kind::Iperf, expected));
        let found = fed(vec![b"hello".to_vec(); 9]);
        assert_eq!((found.kind(), found.counts(), found.received, found.bytes), (Kind::Unknown, None, 9, 45));
    }

    #[test]
    fn numbered_restart_is_no_loss_and_delays_are_relative_to_the_first() {
        let found = fed([numbered(1, 0, 1000), numbered(1, 1, 500_000), numbered(2, 900, 4_000_000)]);
        let counts = found.counts().unwrap();
        assert_eq!((counts.lost, counts.restarts), (0, 1));
        let (delays, first) = found.delays().unwrap();
        assert_eq!((delays.range(), first), (Some((-1_999_000, 501_000)), -1000));
    }

    #[test]
    fn stream_of_arbitrary_payloads_does_not_panic() {
        let mut noise = Noise::default();
        for _ in 0..2_000 {
            let payloads: Vec<Vec<u8>> = (0..10)
                .map(|number| {
                    let mut payload = match noise.below(4) {
                        0 => rtp(number),
                        1 => numbered(noise.below(3) as u32, u64::MAX - noise.below(3) as u64, u64::MAX),
                        2 => vec![0x47; 188 * noise.below(3)],
                        _ => vec![0x80; noise.below(40)],
                    };
                    for _ in 0..noise.below(3) {
                        let at = noise.below(payload.len().max(1));
                        if let Some(byte) = payload.get_mut(at) {
                            *byte = noise.below(256) as u8;
                        }
                    }
                    payload.truncate(payload.len().saturating_sub(noise.below(3)));
                    payload
                })
                .collect();
            assert_eq!(fed(payloads).received, 10);
        }
    }
}
