//! Everything that arrives for groups on one interface, whether it was joined or not.

use std::time::Duration;

use socket2::Socket;

use super::socket::{permission, with_zone};
use crate::error::{Error, Result};
use crate::net::fork::ForkSafeMutex;
use crate::pure::coalesce::split;
use crate::pure::packet::block::{Cursor, Frame};
use crate::pure::packet::bpf;
use crate::pure::packet::fragments::{Assembled, Reassembly};
use crate::pure::packet::ip::{Packet, Udp, dscp, parse};
use crate::pure::streams::stream::Arrival;
use crate::pure::streams::table::{Key, Streams};
use crate::sys::{self, PacketBlocks};

/// How long a block waits to be filled. Readers of statistics are not in a hurry.
const DELAY: Duration = Duration::from_millis(20);

/// The datagrams to groups that arrive on one interface, provided that they are read before the rings are full.
///
/// It does not see what this host itself sends, except on the loopback interface.
#[derive(Debug)]
pub struct Wire {
    rings: ForkSafeMutex<Vec<Ring>>,
}

/// The packets of one IP version.
#[derive(Debug)]
struct Ring {
    socket: Socket,
    blocks: PacketBlocks,
    reassembly: Reassembly,
}

/// Counters of a [`Wire`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WireStats {
    /// Datagrams read.
    pub received: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
    /// Packets that the kernel has dropped because a ring was full.
    pub dropped: u64,
    /// Packets with a wrong header or checksum.
    pub invalid: u64,
    /// Datagrams that could not be put together from their fragments.
    pub unassembled: u64,
}

impl Wire {
    /// Open rings of about `bytes` bytes for the IPv4 and the IPv6 packets of the interface with this index.
    pub fn open(interface: u32, bytes: usize) -> Result<Self> {
        let rings = [true, false].map(|is_ipv4| Ring::open(is_ipv4, interface, bytes));
        let rings = rings.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Self { rings: ForkSafeMutex::new(rings)? })
    }

    /// Account for the datagrams that have arrived since the last call, without waiting. Returns the counters since
    /// then.
    pub fn read(&self, streams: &mut Streams) -> Result<WireStats> {
        if self.rings.is_inherited() {
            return Err(Error::Unsupported(
                "cannot read the inherited packets: they belong to the process that opened them (open them here again)"
                    .into(),
            ));
        }
        let mut new = WireStats::default();
        for ring in self.rings.lock_or_refuse()?.iter_mut() {
            ring.read(streams, &mut new);
            let dropped = sys::new_packet_drops(&ring.socket);
            new.dropped += u64::from(dropped.map_err(|e| Error::system("read the counters of a packet socket", e))?);
        }
        Ok(new)
    }
}

impl Ring {
    fn open(is_ipv4: bool, interface: u32, bytes: usize) -> Result<Self> {
        let failed = |e| Error::system("open a packet socket", e).advise(permission);
        let (socket, blocks) = sys::open_packet_ring(is_ipv4, bytes, DELAY).map_err(failed)?;
        sys::receive_every_group(&socket, interface)
            .and_then(|()| sys::filter_packets(&socket, &bpf::every_group(is_ipv4, interface)))
            .map_err(|e| Error::system("receive the packets of every group", e))?;
        Ok(Self { socket, blocks, reassembly: Reassembly::default() })
    }

    fn read(&mut self, streams: &mut Streams, new: &mut WireStats) {
        let lost = self.reassembly.lost();
        // No more than the size of the ring, because the kernel can fill it as fast as it is read.
        let mut left = self.blocks.bytes();
        while let Some(block) = self.blocks.block().filter(|_| left > 0) {
            left = left.saturating_sub(block.len());
            let mut cursor = Cursor::start(block);
            while let Some(frame) = cursor.next(block) {
                take(&frame, &mut self.reassembly, streams, new);
            }
            self.blocks.release();
        }
        new.unassembled += self.reassembly.lost() - lost;
    }
}

/// Account for a packet.
fn take(frame: &Frame<'_>, reassembly: &mut Reassembly, streams: &mut Streams, new: &mut WireStats) {
    match parse(frame.packet, frame.vouched) {
        Packet::Whole(datagram) => add(&datagram, frame, frame.segment, streams, new),
        Packet::Part(fragment) => {
            let assembled = reassembly.add(frame.interface, &fragment, frame.timestamp_ns);
            match assembled.as_ref().map_or(Packet::Other, Assembled::parse) {
                Packet::Whole(datagram) => add(&datagram, frame, 0, streams, new),
                Packet::Invalid => new.invalid += 1,
                Packet::Part(_) | Packet::Other => {}
            }
        }
        Packet::Other => {}
        Packet::Invalid => new.invalid += 1,
    }
}

/// Account for a datagram, or for several that were coalesced.
fn add(datagram: &Udp<'_>, frame: &Frame<'_>, segment: usize, streams: &mut Streams, new: &mut WireStats) {
    let sender = with_zone(datagram.sender, frame.interface);
    let key = Key { sender, group: Some(datagram.group), port: datagram.port };
    let arrival = Arrival {
        time_ns: frame.timestamp_ns,
        interface: frame.interface,
        ttl: Some(datagram.hops),
        dscp: dscp(frame.packet),
    };
    let split = split(datagram.payload.len(), segment);
    new.received += split.count as u64;
    new.bytes += datagram.payload.len() as u64;
    if split.count <= 1 {
        return streams.add(&key, datagram.payload, arrival);
    }
    datagram.payload.chunks(split.size).for_each(|payload| streams.add(&key, payload, arrival));
}
