//! A socket that a receiver reads: a UDP socket, or a packet socket with its ring.

use std::io;
use std::sync::Arc;

use socket2::Socket;

use super::packet::socket::PacketSocket;
use super::socket::GroupSocket;
use super::stats::SocketFigures;

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

    /// The figures that the kernel has of the socket.
    pub(super) fn figures(&self) -> io::Result<SocketFigures> {
        match self {
            Self::Udp(socket) => socket.figures(),
            Self::Packet(socket) => socket.figures(),
        }
    }
}
