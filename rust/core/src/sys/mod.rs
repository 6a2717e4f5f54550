//! What the platforms do differently, behind one contract; the only unsafe code of the project.
//!
//! Each platform file gives:
//!
//! * [`Waker`]: something to wait on that another thread can set once, for good;
//! * [`wait_readable`], [`wait_writable`]: sleep until a socket is ready, the waker is set, a signal comes or
//!   the time is over;
//! * [`ReceiveQueue`]: receives what is there, without blocking, with its control messages;
//! * [`SendQueue`]: sends as much as the socket takes, without blocking;
//! * [`ReadySet`]: one descriptor that is ready when any of many sockets is, where the system has such a thing;
//! * [`Monitor`]: tells that interfaces, addresses or routes changed; [`Routes`]: which interface they choose;
//! * [`wait_receiving`]: sleeps as [`wait_readable`] does, or until the monitor has something to tell, and says if it has;
//! * [`duplicate`]: a socket of one's own from somebody else's descriptor;
//! * [`with_signals_blocked`], [`generation`]: what a thread of the core needs to know of its process (in `process.rs`);
//! * [`prepare_receiver`], [`tell_destination`] and the few socket options that `socket2` lacks.
//!
//! `socket2` does everything that it can do; what is here is the rest. A target that is none of these does
//! not compile, rather than half-work.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::pure::cmsg::octets;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "linux.rs"]
mod platform;
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
#[path = "macos.rs"]
mod platform;
#[cfg(windows)]
#[path = "windows.rs"]
mod platform;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
mod kqueue;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod netlink;
mod polling;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable;
mod process;
#[cfg(unix)]
mod unix;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unmonitored;

pub(crate) use crate::errno;
pub(crate) use platform::*;
pub(crate) use process::{fork_generation, generation, with_signals_blocked};

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A socket is ready, or has an error to tell.
    Ready,
    /// The waker was set.
    Woken,
    /// A signal came: the caller lets its owner look at it, then waits on.
    #[cfg_attr(windows, expect(dead_code, reason = "no signal interrupts a wait on Windows"))]
    Interrupted,
    /// The time is over.
    TimedOut,
}

/// What one send of a queue did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Messages that the kernel took.
    pub(crate) messages: usize,
    /// Of these, how many went coalesced with others.
    pub(crate) coalesced: usize,
}

/// What a receiving socket is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Only what was joined on this very socket, where the kernel can sort that out.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(dead_code, reason = "Linux alone can"))]
    pub(crate) strict: bool,
    /// When each datagram came.
    #[cfg_attr(windows, expect(dead_code, reason = "Windows does not tell"))]
    pub(crate) timestamps: bool,
    /// How many hops it has left.
    pub(crate) ttl: bool,
    /// Several datagrams in one buffer, where the kernel can.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(dead_code, reason = "Linux alone can"))]
    pub(crate) coalesce: bool,
}

/// What the kernel told of one received buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Octets received.
    pub(crate) length: usize,
    /// The datagram was longer than the slot, or not all that the kernel told of it had room.
    pub(crate) truncated: bool,
    /// Who sent it.
    pub(crate) sender: SocketAddr,
    /// What the control messages said.
    pub(crate) told: Told,
}

/// The content of the control messages of one received buffer; what was not told stays `None` or 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) destination: Option<IpAddr>,
    pub(crate) interface: u32,
    pub(crate) timestamp_ns: Option<i64>,
    pub(crate) ttl: Option<u8>,
    /// Octets of each coalesced datagram; 0 where nothing was coalesced.
    pub(crate) segment: usize,
}

impl Told {
    /// `struct in_pktinfo`, whose fields the systems order differently: where the index and the destination stand.
    fn packet_info_v4(&mut self, data: &[u8], index_at: usize, destination_at: usize) {
        if let (Some(index), Some(address)) = (octets(data, index_at), octets::<4>(data, destination_at)) {
            self.interface = u32::from_ne_bytes(index);
            self.destination = Some(Ipv4Addr::from(address).into());
        }
    }

    /// `struct in6_pktinfo`: destination, index (RFC 3542 section 6.2).
    fn packet_info_v6(&mut self, data: &[u8]) {
        if let (Some(address), Some(index)) = (octets::<16>(data, 0), octets(data, 16)) {
            self.destination = Some(Ipv6Addr::from(address).into());
            self.interface = u32::from_ne_bytes(index);
        }
    }

    /// A hop count: an `int` on most systems, one octet on some.
    fn hops(&mut self, data: &[u8]) {
        self.ttl = match data.len() {
            1 => Some(data[0]),
            _ => octets(data, 0).and_then(|hops| u8::try_from(i32::from_ne_bytes(hops)).ok()),
        };
    }
}

/// The sender of a datagram; UDP has no others than these two families.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn socket_addr(address: &socket2::SockAddr) -> SocketAddr {
    address.as_socket().unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_info_of_both_families_is_read() {
        let mut told = Told::default();
        let mut v4 = 7u32.to_ne_bytes().to_vec();
        v4.extend([10, 0, 0, 1, 239, 1, 2, 3]);
        told.packet_info_v4(&v4, 0, 8);
        assert_eq!((told.interface, told.destination), (7, Some("239.1.2.3".parse().unwrap())));

        let group: Ipv6Addr = "ff02::114".parse().unwrap();
        let mut v6 = group.octets().to_vec();
        v6.extend(9u32.to_ne_bytes());
        told.packet_info_v6(&v6);
        assert_eq!((told.interface, told.destination), (9, Some(group.into())));
    }

    #[test]
    fn short_or_senseless_data_tells_nothing() {
        let mut told = Told::default();
        told.packet_info_v4(&[1; 11], 0, 8);
        told.packet_info_v6(&[1; 19]);
        told.hops(&[]);
        told.hops(&(-1i32).to_ne_bytes());
        assert_eq!(told, Told::default());
        told.hops(&[64]);
        assert_eq!(told.ttl, Some(64));
        told.hops(&255i32.to_ne_bytes());
        assert_eq!(told.ttl, Some(255));
    }
}
