//! A packet socket whose packets the kernel writes into memory that it shares with this process (packet(7),
//! `TPACKET_V3`).
//!
//! The memory is a ring of blocks. The kernel fills a block and hands it over when it is full or after a while; a block
//! belongs to this process until it is given back.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::pure::packet::bpf::{self, Instruction};
use crate::sys::unix::set_option;

/// Options of `SOL_PACKET` (linux/if_packet.h).
const PACKET_ADD_MEMBERSHIP: c_int = 1;
const PACKET_RX_RING: c_int = 5;
const PACKET_STATISTICS: c_int = 6;
const PACKET_VERSION: c_int = 10;
const PACKET_VNET_HDR: c_int = 15;
const PACKET_FANOUT: c_int = 18;
const PACKET_IGNORE_OUTGOING: c_int = 23;
const TPACKET_V3: c_int = 2;

/// Modes and flags of `PACKET_FANOUT` (linux/if_packet.h).
const FANOUT_BY_FLOW: u32 = 0;
const FANOUT_ROUND_ROBIN: u32 = 1;
/// Outgoing packets, which the filter rejects, do not take a turn. Kernels before 5.12 ignore it.
const FANOUT_IGNORE_OUTGOING: u32 = 0x4000;
/// All fragments of a datagram go to one socket, put together (IPv4 only).
const FANOUT_DEFRAGMENT: u32 = 0x8000;

/// Bytes of a block, which holds any packet. A block is handed over when it is full or its time limit is reached, so
/// many small blocks last longer than a few large ones while the reader is busy.
const BLOCK_BYTES: usize = 1 << 17;
/// The kernel needs a block to fill while another one is read.
const MIN_BLOCKS: usize = 2;
/// The kernel only checks that a block is a multiple of it.
const FRAME_BYTES: usize = 2048;
/// Position of the status in a block: whose it is.
const STATUS_AT: usize = 8;
const OWNED_BY_KERNEL: u32 = 0;
const OWNED_BY_USER: u32 = 1;

/// `struct tpacket_req3`.
#[repr(C)]
#[derive(Clone, Copy)]
struct RingRequest {
    block_bytes: u32,
    blocks: u32,
    frame_bytes: u32,
    frames: u32,
    delay_millis: u32,
    private_bytes: u32,
    features: u32,
}

/// The blocks of a packet socket.
#[derive(Debug)]
pub(crate) struct PacketBlocks {
    start: NonNull<u8>,
    blocks: usize,
    /// The block that the kernel hands over next.
    next: usize,
}

// SAFETY: the mapping belongs to this value alone in this process.
unsafe impl Send for PacketBlocks {}

/// Opens a packet socket for the IPv4 or IPv6 packets of all interfaces, with a ring of about `bytes` bytes, or less if
/// the system has less memory. A block that is not full is handed over after the delay, rounded up to milliseconds.
/// Nothing passes until a filter is set.
pub(crate) fn open_packet_ring(is_ipv4: bool, bytes: usize, delay: Duration) -> io::Result<(Socket, PacketBlocks)> {
    let socket = Socket::new(Domain::from(libc::AF_PACKET), Type::RAW, None)?;
    filter_packets(&socket, &bpf::nothing())?;
    set_option(&socket, libc::SOL_PACKET, PACKET_VERSION, TPACKET_V3)?;
    set_option(&socket, libc::SOL_PACKET, PACKET_VNET_HDR, 1)?;
    match set_option(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) {
        // Before Linux 4.20; the filter rejects them too.
        Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => {}
        result => result?,
    }
    let blocks = request_ring(&socket, bytes.div_ceil(BLOCK_BYTES).max(MIN_BLOCKS), delay)?;
    let mapping = PacketBlocks::map(&socket, blocks)?;
    bind(&socket, if is_ipv4 { libc::ETH_P_IP } else { libc::ETH_P_IPV6 })?;
    Ok((socket, mapping))
}

/// Requests a ring of this many blocks. While there is not enough memory, it halves the number. Returns how many there
/// are.
fn request_ring(socket: &Socket, mut blocks: usize, delay: Duration) -> io::Result<usize> {
    let delay_millis = u32::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
    loop {
        let total = blocks.checked_mul(BLOCK_BYTES).filter(|&total| total <= c_int::MAX as usize);
        let request = |total: usize| {
            let request = RingRequest {
                block_bytes: BLOCK_BYTES as u32,
                blocks: blocks as u32,
                frame_bytes: FRAME_BYTES as u32,
                frames: (total / FRAME_BYTES) as u32,
                delay_millis,
                private_bytes: 0,
                features: 0,
            };
            set_option(socket, libc::SOL_PACKET, PACKET_RX_RING, request)
        };
        match total.map(request) {
            Some(Ok(())) => return Ok(blocks),
            Some(Err(e)) if blocks == MIN_BLOCKS || e.raw_os_error() != Some(libc::ENOMEM) => return Err(e),
            _ => blocks = (blocks / 2).max(MIN_BLOCKS),
        }
    }
}

fn bind(socket: &Socket, protocol: c_int) -> io::Result<()> {
    // SAFETY: zero bytes are a valid sockaddr_ll (integers). Interface 0 stands for all.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (protocol as u16).to_be();
    let size = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer and size describe `address`, which bind(2) only reads.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Replaces the filter of a packet socket. Packets that arrive during the call are checked by the old one or the new
/// one.
pub(crate) fn filter_packets(socket: &Socket, program: &[Instruction]) -> io::Result<()> {
    let convert = |&Instruction { code, jt, jf, k }: &Instruction| libc::sock_filter { code, jt, jf, k };
    let mut instructions: Vec<libc::sock_filter> = program.iter().map(convert).collect();
    let len = u16::try_from(instructions.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: instructions.as_mut_ptr() };
    // The kernel copies the instructions, which live until after the call.
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// Makes the kernel give each packet to one of the sockets in this network namespace that share the same number.
pub(crate) fn share_packets(socket: &Socket, id: u16, round_robin: bool) -> io::Result<()> {
    let way = if round_robin { FANOUT_ROUND_ROBIN } else { FANOUT_BY_FLOW };
    let value = u32::from(id) | (way | FANOUT_IGNORE_OUTGOING | FANOUT_DEFRAGMENT) << 16;
    set_option(socket, libc::SOL_PACKET, PACKET_FANOUT, value)
}

/// Makes the interface deliver the packets of every group, for as long as the socket is open.
pub(crate) fn receive_every_group(socket: &Socket, interface: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: interface as c_int,
        mr_type: libc::PACKET_MR_ALLMULTI as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(socket, libc::SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
}

/// Returns how many packets the kernel has dropped since the last call because the ring was full.
pub(crate) fn new_packet_drops(socket: &Socket) -> io::Result<u32> {
    // struct tpacket_stats_v3: packets, drops, how often the ring was full.
    let mut figures = [0u32; 3];
    let mut size = mem::size_of_val(&figures) as libc::socklen_t;
    // SAFETY: the pointer and size describe `figures`; getsockopt(2) writes at most `size` bytes to it.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_STATISTICS,
            figures.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if result == 0 { Ok(figures[1]) } else { Err(io::Error::last_os_error()) }
}

impl PacketBlocks {
    fn map(socket: &Socket, blocks: usize) -> io::Result<Self> {
        // SAFETY: a mapping at an address that the system chooses replaces no other memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                blocks * BLOCK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { start, blocks, next: 0 })
    }

    /// Returns the size of the ring in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks * BLOCK_BYTES
    }

    /// Returns the next block, if the kernel has handed it over.
    #[inline]
    pub(crate) fn block(&self) -> Option<&[u8]> {
        if self.status().load(Ordering::Acquire) & OWNED_BY_USER == 0 {
            return None;
        }
        // SAFETY: the block is inside of the mapping. The kernel does not write to it until `release` gives it back,
        // which needs an exclusive borrow; a forked process, which shares the memory, never reads it.
        Some(unsafe { slice::from_raw_parts(self.start.as_ptr().add(self.next * BLOCK_BYTES), BLOCK_BYTES) })
    }

    /// Gives the block that [`Self::block`] returned back to the kernel.
    pub(crate) fn release(&mut self) {
        self.status().store(OWNED_BY_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.blocks;
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: the status is an aligned number inside of the mapping, and both sides access it atomically.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(self.next * BLOCK_BYTES + STATUS_AT).cast()) }
    }
}

impl Drop for PacketBlocks {
    fn drop(&mut self) {
        // SAFETY: `map` has mapped exactly this range, and nothing borrows it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes()) };
    }
}
