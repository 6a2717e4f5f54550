//! The parts of the IP header that a datagram keeps.

use std::net::IpAddr;

/// The addresses and hops of a packet, which its UDP header does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The sender.
    pub source: IpAddr,
    /// The destination.
    pub group: IpAddr,
    /// The remaining hops.
    pub hops: u8,
}
