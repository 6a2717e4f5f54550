//! One received datagram and its origin.

use std::net::{IpAddr, SocketAddr};

/// The origin of a received buffer. All datagrams that the kernel coalesced into the buffer share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The sender.
    pub sender: SocketAddr,
    /// The group it was sent to, if the system reports it.
    pub group: Option<IpAddr>,
    /// Index of the interface it arrived on; 0 if the system does not report it.
    pub interface: u32,
    /// When the kernel received it, in nanoseconds since the Unix epoch, if the system reports it.
    pub timestamp_ns: Option<i64>,
    /// Its remaining hops, if the system reports them.
    pub ttl: Option<u8>,
    /// The end of the datagram, or some of its control messages, did not fit.
    pub truncated: bool,
}

/// One datagram of a batch.
#[derive(Debug, Clone, Copy)]
pub struct DatagramRef<'a> {
    /// The payload.
    pub data: &'a [u8],
    /// The origin.
    pub origin: &'a Origin,
}
