//! The destination of a sender: its group, and the interface, which is found again after it was deleted and created
//! again.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use socket2::{SockAddr, Socket};

use super::config::SenderConfig;
use super::links::{Chosen, choose, find, route_advice};
use super::send_options;
use crate::errno;
use crate::error::{Error, Result};
use crate::pure::address::{InterfaceName, max_payload};
use crate::pure::links::Interface;
use crate::sys;

/// A group, and the interface to send through.
#[derive(Debug)]
pub(super) struct Destination {
    group: IpAddr,
    port: u16,
    /// The interface as the user named it.
    requested: InterfaceName,
    on: Chosen,
    address: SockAddr,
    /// The tick of the clock when the interface was last looked up.
    checked_at: i64,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", SocketAddr::new(self.group, self.port), self.on.phrase())
    }
}

impl Destination {
    /// Find the interface.
    pub(super) fn new(config: &SenderConfig) -> Result<Self> {
        let on = choose(&config.interface)?;
        Ok(Self {
            group: config.group,
            port: config.port,
            requested: config.interface.clone(),
            address: socket_address(config.group, config.port, on.index),
            on,
            checked_at: sys::tick(),
        })
    }

    /// The address for the system calls that send.
    #[inline]
    pub(super) fn address(&self) -> &SockAddr {
        &self.address
    }

    /// Index of the interface; 0 if the routes choose.
    pub(super) fn interface(&self) -> u32 {
        self.on.index
    }

    /// Make a socket send through the interface.
    pub(super) fn apply(&self, socket: &Socket) -> io::Result<()> {
        self.apply_on(&self.on, socket)
    }

    fn apply_on(&self, on: &Chosen, socket: &Socket) -> io::Result<()> {
        match on.index {
            0 => Ok(()),
            index if self.group.is_ipv4() => sys::set_send_interface_v4(socket, index, on.address),
            index => socket.set_multicast_if_v6(index),
        }
    }

    /// Refuse a TTL of 0 where the system would let such a datagram leave this host.
    pub(super) fn check_ttl(&self, socket: &Socket, ttl: u8) -> Result<()> {
        self.check_ttl_on(&self.on, socket, ttl)
    }

    fn check_ttl_on(&self, on: &Chosen, socket: &Socket, ttl: u8) -> Result<()> {
        if ttl != 0 || sys::CONFINES_TTL_0 {
            return Ok(());
        }
        let links = sys::links_at(socket).map_err(|e| Error::system("list the interfaces", e))?;
        if links.get(&on.index).is_some_and(|interface| interface.loopback) {
            return Ok(());
        }
        Err(Error::Unsupported(format!(
            "cannot send to {self} with ttl=0: this system lets such a datagram leave the machine unless a program here \
             has joined the group (to stay on this machine, name the loopback interface, as in interface=\"127.0.0.1\")"
        )))
    }

    /// Make sure that the index still belongs to the interface that the user named: the system can give the index of a
    /// deleted interface to another one. This looks at most once in each tick of the system's clock, because an
    /// interface is not replaced faster than that.
    #[inline]
    pub(super) fn verify(&mut self, socket: &Socket) -> Result<()> {
        if self.on.index == 0 || sys::tick() == self.checked_at { Ok(()) } else { self.look(socket) }
    }

    fn look(&mut self, socket: &Socket) -> Result<()> {
        let now = sys::tick();
        let is_same = sys::interface_index_at(socket, &self.on.name) == Some(self.on.index);
        if !is_same && !self.find_again(socket)? {
            return Err(self.explain(socket, io::Error::from_raw_os_error(errno::NO_DEVICE)));
        }
        self.checked_at = now;
        Ok(())
    }

    /// Whether the error of a send can mean that the interface was created again.
    pub(super) fn can_be_lost(&self, error: &io::Error) -> bool {
        self.on.index != 0 && error.raw_os_error().is_some_and(|code| ROUTING.contains(&code))
    }

    /// Look for the interface that the user named, in the network namespace of the socket, and make the socket send
    /// through it. Returns whether it is a different interface than before.
    pub(super) fn find_again(&mut self, socket: &Socket) -> Result<bool> {
        let failed = |e| Error::system(format!("find the interface to send to {self} again"), e);
        let Some(found) = self.look_up(socket).map_err(failed)?.filter(|found| *found != self.on) else {
            return Ok(false);
        };
        let ttl = send_options::read(socket, self.group.is_ipv4()).map_err(failed)?.ttl;
        self.check_ttl_on(&found, socket, ttl)?;
        self.apply_on(&found, socket).map_err(|e| Error::system(format!("set up a socket to send to {self}"), e))?;
        self.address = socket_address(self.group, self.port, found.index);
        self.on = found;
        Ok(true)
    }

    fn look_up(&self, socket: &Socket) -> io::Result<Option<Chosen>> {
        let at = |name: &str| sys::interface_index_at(socket, name);
        Ok(match &self.requested {
            InterfaceName::Default => None,
            // The user named this index, but did not mean another interface that has it now.
            InterfaceName::Index(index) => Some(self.on.clone()).filter(|on| at(&on.name) == Some(*index)),
            // A name without a colon is not the label of an address.
            InterfaceName::Name(name) if !name.contains(':') => {
                let own = at(&self.on.name);
                at(name).or(own).map(|index| {
                    let name = if own == Some(index) { &self.on.name } else { name };
                    Chosen { index, name: name.clone(), address: None }
                })
            }
            // The IPv6 addresses in the namespace of the socket can be unknown. In that case, the interface is found by
            // its name.
            InterfaceName::Name(_) | InterfaceName::Address(_) => find(&self.requested, &sys::links_at(socket)?)
                .or_else(|| at(&self.on.name).map(|index| Chosen { index, ..self.on.clone() })),
        })
    }

    /// Make the error for a failed send, with advice.
    pub(super) fn explain(&self, socket: &Socket, error: io::Error) -> Error {
        Error::system(format!("send to {self}"), error).advise(|code| self.advice(socket, code))
    }

    fn advice(&self, socket: &Socket, code: i32) -> Option<String> {
        match code {
            errno::NO_BUFFERS => {
                let longest = max_payload(self.group);
                Some(format!(
                    "the send buffer is too small for the datagram: leave send_buffer out, or set it to {longest} or more"
                ))
            }
            errno::MESSAGE_TOO_LONG => None,
            _ if self.on.index == 0 => route_advice(self.group, code).or_else(|| self.address_advice(code)),
            code if ROUTING.contains(&code) => {
                let links = sys::links_at(socket).ok()?;
                let here = links.get(&self.on.index).filter(|here| here.name == self.on.name);
                self.interface_advice(code, here, |address| {
                    links.values().any(|interface| interface.addresses.contains(&address))
                })
            }
            _ => None,
        }
    }

    /// Advice for an error of a sender that was opened for an interface.
    fn interface_advice(&self, code: i32, here: Option<&Interface>, exists: impl Fn(IpAddr) -> bool) -> Option<String> {
        let name = &self.on.name;
        let Some(here) = here else {
            return Some(format!("{name} does not exist: the sender continues when it is back"));
        };
        if !here.up {
            return Some(format!("{name} is down: bring it up, or name another interface"));
        }
        if let Some(address) = self.on.address.filter(|address| !exists(*address)) {
            return Some(format!(
                "no interface has the address {address} now: the sender continues when it is back, or name the \
                 interface itself"
            ));
        }
        if self.group.is_ipv6() && here.loopback && code == errno::NETWORK_UNREACHABLE {
            return Some(format!(
                "no route for IPv6 groups on {name}: add one with 'ip -6 route add local ff00::/8 dev {name} table \
                 local', or name another interface"
            ));
        }
        self.address_advice(code)
    }

    /// Advice for an error that means that there is no route to the group, or no address to send from.
    fn address_advice(&self, code: i32) -> Option<String> {
        match code {
            // This is about the source address, which the user did not name.
            errno::ADDRESS_NOT_AVAILABLE => {
                Some("no address to send from: name an interface that is up and has one of this IP version".into())
            }
            errno::NETWORK_UNREACHABLE if self.group.is_ipv6() => {
                Some("no route to the group: name an interface that is up and has an IPv6 address".into())
            }
            _ => None,
        }
    }
}

/// The error codes of a send through an interface that is gone, or that has no address or route now.
const ROUTING: [i32; 4] = [errno::NO_DEVICE, errno::NETWORK_UNREACHABLE, errno::ADDRESS_NOT_AVAILABLE, errno::INVALID];

fn socket_address(group: IpAddr, port: u16, zone: u32) -> SockAddr {
    match group {
        IpAddr::V4(_) => SocketAddr::new(group, port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, zone).into(),
    }
    .into()
}
