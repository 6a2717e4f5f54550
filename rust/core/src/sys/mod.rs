//! The differences between platforms, behind one contract; the only unsafe code of this crate.
//!
//! Each platform has a folder, with one file for each idea:
//!
//! * `caps`: facts that never change, such as limits and the names of the settings behind them;
//! * `options`: [`bind_shared`], [`prepare_receiver`], [`tell_destination`] and the few socket options that `socket2`
//!   lacks;
//! * `recv`: [`ReceiveQueue`] receives what is available, with its control messages, without blocking;
//! * `pages`: [`Pages`], memory that is mapped with an error instead of an abort, and can be given back;
//! * `send`: [`SendQueue`] sends until the socket takes no more, without blocking;
//! * `epoll`, `kqueue`: [`ReadySet`], one descriptor that is ready when any of many sockets is, if the system has one;
//! * `packet_ring`: a packet socket, and the ring of [`PacketBlocks`] that the kernel writes packets to;
//! * `rtnetlink`: [`Monitor`] reports that links, addresses or routes changed;
//! * `network`: [`Network`] lists the interfaces and looks routes up, in the network namespace where it was opened;
//!   `ioctl` does what it can of that if a sandbox forbids netlink;
//! * `timers`: [`ExactTimers`] makes the timers of a thread exact;
//! * `waker`: [`Waker`], which another thread sets to end a wait;
//! * `wait`: [`wait_readable`], [`wait_writable`] and [`wait_receiving`] wait until a socket is ready, the waker is
//!   set, a signal arrives or the time is over. They return `None` if the waker is set.
//!
//! Other files serve several platforms: `unix/`; `buffer.rs` (socket buffers); `send_by.rs` (sending through a chosen
//! interface); `source.rs` (source-specific calls); `process.rs` (signals and forks); `exact_timers.rs`,
//! `single_send.rs`, `packetless.rs`, `polling.rs` and `unmonitored.rs`, which stand in for what a system lacks.
//!
//! `socket2` does everything that it can do; this module does the rest. A target that is not listed here does not
//! compile.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Protocol, Socket};

use crate::pure::bytes::bytes_at;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as platform;
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
mod macos;
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
use macos as platform;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

mod buffer;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod exact_timers;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod packetless;
mod polling;
mod process;
mod send_by;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod single_send;
mod source;
#[cfg(unix)]
mod unix;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unmonitored;

pub(crate) use buffer::{request_receive_buffer, request_send_buffer};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use exact_timers::ExactTimers;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use packetless::{
    PacketBlocks, filter_packets, new_packet_drops, open_packet_ring, receive_every_group, share_packets,
};
pub(crate) use platform::*;
pub(crate) use process::{fork_generation, generation, with_signals_blocked};
pub(crate) use send_by::send_by;
pub(crate) use source::{SourceCall, source_call};

/// The result of one send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Messages that the system took.
    pub(crate) messages: usize,
    /// How many of these were coalesced with others.
    pub(crate) coalesced: usize,
    /// The system took nothing because a queue is full, although the socket counts as writable: try again in a moment.
    pub(crate) congested: bool,
}

impl Sent {
    /// Nothing was taken, although the socket counts as writable.
    pub(crate) const CONGESTED: Self = Self { messages: 0, coalesced: 0, congested: true };
}

/// The receiving options of a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Deliver only what was joined on this socket, if the kernel can filter that.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(dead_code, reason = "only Linux can"))]
    pub(crate) strict: bool,
    /// Report when each datagram arrived.
    #[cfg_attr(windows, expect(dead_code, reason = "Windows does not report it"))]
    pub(crate) timestamps: bool,
    /// Report the remaining hops of each datagram.
    pub(crate) ttl: bool,
    /// Accept several datagrams in one buffer, if the kernel can coalesce them.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(dead_code, reason = "only Linux can"))]
    pub(crate) coalesce: bool,
    /// Let each look for datagrams poll the device too, for about so long, if the kernel can and permits it.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(dead_code, reason = "only Linux can"))]
    pub(crate) spin: Duration,
}

/// The memory of a socket, as the kernel reports it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketMemory {
    /// The usable receive buffer in bytes.
    pub(crate) recv_buffer: usize,
    /// How many datagrams it has dropped since the socket was opened, if the system counts them. Wraps at 2^32.
    pub(crate) drops: Option<u32>,
}

/// One received buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Bytes received.
    pub(crate) length: usize,
    /// The datagram was longer than the slot, or its control messages were longer than the room for them.
    pub(crate) truncated: bool,
    /// The sender's address.
    pub(crate) sender: SocketAddr,
    /// The content of the control messages.
    pub(crate) metadata: Metadata,
}

/// The content of the control messages of one received buffer. A field that the system did not report is `None` or 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) destination: Option<IpAddr>,
    pub(crate) interface: u32,
    pub(crate) timestamp_ns: Option<i64>,
    pub(crate) ttl: Option<u8>,
    /// Bytes in each coalesced datagram; 0 if nothing was coalesced.
    pub(crate) segment: usize,
}

impl Metadata {
    /// Reads a `struct in_pktinfo`. The systems order its fields differently, hence the two positions.
    fn packet_info_v4(&mut self, data: &[u8], index_at: usize, destination_at: usize) {
        if let (Some(index), Some(address)) = (bytes_at(data, index_at), bytes_at::<4>(data, destination_at)) {
            self.interface = u32::from_ne_bytes(index);
            self.destination = Some(Ipv4Addr::from(address).into());
        }
    }

    /// Reads a `struct in6_pktinfo`: destination, index (RFC 3542 section 6.2).
    fn packet_info_v6(&mut self, data: &[u8]) {
        if let (Some(address), Some(index)) = (bytes_at::<16>(data, 0), bytes_at(data, 16)) {
            self.destination = Some(Ipv6Addr::from(address).into());
            self.interface = u32::from_ne_bytes(index);
        }
    }

    /// Reads a hop count: an `int` on most systems, one byte on some.
    fn hops(&mut self, data: &[u8]) {
        self.ttl = match data.len() {
            1 => Some(data[0]),
            _ => bytes_at(data, 0).and_then(|hops| u8::try_from(i32::from_ne_bytes(hops)).ok()),
        };
    }
}

/// Returns the protocol of a datagram socket that is not a UDP socket. macOS does not report the protocol.
pub(crate) fn foreign_protocol(socket: &Socket) -> io::Result<Option<i32>> {
    #[cfg(any(target_os = "macos", target_os = "ios"))]
    let protocol: Option<Protocol> = socket.r#type().map(|_| None)?;
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    let protocol = socket.protocol()?;
    Ok(protocol.filter(|protocol| *protocol != Protocol::UDP).map(i32::from))
}

/// Converts the sender's address. UDP has no address families other than these two.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn socket_addr(address: &socket2::SockAddr) -> SocketAddr {
    address.as_socket().unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_info_of_either_family_is_read() {
        let mut metadata = Metadata::default();
        let mut v4 = 7u32.to_ne_bytes().to_vec();
        v4.extend([10, 0, 0, 1, 239, 1, 2, 3]);
        metadata.packet_info_v4(&v4, 0, 8);
        assert_eq!((metadata.interface, metadata.destination), (7, Some("239.1.2.3".parse().unwrap())));

        let group: Ipv6Addr = "ff02::114".parse().unwrap();
        let mut v6 = group.octets().to_vec();
        v6.extend(9u32.to_ne_bytes());
        metadata.packet_info_v6(&v6);
        assert_eq!((metadata.interface, metadata.destination), (9, Some(group.into())));
    }

    #[test]
    fn control_data_too_short_or_out_of_range_is_ignored() {
        let mut metadata = Metadata::default();
        metadata.packet_info_v4(&[1; 11], 0, 8);
        metadata.packet_info_v6(&[1; 19]);
        metadata.hops(&[]);
        metadata.hops(&(-1i32).to_ne_bytes());
        assert_eq!(metadata, Metadata::default());
        metadata.hops(&[64]);
        assert_eq!(metadata.ttl, Some(64));
        metadata.hops(&255i32.to_ne_bytes());
        assert_eq!(metadata.ttl, Some(255));
    }
}
