//! The blocks of a recording that are not packets, and their sizes.

use crate::net::interface_name;
use crate::pure::pcapng;

/// The comment of the statistics of the first interface, if there are drops.
pub(super) const DROPS_COMMENT: &str = "the drops of all interfaces of this file";

/// Return the blocks that a file begins with: its own, with the name of the program and a comment, and one for each of
/// these interfaces.
pub(super) fn header(application: &str, comment: &str, interfaces: &[u32]) -> Vec<u8> {
    let mut header = Vec::new();
    pcapng::append_section(&mut header, application, comment);
    for &index in interfaces {
        header.extend(description(index));
    }
    header
}

/// Return the block that describes an interface.
pub(super) fn description(index: u32) -> Vec<u8> {
    let mut block = Vec::new();
    pcapng::append_interface(&mut block, &interface_name(index).unwrap_or_else(|| "unknown".into()), "");
    block
}

/// Return the most bytes that the statistics of this many interfaces have.
pub(super) fn statistics_size(interfaces: usize) -> u64 {
    let (plain, with_drops) = (pcapng::statistics_size(""), pcapng::statistics_size(DROPS_COMMENT));
    interfaces as u64 * plain + (with_drops - plain)
}
