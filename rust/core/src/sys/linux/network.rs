//! Questions to the kernel about interfaces and routes, on a socket that stays in the network namespace where it was
//! opened, whatever namespace the calling thread is in.

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::net::IpAddr;

use socket2::{Domain, Socket, Type};

use super::ioctl;
use super::rtnetlink::{self, MAX_DATAGRAM};
use crate::pure::links::{Dump, Links, Progress, addresses_request, links_request};
use crate::pure::netlink::{Refusal, route_answer, route_refusal, route_request};

/// How many times a table is requested if it changes while the kernel copies it.
const MAX_ATTEMPTS: usize = 8;

/// The interfaces and routes of one network namespace.
///
/// After a fork, the child must open its own: parent and child would read each other's answers.
#[derive(Debug)]
pub(crate) struct Network {
    source: Source,
    sequence: u32,
}

#[derive(Debug)]
enum Source {
    Netlink(Socket),
    /// A sandbox forbids netlink: any datagram socket answers some of the questions.
    Ioctl(Socket),
}

impl Network {
    /// Opens a view of the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let source = match rtnetlink::open(0) {
            Ok(socket) => Source::Netlink(socket),
            Err(e) if rtnetlink::is_scarcity(&e) => return Err(e),
            Err(_) => Source::Ioctl(Socket::new(Domain::IPV4, Type::DGRAM, None)?),
        };
        Ok(Self { source, sequence: 0 })
    }

    /// Returns every interface with its names and addresses.
    pub(crate) fn links(&mut self) -> io::Result<Links> {
        let Self { source, sequence } = self;
        let socket = match source {
            Source::Ioctl(socket) => return ioctl::links_at(socket),
            Source::Netlink(socket) => socket,
        };
        for _ in 0..MAX_ATTEMPTS {
            match tables(socket, sequence) {
                Ok(Some(links)) => return Ok(links),
                Ok(None) => {}
                // Android lets a program open the socket, but not ask for links.
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return ioctl::links_at(socket),
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    }

    /// Returns the interface that the routes choose for a destination; `None` if there is no route, or none is known.
    pub(crate) fn route(&mut self, destination: IpAddr) -> io::Result<Option<u32>> {
        Ok(self.ask_for_route(destination, route_answer)?.flatten())
    }

    /// Returns why the routes refuse a destination; `None` if they do not, or if that is not known.
    pub(crate) fn refusal(&mut self, destination: IpAddr) -> io::Result<Option<Refusal>> {
        Ok(self.ask_for_route(destination, route_refusal)?.flatten())
    }

    /// Asks for the route to a destination, and returns what `read_answer` finds in the answer.
    fn ask_for_route<T>(
        &mut self,
        destination: IpAddr,
        read_answer: fn(&[u8], u32) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let Self { source: Source::Netlink(socket), sequence } = self else { return Ok(None) };
        *sequence = sequence.wrapping_add(1);
        socket.send(&route_request(destination, *sequence))?;
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let length = read(socket, &mut buffer)?;
            if let Some(answer) = read_answer(&buffer[..length], *sequence) {
                return Ok(Some(answer));
            }
        }
    }
}

/// Returns links and addresses; `None` if they changed while the kernel copied them.
fn tables(socket: &Socket, sequence: &mut u32) -> io::Result<Option<Links>> {
    let mut links = Links::new();
    let consistent =
        dump(socket, sequence, links_request, &mut links)? && dump(socket, sequence, addresses_request, &mut links)?;
    Ok(consistent.then_some(links))
}

/// Adds a whole table to `links`. Returns whether it is consistent.
fn dump(socket: &Socket, sequence: &mut u32, request: fn(u32) -> Vec<u8>, links: &mut Links) -> io::Result<bool> {
    *sequence = sequence.wrapping_add(1);
    socket.send(&request(*sequence))?;
    let mut dump = Dump::new(*sequence);
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let length = read(socket, &mut buffer)?;
        match dump.read(&buffer[..length], links) {
            Progress::Unfinished => {}
            Progress::Complete => return Ok(true),
            Progress::Inconsistent => return Ok(false),
            Progress::Failed(code) => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// Returns the index of the interface that has this name or alternative name, in the calling thread's namespace; `None`
/// if there is none. This is much faster than [`Network::links`], but does not find labels and long alternative names.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    // The kernel ignores what follows a colon.
    let name = CString::new(name).ok().filter(|_| !name.contains(':'))?;
    // SAFETY: `name` is a live string that ends with a zero byte, which the call only reads.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Returns the name of the interface with this index, in the calling thread's namespace; `None` if there is none.
pub(crate) fn interface_name(index: u32) -> Option<String> {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the IF_NAMESIZE bytes that the call may write.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    let text = CStr::from_bytes_until_nul(&name).ok()?;
    (!found.is_null()).then(|| text.to_string_lossy().into_owned())
}

/// Returns a number that changes with the kernel's coarse clock: every 1 to 10 ms. Reading it costs no system call.
#[allow(clippy::useless_conversion, reason = "both have 32 bits on some systems")]
pub(crate) fn tick() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, and `now` is a live, exclusively borrowed one. It fails only for an unknown
    // clock, which this is not since Linux 2.6.32.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    i64::from(now.tv_sec).wrapping_mul(1_000_000_000).wrapping_add(i64::from(now.tv_nsec))
}

/// Reads one datagram. The kernel answers before `send` returns, and continues a dump with each read, so it is an error
/// if there is nothing to read.
fn read(mut socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_by_netlink_and_by_ioctl_agree() {
        let mut network = Network::open().unwrap();
        assert!(matches!(network.source, Source::Netlink(_)));
        let mut by_netlink = network.links().unwrap();
        assert!(by_netlink.values().any(|interface| interface.loopback && !interface.addresses.is_empty()));
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let mut by_ioctl = ioctl::links_at(&socket).unwrap();
        for interface in by_netlink.values_mut().chain(by_ioctl.values_mut()) {
            // The one thing that no ioctl reports, and the order, which means nothing.
            interface.alternative_names.clear();
            interface.addresses.sort();
        }
        assert_eq!(by_netlink, by_ioctl);
    }

    #[test]
    fn route_to_the_loopback_address_is_the_loopback_interface() {
        let mut network = Network::open().unwrap();
        let index = network.route([127, 0, 0, 1].into()).unwrap().unwrap();
        assert!(network.links().unwrap()[&index].loopback);
    }
}
