//! Blocks of a pcapng file, as bytes (draft-ietf-opsawg-pcapng). Everything is in little-endian order.

use super::bytes::bytes_at;

/// Packets that begin with an IPv4 or IPv6 header (`LINKTYPE_RAW`).
pub const RAW_IP: u16 = 101;

pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
pub(crate) const BYTE_ORDER: u32 = 0x1a2b_3c4d;
pub(crate) const INTERFACE: u32 = 1;
pub(crate) const STATISTICS: u32 = 5;
pub(crate) const PACKET: u32 = 6;

const COMMENT: u16 = 1;
const NANOSECONDS: u8 = 9;

/// Append a block of this type. `body` appends its contents, without padding and lengths.
fn append_block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    pad(out, start);
    let length = (out.len() - start + 4) as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
}

/// Fill up to a multiple of four bytes after `start`.
fn pad(out: &mut Vec<u8>, start: usize) {
    let length = (out.len() - start).next_multiple_of(4);
    out.resize(start + length, 0);
}

/// Append an option. Empty text is left out, and text is cut at the 65,535 bytes that an option can hold.
fn append_option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    let start = out.len();
    out.extend_from_slice(value);
    pad(out, start);
}

fn end_options(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

/// Append the block that begins a file.
pub fn append_section(out: &mut Vec<u8>, application: &str, comment: &str) {
    append_block(out, SECTION, |out| {
        out.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        out.extend_from_slice(&1_u16.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        // The length of the section is not known yet.
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        append_option(out, COMMENT, comment.as_bytes());
        append_option(out, 4, application.as_bytes());
        end_options(out);
    });
}

/// Append the description of an interface, whose times are in nanoseconds.
pub fn append_interface(out: &mut Vec<u8>, name: &str, comment: &str) {
    append_block(out, INTERFACE, |out| {
        out.extend_from_slice(&RAW_IP.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        append_option(out, COMMENT, comment.as_bytes());
        append_option(out, 2, name.as_bytes());
        append_option(out, 9, &[NANOSECONDS]);
        end_options(out);
    });
}

fn append_time(out: &mut Vec<u8>, timestamp_ns: u64) {
    out.extend_from_slice(&((timestamp_ns >> 32) as u32).to_le_bytes());
    out.extend_from_slice(&(timestamp_ns as u32).to_le_bytes());
}

/// Append a packet, which `packet` appends.
pub fn append_packet(out: &mut Vec<u8>, interface: u32, timestamp_ns: u64, packet: impl FnOnce(&mut Vec<u8>)) {
    append_block(out, PACKET, |out| {
        out.extend_from_slice(&interface.to_le_bytes());
        append_time(out, timestamp_ns);
        let lengths = out.len();
        out.extend_from_slice(&[0; 8]);
        packet(out);
        let length = ((out.len() - lengths - 8) as u32).to_le_bytes();
        out[lengths..lengths + 4].copy_from_slice(&length);
        out[lengths + 4..lengths + 8].copy_from_slice(&length);
    });
}

/// The datagrams of an interface since the file began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Datagrams that arrived for this program.
    pub arrived: u64,
    /// Those that this machine lost: the kernel or the ring.
    pub dropped: u64,
    /// Those of them that the kernel dropped.
    pub kernel_drops: u64,
    /// Those that are in the file.
    pub written: u64,
}

/// Append the counters of an interface.
pub fn append_statistics(
    out: &mut Vec<u8>,
    interface: u32,
    timestamp_ns: u64,
    start_ns: u64,
    counts: Counts,
    comment: &str,
) {
    append_block(out, STATISTICS, |out| {
        out.extend_from_slice(&interface.to_le_bytes());
        append_time(out, timestamp_ns);
        append_option(out, COMMENT, comment.as_bytes());
        for (code, time) in [(2, start_ns), (3, timestamp_ns)] {
            let mut value = Vec::with_capacity(8);
            append_time(&mut value, time);
            append_option(out, code, &value);
        }
        let Counts { arrived, dropped, kernel_drops, written } = counts;
        for (code, count) in [(4, arrived), (5, dropped), (7, kernel_drops), (8, written)] {
            append_option(out, code, &count.to_le_bytes());
        }
        end_options(out);
    });
}

/// Return how many bytes [`append_statistics`] appends with this comment.
pub const fn statistics_size(comment: &str) -> u64 {
    // The type and both lengths, the interface and the time; two times, four counts and the end of the options.
    let plain = 12 + 4 + 8 + 2 * 12 + 4 * 12 + 4;
    let comment = comment.len().next_multiple_of(4) as u64;
    plain + if comment == 0 { 0 } else { 4 + comment }
}

/// Return how many of the first bytes of `blocks` are whole blocks, given that only `length` bytes were written.
pub fn whole_blocks(blocks: &[u8], length: usize) -> usize {
    let mut whole = 0;
    while let Some(size) = block_length(&blocks[whole..]).filter(|size| whole + size <= length) {
        whole += size;
    }
    whole
}

/// Return the packets in blocks that this module has made.
pub fn packets(mut blocks: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let length = block_length(blocks)?;
            let (block, rest) = blocks.split_at_checked(length)?;
            blocks = rest;
            if word(block, 0) == Some(PACKET) {
                return block.get(28..28 + word(block, 20)? as usize);
            }
        }
    })
}

/// The length of the first block, which is at least as long as its head.
fn block_length(blocks: &[u8]) -> Option<usize> {
    word(blocks, 4).map(|length| length as usize).filter(|length| *length >= 8)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_padded_and_have_their_length_twice() {
        for length in 0..9 {
            let mut out = Vec::new();
            append_packet(&mut out, 3, 0x1_0000_0002, |out| out.extend_from_slice(&[7; 8][..length.min(8)]));
            let total = out.len() as u32;
            assert_eq!(total % 4, 0);
            assert_eq!((&out[4..8], &out[out.len() - 4..]), (&total.to_le_bytes()[..], &total.to_le_bytes()[..]));
            assert_eq!(out[8..20], [3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
            assert_eq!(out[20..24], (length.min(8) as u32).to_le_bytes());
        }
    }

    #[test]
    fn whole_blocks_of_a_cut_buffer_leave_out_the_lost_packets() {
        let mut out = Vec::new();
        append_section(&mut out, "test", "a comment");
        let section = out.len();
        append_packet(&mut out, 0, 1, |out| out.extend_from_slice(&[1; 5]));
        let first = out.len();
        append_packet(&mut out, 0, 2, |out| out.extend_from_slice(&[2; 5]));
        assert_eq!(whole_blocks(&out, out.len()), out.len());
        assert_eq!(whole_blocks(&out, out.len() - 1), first);
        assert_eq!(whole_blocks(&out, first - 1), section);
        assert_eq!(whole_blocks(&out, section - 1), 0);
        assert_eq!(packets(&out).collect::<Vec<_>>(), [[1; 5], [2; 5]]);
        assert_eq!(packets(&out[first..]).collect::<Vec<_>>(), [[2; 5]]);
    }

    #[test]
    fn statistics_have_the_size_that_is_reserved_for_them() {
        for comment in ["", "x", "four", "a comment"] {
            let mut out = Vec::new();
            append_statistics(&mut out, 0, 2, 1, Counts::default(), comment);
            assert_eq!(out.len() as u64, statistics_size(comment), "{comment}");
        }
    }

    #[test]
    fn long_comment_is_cut_at_the_size_of_an_option() {
        let mut out = Vec::new();
        append_section(&mut out, "test", &"x".repeat(70_000));
        assert_eq!(out.len() % 4, 0);
        assert_eq!(out[24..28], [1, 0, 0xff, 0xff]);
    }
}
