//! Answering a datagram: one datagram back to its sender, from the port of the receiver.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::links::{interface_name, snapshot};
use super::receiver::Receiver;
use super::sender::check_size;
use super::socket::GroupSocket;
use super::socket_set::SocketTable;
use crate::errno;
use crate::error::{Error, Result};
use crate::pure::wake::Wake;
use crate::sys;

impl Receiver {
    /// Send a datagram from the port of this receiver, through the interface with this index (0: the routes choose).
    /// Returns false if the send buffer is full; [`Receiver::wait_to_reply`] waits until it is not. Never blocks.
    pub fn reply(&self, to: SocketAddr, interface: u32, payload: &[u8]) -> Result<bool> {
        check_size(to.ip(), payload.len(), &to.to_string())?;
        let socket = replying(&*self.open_table()?, to, interface)?;
        let source = if sys::SENDS_FROM_GROUP { own_address(to.ip(), interface)? } else { None };
        sys::send_by((*socket).as_ref(), interface, source, to, payload)
            .map_err(|e| Error::system(format!("reply to {to}"), e).advise(|code| advice(code, interface)))
    }

    /// Sleep until the system accepts more to send to this address, or until the timeout.
    pub fn wait_to_reply(&self, to: SocketAddr, interface: u32, timeout: Option<Duration>) -> Result<Wake> {
        let table = self.open_table()?;
        let socket = replying(&table, to, interface)?;
        let wake = sys::wait_writable((*socket).as_ref(), &table.waker, timeout)
            .map_err(|e| Error::system(format!("wait to reply to {to}"), e))?;
        self.woken(wake, false)
    }
}

fn advice(code: i32, interface: u32) -> Option<String> {
    let named = || interface_name(interface).unwrap_or_else(|| format!("interface {interface}"));
    let is_routing = matches!(code, errno::NETWORK_UNREACHABLE | errno::HOST_UNREACHABLE | errno::NO_DEVICE);
    (is_routing && interface != 0)
        .then(|| format!("no route to the sender through {}, on which the datagram arrived", named()))
}

/// The socket to reply with.
fn replying(table: &SocketTable, to: SocketAddr, interface: u32) -> Result<Arc<GroupSocket>> {
    let found = table.sockets.iter().filter_map(|inlet| inlet.udp()).find(|socket| socket.can_send(to.ip(), interface));
    found.map(Arc::clone).ok_or_else(|| {
        Error::Invalid(format!("cannot reply to {to}: no socket of this receiver has its IP version and interface"))
    })
}

/// An address of this host on the interface, of the same IP version as `to`. `None` lets the system choose.
fn own_address(to: IpAddr, interface: u32) -> Result<Option<IpAddr>> {
    Ok(snapshot()?.get(&interface).and_then(|here| here.same_version(to).next().copied()))
}
