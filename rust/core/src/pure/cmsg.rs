//! Control messages (ancillary data), parsed from plain bytes and written to them.
//!
//! The kernel lays them out as a header (length, level, type), the data, and padding (cmsg(3), RFC 3542 section 20).
//! Systems differ only in the width of the length field and in the alignment, so one parser serves all of them. The
//! platform code interprets levels and types.

use super::bytes::bytes_at;

/// How one platform lays out its control messages.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Size of the length field in bytes: 8 on 64-bit Linux and Windows, 4 on macOS and 32-bit systems.
    pub length_bytes: usize,
    /// Alignment of each message; a power of two.
    pub alignment: usize,
}

impl Layout {
    const fn align(self, n: usize) -> usize {
        (n + self.alignment - 1) & !(self.alignment - 1)
    }

    /// Bytes from the start of a message to its data.
    pub const fn header(self) -> usize {
        self.align(self.length_bytes + 8)
    }

    /// Bytes that a message with `data` bytes of data occupies in the buffer, padding included.
    pub const fn space(self, data: usize) -> usize {
        self.header() + self.align(data)
    }
}

/// One control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlMessage<'a> {
    /// Protocol level (`SOL_SOCKET`, `IPPROTO_IP`, ...).
    pub level: i32,
    /// Type within the level.
    pub kind: i32,
    /// The data, without padding.
    pub data: &'a [u8],
}

/// Iterator over a control buffer. It ends at the first message that does not fit, as `CMSG_NXTHDR` does.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
    layout: Layout,
}

/// Iterate over the messages of a control buffer of the length that the kernel reported.
pub fn messages(control: &[u8], layout: Layout) -> Messages<'_> {
    Messages { rest: control, layout }
}

impl<'a> Iterator for Messages<'a> {
    type Item = ControlMessage<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let header = self.layout.header();
        let wide = self.layout.length_bytes;
        let length = match wide {
            8 => usize::try_from(u64::from_ne_bytes(bytes_at(self.rest, 0)?)).ok()?,
            _ => u32::from_ne_bytes(bytes_at(self.rest, 0)?) as usize,
        };
        let message = ControlMessage {
            level: i32::from_ne_bytes(bytes_at(self.rest, wide)?),
            kind: i32::from_ne_bytes(bytes_at(self.rest, wide + 4)?),
            data: self.rest.get(header..length)?,
        };
        // The last message may lack its padding.
        let next = self.layout.align(length).min(self.rest.len());
        self.rest = &self.rest[next..];
        Some(message)
    }
}

/// Write a message at the start of a buffer that has room for it. Returns its length, padding included.
pub fn write(buffer: &mut [u8], layout: Layout, level: i32, kind: i32, data: &[u8]) -> usize {
    let (header, wide) = (layout.header(), layout.length_bytes);
    let length = header + data.len();
    match wide {
        8 => buffer[..8].copy_from_slice(&(length as u64).to_ne_bytes()),
        // The data of a control message is far below 4 GiB.
        _ => buffer[..4].copy_from_slice(&(length as u32).to_ne_bytes()),
    }
    buffer[wide..wide + 4].copy_from_slice(&level.to_ne_bytes());
    buffer[wide + 4..wide + 8].copy_from_slice(&kind.to_ne_bytes());
    buffer[header..length].copy_from_slice(data);
    layout.space(data.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Layout = Layout { length_bytes: 8, alignment: 8 };
    const NARROW: Layout = Layout { length_bytes: 4, alignment: 4 };

    fn message(layout: Layout, level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut out = vec![0; layout.space(data.len())];
        assert_eq!(write(&mut out, layout, level, kind, data), out.len());
        out
    }

    #[test]
    fn messages_in_both_layouts_are_parsed_whole() {
        for layout in [WIDE, NARROW] {
            let mut buffer = message(layout, 0, 8, &[1; 12]);
            buffer.extend(message(layout, 1, 35, &[2; 16]));
            buffer.extend(message(layout, 17, 104, &[3; 2]));
            let found: Vec<_> = messages(&buffer, layout).collect();
            assert_eq!(found.len(), 3);
            assert_eq!(found[0], ControlMessage { level: 0, kind: 8, data: &[1; 12] });
            assert_eq!(found[1], ControlMessage { level: 1, kind: 35, data: &[2; 16] });
            assert_eq!(found[2], ControlMessage { level: 17, kind: 104, data: &[3; 2] });
        }
    }

    #[test]
    fn messages_without_final_padding_are_parsed() {
        let mut buffer = message(WIDE, 1, 2, &[7; 4]);
        buffer.truncate(WIDE.header() + 4);
        assert_eq!(messages(&buffer, WIDE).count(), 1);
    }

    #[test]
    fn messages_with_a_wrong_length_end_the_iteration() {
        for length in [0u64, 15, 17, 64, u64::MAX] {
            let mut buffer = message(WIDE, 1, 2, &[]);
            buffer[..8].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&buffer, WIDE).count(), 0, "length {length}");
        }
    }

    #[test]
    fn messages_of_arbitrary_bytes_neither_panic_nor_loop() {
        // A small linear congruential generator: the same bytes on every run.
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..20_000 {
            let mut buffer = vec![0u8; round % 97];
            for byte in &mut buffer {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = if seed & 0x300 == 0 { (seed >> 56) as u8 } else { (seed >> 60) as u8 & 1 };
            }
            for layout in [WIDE, NARROW] {
                let taken: usize = messages(&buffer, layout).map(|m| layout.header() + m.data.len()).sum();
                assert!(taken <= buffer.len());
            }
        }
    }
}
