//! One packet socket: the IPv4 or the IPv6 packets of all interfaces.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use socket2::Socket;

use super::own::OwnSources;
use crate::errno;
use crate::error::{Error, Result};
use crate::net::config::{Fanout, ReceiverConfig};
use crate::net::datagram::Origin;
use crate::net::fork::ForkSafeMutex;
use crate::net::packer::Packer;
use crate::net::socket::held_at_fork;
use crate::net::stats::{Received, SocketFigures};
use crate::net::storage::Storage;
use crate::pure::coalesce::split;
use crate::pure::filter::{Filter, Membership};
use crate::pure::packet::block::{Cursor, Frame};
use crate::pure::packet::bpf;
use crate::pure::packet::fragments::{Assembled, Reassembly};
use crate::pure::packet::ip::{Packet, Udp, can_have, parse};
use crate::sys::{self, PacketBlocks};

/// Bytes of a ring if no receive buffer is requested.
const DEFAULT_RING: usize = 2 << 20;

/// The longest payload of a datagram whose length is not known before it is put together.
const MAX_DATAGRAM: usize = 65_535;

/// The advice for a process that may not open packet sockets.
pub(super) fn permission(code: i32) -> Option<String> {
    (code == errno::NOT_PERMITTED).then(|| {
        "the packet engine needs CAP_NET_RAW: grant it with 'sudo setcap cap_net_raw=ep ENV/bin/python3' to an \
         environment made with 'python3 -m venv --copies ENV', or with 'AmbientCapabilities=CAP_NET_RAW' in a systemd \
         unit"
            .to_owned()
    })
}

/// A packet socket and its ring.
#[derive(Debug)]
pub(in crate::net) struct PacketSocket {
    socket: Socket,
    is_ipv4: bool,
    port: u16,
    bytes: usize,
    fanout: Option<Fanout>,
    reader: ForkSafeMutex<Reader>,
    drops: ForkSafeMutex<u64>,
    /// The datagrams that could not be put together, when the ring was last read.
    unassembled: AtomicU64,
}

/// Where to put datagrams: the slots of a storage from `first` up to `end`, and until it has `rows` datagrams.
#[derive(Debug, Clone, Copy)]
pub(in crate::net) struct Room {
    pub(in crate::net) first: usize,
    pub(in crate::net) end: usize,
    pub(in crate::net) rows: usize,
}

#[derive(Debug)]
struct Reader {
    blocks: PacketBlocks,
    /// The position in the block that is being read.
    cursor: Option<Cursor>,
    delivery: Delivery,
    /// It shares packets with other sockets.
    is_shared: bool,
}

/// The steps between a packet and the user.
#[derive(Debug)]
struct Delivery {
    port: u16,
    timestamps: bool,
    ttl: bool,
    filter: Filter,
    own: OwnSources,
    reassembly: Reassembly,
}

impl AsRef<Socket> for PacketSocket {
    fn as_ref(&self) -> &Socket {
        &self.socket
    }
}

impl PacketSocket {
    /// Open a packet socket that delivers nothing yet.
    pub(super) fn open(config: &ReceiverConfig, is_ipv4: bool) -> Result<Self> {
        let (socket, blocks) =
            sys::open_packet_ring(is_ipv4, config.recv_buffer.unwrap_or(DEFAULT_RING), config.packet_delay)
                .map_err(|e| Error::system("open a packet socket", e).advise(permission))?;
        let delivery = Delivery {
            port: config.port,
            timestamps: config.timestamps,
            ttl: config.ttl,
            filter: Filter::default(),
            own: OwnSources::default(),
            reassembly: Reassembly::for_port(config.port),
        };
        Ok(Self {
            socket,
            is_ipv4,
            port: config.port,
            bytes: blocks.bytes(),
            fanout: config.fanout,
            reader: ForkSafeMutex::new(Reader { blocks, cursor: None, delivery, is_shared: false })?,
            drops: ForkSafeMutex::new(0)?,
            unassembled: AtomicU64::new(0),
        })
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.is_ipv4
    }

    /// Deliver the datagrams of these memberships from now on, and no others. Datagrams of memberships that stay are
    /// delivered without interruption.
    pub(super) fn set_memberships<'a>(&self, memberships: impl Iterator<Item = &'a Membership>) -> Result<()> {
        let mut filter = Filter::default();
        let mut joined = Vec::new();
        for membership in memberships.filter(|membership| membership.group.is_ipv4() == self.is_ipv4) {
            joined.push((membership.group, membership.interface));
            filter.add(membership.clone());
        }
        self.reader.lock_or_refuse()?.delivery.filter = filter;
        let program = if joined.is_empty() { bpf::nothing() } else { bpf::program(self.is_ipv4, self.port, &joined) };
        sys::filter_packets(&self.socket, &program)
            // The system may have too little memory for the program of many groups.
            .or_else(|_| sys::filter_packets(&self.socket, &bpf::any_group(self.is_ipv4, self.port)))
            .map_err(|e| Error::system("filter the packets of the joined groups", e))?;
        // Without its filter, this socket would take packets away from the others and reject them.
        if joined.is_empty() { Ok(()) } else { self.share() }
    }

    /// From now on, leave the datagrams of these senders, and no others, to the bound UDP socket.
    pub(super) fn leave_out(&self, own: OwnSources) -> Result<()> {
        self.reader.lock_or_refuse()?.delivery.own = own;
        Ok(())
    }

    /// Share the packets with other sockets, if that is configured.
    fn share(&self) -> Result<()> {
        let mut reader = self.reader.lock_or_refuse()?;
        let Some(Fanout { id, round_robin }) = self.fanout.filter(|_| !reader.is_shared) else { return Ok(()) };
        let id = 2 * id + u16::from(!self.is_ipv4);
        sys::share_packets(&self.socket, id, round_robin).map_err(|e| {
            Error::system("share packets with other receivers", e).advise(|code| {
                (code == errno::INVALID).then(|| "another program uses this fanout number in another mode".to_owned())
            })
        })?;
        reader.is_shared = true;
        Ok(())
    }

    /// The figures that the kernel has of the socket, and the datagrams that could not be put together from fragments.
    pub(in crate::net) fn figures(&self) -> io::Result<SocketFigures> {
        // A thread that is reading the ring holds the lock while it copies up to a batch, so this does not wait for it.
        if let Some(mut reader) = self.reader.lock_if_free() {
            // The clock that the kernel stamps packets with.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
            reader.delivery.reassembly.expire(now);
            self.unassembled.store(reader.delivery.reassembly.lost(), Ordering::Relaxed);
        }
        let mut drops = self.drops.lock().ok_or_else(held_at_fork)?;
        *drops += u64::from(sys::new_packet_drops(&self.socket)?);
        Ok(SocketFigures {
            kernel_drops: Some(*drops),
            unassembled: self.unassembled.load(Ordering::Relaxed),
            recv_buffer: self.bytes,
            sockets: 1,
        })
    }

    /// Whether the kernel has handed over a block that is not read completely.
    pub(in crate::net) fn has_block(&self) -> bool {
        self.reader.lock().is_some_and(|reader| reader.blocks.block().is_some())
    }

    /// Copy datagrams from the ring into a storage. Returns the first free slot, and whether the ring has more.
    pub(in crate::net) fn read(
        &self,
        storage: &mut Storage,
        room: Room,
        new: &mut Received,
    ) -> io::Result<(usize, bool)> {
        let mut reader = self.reader.lock().ok_or_else(held_at_fork)?;
        let mut packer = storage.packer(room.first, room.end)?;
        let result = reader.read(&mut packer, room.rows, new);
        let first_free = packer.finish();
        self.unassembled.store(reader.delivery.reassembly.lost(), Ordering::Relaxed);
        Ok((first_free.max(room.first), result?))
    }
}

impl Reader {
    /// Copy datagrams until there are `rows`, or the room or the ring is used up. Returns whether the ring has more.
    fn read(&mut self, packer: &mut Packer<'_>, rows: usize, new: &mut Received) -> io::Result<bool> {
        while let Some(block) = self.blocks.block() {
            let cursor = self.cursor.get_or_insert_with(|| Cursor::start(block));
            while !cursor.is_at_end() {
                let before = *cursor;
                let Some(frame) = cursor.next(block) else { break };
                if packer.rows() >= rows || !self.delivery.deliver(&frame, packer, new)? {
                    *cursor = before;
                    return Ok(true);
                }
            }
            self.cursor = None;
            self.blocks.release();
        }
        Ok(false)
    }
}

impl Delivery {
    /// Deliver a packet, or count it. Returns false, without having done anything, if there is not enough room.
    #[inline]
    fn deliver(&mut self, frame: &Frame<'_>, packer: &mut Packer<'_>, new: &mut Received) -> io::Result<bool> {
        match parse(frame.packet, frame.vouched) {
            Packet::Whole(datagram) if datagram.payload.len() > packer.room() => return Ok(false),
            Packet::Whole(datagram) => self.put(&datagram, frame, frame.segment, packer, new)?,
            Packet::Part(_) if packer.room() < MAX_DATAGRAM => return Ok(false),
            Packet::Part(fragment) => {
                let assembled = self.reassembly.add(frame.interface, &fragment, frame.timestamp_ns);
                match assembled.as_ref().map_or(Packet::Other, Assembled::parse) {
                    Packet::Whole(datagram) => self.put(&datagram, frame, 0, packer, new)?,
                    Packet::Invalid => new.invalid += 1,
                    Packet::Part(_) | Packet::Other => {}
                }
            }
            Packet::Other => {}
            Packet::Invalid => new.invalid += 1,
        }
        Ok(true)
    }

    #[inline]
    fn put(
        &mut self,
        datagram: &Udp<'_>,
        frame: &Frame<'_>,
        segment: usize,
        packer: &mut Packer<'_>,
        new: &mut Received,
    ) -> io::Result<()> {
        // The kernel's filter does not look behind extension headers, nor into later fragments.
        if datagram.port != self.port {
            return Ok(());
        }
        if self.own.have(datagram.group, frame.interface, datagram.sender.ip()) {
            return Ok(());
        }
        if !can_have(datagram.sender.ip(), datagram.group, frame.is_loopback) {
            new.invalid += 1;
            return Ok(());
        }
        if !self.filter.admit(datagram.group, frame.interface, datagram.sender.ip()) {
            new.filtered += split(datagram.payload.len(), segment).count as u64;
            return Ok(());
        }
        let origin = Origin {
            sender: with_zone(datagram.sender, frame.interface),
            group: Some(datagram.group),
            interface: frame.interface,
            timestamp_ns: self.timestamps.then_some(frame.timestamp_ns),
            ttl: self.ttl.then_some(datagram.hops),
            truncated: false,
        };
        new.received += packer.pack(datagram.payload, segment, origin)? as u64;
        new.bytes += datagram.payload.len() as u64;
        Ok(())
    }
}

/// Add the interface to the address of a link-local sender.
#[inline]
pub(super) fn with_zone(sender: SocketAddr, interface: u32) -> SocketAddr {
    match sender.ip() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, sender.port(), 0, interface).into(),
        _ => sender,
    }
}
