//! Reading pcap and pcapng files, packet by packet, with bounded memory.

use std::io::{self, ErrorKind, Read};

use crate::pure::pcapng;

/// The most bytes of a packet with its link layer. Longer ones are not UDP.
const MAX_PACKET: usize = 1 << 18;
/// The most interfaces in a section.
const MAX_INTERFACES: usize = 65_536;
/// The most bytes of the description of an interface that are read.
const MAX_DESCRIPTION: usize = 1 << 18;

/// The reason why a file cannot be read further.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The system refused.
    System(io::Error),
    /// The contents are wrong, for this reason.
    Damaged(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A captured packet. Its bytes are in the reader.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) link_type: u32,
    pub(crate) timestamp_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    link_type: u32,
    /// Units of time in a second.
    units: u64,
    /// Seconds to add to each time.
    offset: i64,
}

#[derive(Debug)]
enum Format {
    Pcap { is_big: bool, units: u64, link_type: u32 },
    Pcapng { is_big: bool, interfaces: Vec<Interface> },
}

/// Reads the packets of a file.
#[derive(Debug)]
pub(crate) struct PacketReader<R> {
    input: R,
    format: Format,
    /// Bytes read so far.
    at: u64,
    packet: Vec<u8>,
    /// The file ends in the middle of a packet, as a file does that is still being written.
    is_cut: bool,
}

fn u16_of(is_big: bool, bytes: &[u8]) -> u16 {
    let bytes = [bytes[0], bytes[1]];
    if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
}

fn u32_of(is_big: bool, bytes: &[u8]) -> u32 {
    let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

impl<R: Read> PacketReader<R> {
    /// Read the beginning of a file.
    pub(crate) fn open(input: R) -> Result<Self, ReadError> {
        let format = Format::Pcapng { is_big: false, interfaces: Vec::new() };
        let mut reader = Self { input, format, at: 0, packet: Vec::new(), is_cut: false };
        let mut magic = [0; 4];
        if !reader.fill(&mut magic)? {
            return Err(ReadError::Damaged("it has no pcap or pcapng header, because it is too short".into()));
        }
        let (is_big, units) = match magic {
            [0x0a, 0x0d, 0x0d, 0x0a] => {
                if !reader.section()? {
                    return Err(ReadError::Damaged("it ends in its header".into()));
                }
                return Ok(reader);
            }
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, 1_000_000),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, 1_000_000),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, 1_000_000_000),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, 1_000_000_000),
            _ => return Err(ReadError::Damaged(unknown_format(magic).into())),
        };
        let mut header = [0; 20];
        if !reader.fill(&mut header)? {
            return Err(ReadError::Damaged("it ends in its header".into()));
        }
        // The upper bits say whether packets have a frame check sequence.
        let link_type = u32_of(is_big, &header[16..]) & 0xffff;
        reader.format = Format::Pcap { is_big, units, link_type };
        Ok(reader)
    }

    /// Whether the file ended in the middle of a packet.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Bytes of the file that were read.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// The bytes of the packet that was read last.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.packet
    }

    /// Read the next packet; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, ReadError> {
        if let Format::Pcap { is_big, units, link_type } = self.format {
            return self.next_record(is_big, units, link_type);
        }
        loop {
            let mut head = [0; 4];
            if !self.fill(&mut head)? {
                return Ok(None);
            }
            if head == [0x0a, 0x0d, 0x0d, 0x0a] {
                if !self.section()? {
                    return Ok(None);
                }
                continue;
            }
            match self.block(head)? {
                Block::Packet(packet) => return Ok(Some(packet)),
                Block::Other => {}
                Block::Cut => return Ok(None),
            }
        }
    }

    fn next_record(&mut self, is_big: bool, units: u64, link_type: u32) -> Result<Option<Packet>, ReadError> {
        let mut header = [0; 16];
        if !self.fill(&mut header)? {
            return Ok(None);
        }
        let word = |at: usize| u32_of(is_big, &header[at..]);
        let time = nanoseconds(word(4).into(), units, 0).saturating_add(u64::from(word(0)) * 1_000_000_000);
        let length = word(8) as usize;
        if length > MAX_PACKET {
            return Err(self.damaged(&format!("a packet has {length} bytes")));
        }
        Ok(self.read_packet(length)?.then_some(Packet { link_type, timestamp_ns: time }))
    }

    /// Read a section header after its type. Returns false if the file ends in it.
    fn section(&mut self) -> Result<bool, ReadError> {
        let mut head = [0; 8];
        if !self.fill(&mut head)? {
            return Ok(false);
        }
        let is_big = match u32::from_le_bytes([head[4], head[5], head[6], head[7]]) {
            pcapng::BYTE_ORDER => false,
            magic if magic.swap_bytes() == pcapng::BYTE_ORDER => true,
            _ => return Err(self.damaged("a section has no byte order")),
        };
        let length = u32_of(is_big, &head) as usize;
        if length < 28 || length % 4 != 0 {
            return Err(self.damaged(&format!("a section header has {length} bytes")));
        }
        self.format = Format::Pcapng { is_big, interfaces: Vec::new() };
        self.skip(length - 12)
    }

    /// Read a block that begins with these bytes.
    fn block(&mut self, head: [u8; 4]) -> Result<Block, ReadError> {
        let mut length = [0; 4];
        if !self.fill(&mut length)? {
            return Ok(Block::Cut);
        }
        let Format::Pcapng { is_big, .. } = self.format else { return Ok(Block::Other) };
        let (kind, length) = (u32_of(is_big, &head), u32_of(is_big, &length) as usize);
        if length < 12 || length % 4 != 0 {
            return Err(self.damaged(&format!("a block has {length} bytes")));
        }
        let body = length - 12;
        let whole = match kind {
            pcapng::PACKET => return self.packet_block(is_big, body),
            pcapng::INTERFACE => self.interface_block(is_big, body)?,
            _ => self.skip(body + 4)?,
        };
        Ok(if whole { Block::Other } else { Block::Cut })
    }

    fn packet_block(&mut self, is_big: bool, body: usize) -> Result<Block, ReadError> {
        let mut header = [0; 20];
        if body < header.len() {
            return Err(self.damaged("a packet block has no room for its header"));
        }
        if !self.fill(&mut header)? {
            return Ok(Block::Cut);
        }
        let word = |at: usize| u32_of(is_big, &header[at..]);
        let length = word(12) as usize;
        if length > MAX_PACKET || length > body - header.len() {
            return Err(self.damaged(&format!("a packet of {length} bytes is longer than its block")));
        }
        let Format::Pcapng { interfaces, .. } = &self.format else { return Ok(Block::Other) };
        let Some(&interface) = interfaces.get(word(0) as usize) else {
            return Err(self.damaged(&format!("a packet names interface {}, which is not described", word(0))));
        };
        if !self.read_packet(length)? || !self.skip(body - header.len() - length + 4)? {
            return Ok(Block::Cut);
        }
        let time = (u64::from(word(4)) << 32) | u64::from(word(8));
        let timestamp_ns = nanoseconds(time, interface.units, interface.offset);
        Ok(Block::Packet(Packet { link_type: interface.link_type, timestamp_ns }))
    }

    /// Read the description of an interface. Returns false if the file ends in it.
    fn interface_block(&mut self, is_big: bool, body: usize) -> Result<bool, ReadError> {
        if body < 8 {
            return Err(self.damaged("an interface block has no room for its header"));
        }
        let length = body.min(MAX_DESCRIPTION);
        if !self.read_packet(length)? || !self.skip(body - length + 4)? {
            return Ok(false);
        }
        let mut found = Interface { link_type: u16_of(is_big, &self.packet).into(), units: 1_000_000, offset: 0 };
        let mut options = &self.packet[8..];
        while let [a, b, c, d, rest @ ..] = options {
            let (code, size) = (u16_of(is_big, &[*a, *b]), usize::from(u16_of(is_big, &[*c, *d])));
            let Some(value) = rest.get(..size) else { break };
            match (code, value) {
                (0, _) => break,
                (9, &[resolution]) => found.units = units_of(resolution),
                (14, &[a, b, c, d, e, f, g, h]) => {
                    let bytes = [a, b, c, d, e, f, g, h];
                    found.offset = if is_big { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) };
                }
                _ => {}
            }
            options = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
        if let Format::Pcapng { interfaces, .. } = &mut self.format {
            if interfaces.len() == MAX_INTERFACES {
                return Err(self.damaged("it describes too many interfaces"));
            }
            interfaces.push(found);
        }
        Ok(true)
    }

    /// Read this many bytes as the packet. Returns false if the file ends in them.
    fn read_packet(&mut self, length: usize) -> Result<bool, ReadError> {
        self.packet.resize(length, 0);
        let mut packet = std::mem::take(&mut self.packet);
        let filled = length == 0 || self.fill(&mut packet)?;
        self.packet = packet;
        self.is_cut |= !filled;
        Ok(filled)
    }

    /// Fill a buffer. Returns false if the file ends before.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, ReadError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.input.read(&mut buffer[done..]) {
                Ok(0) => {
                    self.is_cut |= done > 0;
                    return Ok(false);
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.at += done as u64;
        Ok(true)
    }

    /// Skip bytes that are not needed. Returns false if the file ends in them.
    fn skip(&mut self, length: usize) -> Result<bool, ReadError> {
        let skipped = io::copy(&mut self.input.by_ref().take(length as u64), &mut io::sink())?;
        self.at += skipped;
        self.is_cut |= skipped < length as u64;
        Ok(skipped == length as u64)
    }

    fn damaged(&self, reason: &str) -> ReadError {
        ReadError::Damaged(format!("{reason}, before byte {}", self.at))
    }
}

/// The reason why a file that begins with these bytes cannot be read.
fn unknown_format(magic: [u8; 4]) -> &'static str {
    match magic {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [0xfd, b'7', b'z', b'X'] | [b'B', b'Z', b'h', _] => {
            "it is compressed (decompress it first, or read the output of the program that does, as standard input)"
        }
        _ => "it is neither a pcap nor a pcapng file",
    }
}

enum Block {
    Packet(Packet),
    Other,
    Cut,
}

/// The units of time in a second: a power of 10, or of 2 if the highest bit is set. If they are finer than the number
/// can hold, they count as the finest that it can.
fn units_of(resolution: u8) -> u64 {
    let exponent = u32::from(resolution & 0x7f);
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(exponent).unwrap_or(u64::MAX)
}

fn nanoseconds(time: u64, units: u64, offset: i64) -> u64 {
    let scaled = u128::from(time) * 1_000_000_000 / u128::from(units);
    let shifted = i128::try_from(scaled).unwrap_or(i128::MAX) + i128::from(offset) * 1_000_000_000;
    u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Link type, time and bytes of a packet.
    type Found = (u32, u64, Vec<u8>);

    /// Return the packets, and whether the file ends in the middle of one.
    fn read(bytes: &[u8]) -> Result<(Vec<Found>, bool), String> {
        let text = |error| match error {
            ReadError::Damaged(reason) => reason,
            ReadError::System(error) => panic!("{error}"),
        };
        let mut reader = PacketReader::open(bytes).map_err(text)?;
        let mut found = Vec::new();
        while let Some(packet) = reader.next().map_err(text)? {
            found.push((packet.link_type, packet.timestamp_ns, reader.bytes().to_vec()));
        }
        Ok((found, reader.is_cut()))
    }

    fn pcap(is_big: bool, is_nano: bool) -> Vec<u8> {
        let word = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let magic = if is_nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let words = [magic, 0x0002_0004, 0, 0, 65_535, 101, 1_700_000_000, 123, 3, 3];
        [words.map(word).concat(), b"abc".to_vec()].concat()
    }

    fn pcapng() -> Vec<u8> {
        let mut out = Vec::new();
        pcapng::append_section(&mut out, "test", "comment");
        pcapng::append_interface(&mut out, "eth0", "");
        pcapng::append_packet(&mut out, 0, 1_700_000_000_000_000_123, |out| out.extend_from_slice(b"abcde"));
        pcapng::append_statistics(&mut out, 0, 9, 1, pcapng::Counts::default(), "");
        pcapng::append_packet(&mut out, 0, 1_700_000_000_000_000_456, |_| {});
        out
    }

    #[test]
    fn reader_of_pcap_knows_both_byte_orders_and_units() {
        for is_big in [false, true] {
            for (is_nano, fraction) in [(false, 123_000), (true, 123)] {
                let expected = vec![(101, 1_700_000_000_000_000_000 + fraction, b"abc".to_vec())];
                assert_eq!(read(&pcap(is_big, is_nano)), Ok((expected, false)));
            }
        }
    }

    #[test]
    fn reader_of_pcapng_returns_what_was_written() {
        let expected =
            vec![(101, 1_700_000_000_000_000_123, b"abcde".to_vec()), (101, 1_700_000_000_000_000_456, Vec::new())];
        assert_eq!(read(&pcapng()), Ok((expected, false)));
        // Two sections in one file: the interfaces of the second are numbered from 0 again.
        assert_eq!(read(&[pcapng(), pcapng()].concat()).unwrap().0.len(), 4);
    }

    #[test]
    fn reader_of_a_cut_file_returns_what_is_whole() {
        for (file, header, first) in [(pcapng(), 28, 0), (pcap(false, true), 24, 1)] {
            let all = read(&file).unwrap().0;
            for length in header..file.len() {
                let Ok((found, is_cut)) = read(&file[..length]) else { continue };
                assert!(found.len() < all.len() && all.starts_with(&found), "{length} {found:?}");
                assert!(is_cut || found.len() + 1 + first >= all.len() || found.is_empty(), "{length}");
            }
        }
    }

    #[test]
    fn reader_of_damaged_bytes_fails_or_ends_but_never_panics() {
        let mut state = 7_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        for file in [pcapng(), pcap(true, false), pcap(false, true)] {
            for _ in 0..20_000 {
                let mut damaged = file.clone();
                for _ in 0..=random() % 4 {
                    let at = random() as usize % damaged.len();
                    damaged[at] = random() as u8;
                }
                if let Err(reason) = read(&damaged) {
                    assert!(reason.len() < 200, "{reason}");
                }
            }
        }
        assert!(read(b"").unwrap_err().contains("too short"));
        assert!(read(b"hello world").unwrap_err().contains("neither a pcap nor a pcapng"));
    }

    #[test]
    fn reader_of_other_resolutions_returns_nanoseconds() {
        assert_eq!(nanoseconds(5, units_of(0), 10), 15_000_000_000);
        assert_eq!(nanoseconds(3 << 19, units_of(0x80 | 20), 0), 1_500_000_000);
        assert_eq!(nanoseconds(u64::MAX, units_of(0), 0), u64::MAX);
        assert_eq!(nanoseconds(1, units_of(127), -1), 0);
    }
}
