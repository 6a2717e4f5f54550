//! A socket that a receiver reads: a UDP socket, or a packet socket with its ring.

use std::io;
use std::sync::Arc;

use socket2::Socket;

use super::packet::socket::PacketSocket;
use super::socket::GroupSocket;

/// A socket that a receiver reads and waits on.
#[derive(Debug)]
pub(super) enum Inlet {
    Udp(Arc<GroupSocket>),
    Packet(Arc<PacketSocket>),
}

impl AsRef<Socket> for Inlet {
    fn as_ref(&self) -> &Socket {
        match self {
            Self::Udp(socket) => (**socket).as_ref(),
            Self::Packet(socket) => (**socket).as_ref(),
        }
    }
}

impl Inlet {
    /// The UDP socket, if it is one.
    pub(super) fn udp(&self) -> Option<&Arc<GroupSocket>> {
        match self {
            Self::Udp(socket) => Some(socket),
            Self::Packet(_) => None,
        }
    }

    pub(super) fn is_packet(&self) -> bool {
        matches!(self, Self::Packet(_))
    }

    /// The datagrams that the kernel dropped at this socket, if the system counts them.
    pub(super) fn kernel_drops(&self) -> io::Result<Option<u64>> {
        match self {
            Self::Udp(socket) => socket.kernel_drops(),
            Self::Packet(socket) => socket.kernel_drops().map(Some),
        }
    }

    /// The datagrams that could not be put together from their fragments here. The kernel does not report its own.
    pub(super) fn unassembled(&self) -> io::Result<u64> {
        match self {
            Self::Udp(_) => Ok(0),
            Self::Packet(socket) => socket.unassembled(),
        }
    }

    /// The usable receive buffer in bytes.
    pub(super) fn buffer(&self) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.buffer(),
            Self::Packet(socket) => Ok(socket.bytes()),
        }
    }
}
