//! Systems without packet rings.

use std::io;
use std::time::Duration;

use socket2::Socket;

use crate::errno;
use crate::pure::packet::bpf::Instruction;

/// Never made.
#[derive(Debug)]
pub(crate) enum PacketBlocks {}

/// Fails: this system has no packet ring that this crate knows.
pub(crate) fn open_packet_ring(_: bool, _: usize, _: Duration) -> io::Result<(Socket, PacketBlocks)> {
    Err(io::Error::from_raw_os_error(errno::NOT_SUPPORTED))
}

/// Fails likewise.
pub(crate) fn filter_packets(_: &Socket, _: &[Instruction]) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(errno::NOT_SUPPORTED))
}

/// Fails likewise.
pub(crate) fn share_packets(_: &Socket, _: u16, _: bool) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(errno::NOT_SUPPORTED))
}

/// Fails likewise.
pub(crate) fn receive_every_group(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(errno::NOT_SUPPORTED))
}

/// Fails likewise.
pub(crate) fn new_packet_drops(_: &Socket) -> io::Result<u32> {
    Err(io::Error::from_raw_os_error(errno::NOT_SUPPORTED))
}

impl PacketBlocks {
    pub(crate) fn bytes(&self) -> usize {
        match *self {}
    }

    pub(crate) fn block(&self) -> Option<&[u8]> {
        match *self {}
    }

    pub(crate) fn release(&mut self) {
        match *self {}
    }
}
