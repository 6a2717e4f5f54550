//! MPEG transport streams: packets of 188 bytes with a continuity counter for each PID (ISO 13818-1, 2.4.3.3).

use std::collections::HashMap;

const PACKET: usize = 188;
const SYNC: u8 = 0x47;
const NULL_PID: u16 = 0x1fff;

/// Whether a payload consists of packets of a transport stream.
#[inline]
pub(super) fn is_mpegts(payload: &[u8]) -> bool {
    !payload.is_empty() && payload.len() % PACKET == 0 && payload.chunks_exact(PACKET).all(|packet| packet[0] == SYNC)
}

/// A transport stream.
#[derive(Debug, Default)]
pub(super) struct MpegTs {
    pub(super) lost: u64,
    pub(super) duplicates: u64,
    counters: HashMap<u16, Counter>,
}

/// The counter of a PID: four bits, one step for each packet with a payload.
#[derive(Debug, Default)]
struct Counter {
    last: Option<u8>,
    is_repeated: bool,
}

impl MpegTs {
    pub(super) fn add(&mut self, payload: &[u8]) {
        for packet in payload.chunks_exact(PACKET) {
            if packet[0] != SYNC {
                return;
            }
            let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
            if pid != NULL_PID {
                let (lost, repeated) = self.counters.entry(pid).or_default().add(packet);
                self.lost += u64::from(lost);
                self.duplicates += u64::from(repeated);
            }
        }
    }
}

impl Counter {
    /// Returns how many packets are missing before this one, and whether it repeats the one before.
    fn add(&mut self, packet: &[u8]) -> (u8, bool) {
        let (number, control) = (packet[3] & 0x0f, packet[3] >> 4 & 0x03);
        let has_discontinuity = control & 2 != 0 && packet[4] > 0 && packet[5] & 0x80 != 0;
        if has_discontinuity {
            self.last = None;
        }
        if control & 1 == 0 {
            return (0, false);
        }
        let last = self.last.replace(number);
        let ahead = last.map_or(1, |last| number.wrapping_sub(last) & 0x0f);
        // A packet may be sent twice, but not three times.
        if ahead == 0 && !self.is_repeated {
            self.is_repeated = true;
            return (0, true);
        }
        self.is_repeated = false;
        (ahead.wrapping_sub(1) & 0x0f, false)
    }
}
