//! Reading datagrams from the sockets into memory, under a lock of its own.

use std::io;
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::batch::Batch;
use super::datagram::DatagramRef;
use super::inlet::Inlet;
use super::packet::socket::{PacketSocket, Room};
use super::socket::GroupSocket;
use super::socket_set::SocketTable;
use super::stats::{Counters, Received};
use super::storage::{Pool, SLOTS, STRIDE, Storage, reserve_headroom};
use crate::pure::coalesce::split;
use crate::sys::ReceiveQueue;

/// Kernel calls of one fill. After these, other threads get the lock and the caller can check its signals and timeout.
const MAX_CALLS: usize = 16;

/// Slots of a kernel call after a pause in the traffic.
const MIN_SLOT_COUNT: usize = 4;

/// The least slots of a socket in its turn, if there is room. A kernel call costs about the same as two datagrams.
const MIN_SHARE: usize = 16;

/// How long a consumer may take for the datagrams of one fetch if it takes them one at a time while other sockets may
/// have some too.
const MAX_LEAD: Duration = Duration::from_millis(1);

/// The most datagrams and bytes of a batch that is always copied into memory of its size: the copy costs little, and
/// the batch would pin the memory of a whole fetch.
const MAX_SMALL_ROWS: usize = 16;
const MAX_SMALL_BYTES: usize = 4096;

/// The most bytes of a batch that is copied if the user holds earlier ones. Fresh memory for the next fetch would cost
/// more, and longer batches use a good part of what they pin.
const MAX_COPIED_BYTES: usize = 524_288;

/// The shortest time between two releases of the memory of long datagrams. A release costs about a millisecond.
const RELEASE_PERIOD: Duration = Duration::from_millis(100);

/// How many times in a row only the packet rings are checked, which needs no kernel call, while they have something to
/// read.
const MAX_RING_LOOKS: u32 = 16;

/// The least memory that a queued datagram takes, with the kernel's bookkeeping, on any system. In bytes.
const MIN_QUEUED_BYTES: usize = 256;

/// The state of receiving. Locked for no longer than a few kernel calls that do not block.
pub(super) struct Fetch {
    queue: ReceiveQueue,
    pool: Pool,
    /// Received and not yet taken: the remaining rows of a storage.
    pending: Option<(Arc<Storage>, Range<usize>)>,
    /// Indexes of the sockets that had something to read when last asked and were not read since. The last one is read
    /// next. Each is read once; then all sockets are asked again, so that none of them waits for another to be empty.
    ready: Vec<usize>,
    /// Slots of the next kernel call on each socket: twice as many as the last one filled. Preparing all slots for a
    /// single datagram costs a tenth of its processing time.
    next_slot_counts: Vec<usize>,
    /// When datagrams were last fetched to be handed out singly, and how many.
    last_lead: Option<(Instant, usize)>,
    counters: Arc<Counters>,
    /// When memory was last given back.
    released_at: Option<Instant>,
    /// How many times only the packet rings were checked since all sockets were.
    ring_looks: u32,
    /// The storage that was filled last has no room for the next datagram.
    is_full: bool,
    /// The last fill read all that the sockets had when it began. Its last look was at all of them, not only at packet
    /// rings, and none has more than it has given since.
    has_all: bool,
    /// The receiver was closed: nothing is received from sockets that a caller looked up before.
    is_closed: bool,
}

/// The result of one fill, apart from the datagrams.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filled {
    /// The only socket is known to have nothing more to read.
    pub(super) drained: bool,
    /// The monitor has something to report, or the timer of the set expired.
    pub(super) monitor_ready: bool,
}

impl Fetch {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            queue: ReceiveQueue::new(SLOTS),
            pool: Pool::default(),
            pending: None,
            ready: Vec::new(),
            next_slot_counts: Vec::new(),
            last_lead: None,
            counters,
            released_at: None,
            ring_looks: 0,
            is_full: false,
            has_all: false,
            is_closed: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Whether a wait is unnecessary.
    pub(super) fn has_work(&self) -> bool {
        self.pending.is_some() || !self.ready.is_empty()
    }

    pub(super) fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the last fill left nothing in the kernel that was there when it began.
    pub(super) fn has_all(&self) -> bool {
        self.has_all
    }

    /// How many datagrams were received and not yet taken.
    pub(super) fn pending(&self) -> usize {
        self.pending.as_ref().map_or(0, |(_, rows)| rows.len())
    }

    /// As [`Fetch::pending`], but `limit` if [`Fetch::extend`] cannot add to it.
    pub(super) fn gathered(&self, limit: usize) -> usize {
        if self.is_full && self.pending.is_some() { limit } else { self.pending() }
    }

    /// Drop what was received and not yet taken, for good.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.pending = None;
        self.counters.set_pending(0);
        self.ready.clear();
    }

    /// Take up to `max` datagrams of what was received before. If memory is scarce, nothing is taken.
    pub(super) fn take_pending(&mut self, max: usize) -> io::Result<Option<Batch>> {
        let Some((storage, rows)) = &self.pending else { return Ok(None) };
        let taken = rows.start..rows.end.min(rows.start.saturating_add(max));
        let copy = if self.pool.is_held() || taken.len() <= MAX_SMALL_ROWS {
            reserve_headroom()?;
            let bytes = storage.payload_bytes(&taken);
            let is_small = taken.len() <= MAX_SMALL_ROWS && bytes <= MAX_SMALL_BYTES;
            let is_copied = is_small || (self.pool.is_held() && bytes <= MAX_COPIED_BYTES);
            if is_copied { Some(storage.copy(taken.clone())?) } else { None }
        } else {
            None
        };
        let shared = self.take_rows(max);
        Ok(copy.map_or(shared, |copy| {
            let rows = 0..copy.len();
            Some(Batch::new(Arc::new(copy), rows))
        }))
    }

    /// As [`Fetch::take_pending`], for a batch that is not kept: it shares the memory of the fetch.
    pub(super) fn take_rows(&mut self, max: usize) -> Option<Batch> {
        let (storage, rows) = self.pending.take()?;
        let end = rows.end.min(rows.start.saturating_add(max));
        let batch = Batch::new(Arc::clone(&storage), rows.start..end);
        self.counters.set_pending(rows.end - end);
        if end < rows.end {
            self.pending = Some((storage, end..rows.end));
        } else {
            self.pool.keep(storage);
        }
        Some(batch)
    }

    /// Give the memory that long datagrams used back to the system, if nothing is received now.
    pub(super) fn release_memory(&mut self) {
        if self.pending.is_none() && self.pool.has_long() {
            let now = Instant::now();
            if self.released_at.is_none_or(|at| now - at >= RELEASE_PERIOD) {
                self.released_at = Some(now);
                self.pool.release();
            }
        }
    }

    /// Call `use_it` with the next datagram of what was received before.
    #[inline]
    pub(super) fn next_pending<T>(&mut self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Option<T> {
        let (storage, rows) = self.pending.as_mut()?;
        let taken = use_it(storage.row(rows.start));
        rows.start += 1;
        self.counters.set_pending(rows.len());
        if rows.start == rows.end {
            if let Some((storage, _)) = self.pending.take() {
                self.pool.keep(storage);
            }
        }
        Some(taken)
    }

    /// As [`Fetch::fill`], for datagrams that are taken one at a time. A slow consumer of several sockets gets no more
    /// than it uses up in a moment, so that a socket with few datagrams does not wait behind one with many.
    pub(super) fn fill_for_singles(&mut self, table: &SocketTable, limit: usize, strict: bool) -> io::Result<Filled> {
        if table.sockets.len() < 2 {
            return self.fill(table, limit, strict);
        }
        let now = Instant::now();
        let limit = match self.last_lead {
            Some((at, count)) if count > 0 => {
                let nanos = (now - at).as_nanos().max(1);
                let affordable = MAX_LEAD.as_nanos() * count as u128 / nanos;
                usize::try_from(affordable).unwrap_or(limit).clamp(1, limit.max(1))
            }
            _ => limit,
        };
        let filled = self.fill(table, limit, strict);
        self.last_lead = Some((now, self.pending()));
        filled
    }

    /// Receive into an unused storage until it has `limit` datagrams, or nothing more can be read.
    pub(super) fn fill(&mut self, table: &SocketTable, limit: usize, strict: bool) -> io::Result<Filled> {
        let mut storage = self.pool.take()?;
        let result = match Arc::get_mut(&mut storage) {
            Some(own) => {
                own.clear();
                self.receive(table, own, 0, limit.max(1), strict)
            }
            None => Err(io::Error::other("a pooled buffer is in use")),
        };
        if storage.len() > 0 {
            let rows = 0..storage.len();
            self.counters.set_pending(rows.len());
            self.pending = Some((storage, rows));
        } else {
            self.pool.keep(storage);
            self.release_memory();
        }
        result
    }

    /// Receive more behind the datagrams that were not taken yet, until there are `limit` of them or the storage is
    /// full. Does nothing if a batch shares the storage.
    pub(super) fn extend(&mut self, table: &SocketTable, limit: usize, strict: bool) -> io::Result<Filled> {
        let Some((mut storage, rows)) = self.pending.take() else {
            return self.fill(table, limit, strict);
        };
        // A batch that shares the storage, or that is long, leaves no room.
        self.is_full = true;
        let result = match Arc::get_mut(&mut storage).map(|own| (own.make_room(), own)) {
            Some((used, own)) if used < SLOTS && rows.len() < limit => {
                self.receive(table, own, used, limit.saturating_add(rows.start), strict)
            }
            _ => Ok(Filled::default()),
        };
        let rows = rows.start..storage.len();
        self.counters.set_pending(rows.len());
        self.pending = Some((storage, rows));
        result
    }

    /// Receive into the slots from `used` on, until the storage has `limit` datagrams, or nothing more can be read.
    fn receive(
        &mut self,
        table: &SocketTable,
        storage: &mut Storage,
        mut used: usize,
        limit: usize,
        strict: bool,
    ) -> io::Result<Filled> {
        let alone = table.sockets.len() == 1;
        (self.is_full, self.has_all) = (false, false);
        let mut filled = Filled::default();
        // Whether a socket may have more to read than it has given since the last look.
        let mut has_more = true;
        // Bounded, so that a flood does not keep the lock from other threads.
        for _ in 0..MAX_CALLS {
            if self.ready.is_empty() && mem::take(&mut has_more) {
                filled.monitor_ready |= self.look(table)?;
            }
            // Each socket that waits for its turn gets an equal share of the room, unless that is very little.
            let waiting = self.ready.len();
            let Some(next) = self.ready.pop() else { break };
            let Some(inlet) = table.sockets.get(next) else { continue };
            let share = |room: usize| room.div_ceil(waiting).max(MIN_SHARE).min(room);
            let rows = share(limit - storage.len());
            let (first_free, more) = match &**inlet {
                Inlet::Udp(socket) => {
                    let asked = self.next_slot_count(next).min(share(SLOTS - used)).min(rows);
                    let count = self.read_socket(socket, next, storage, (used, asked), strict)?;
                    (used + count, count == asked)
                }
                Inlet::Packet(socket) => {
                    let room = Room { first: used, end: used + share(SLOTS - used), rows: storage.len() + rows };
                    let (first_free, more) = self.read_packets(socket, storage, room)?;
                    self.is_full = more && waiting == 1 && storage.len() < room.rows;
                    (first_free, more)
                }
            };
            has_more |= more;
            // If there is a packet ring too, a UDP socket is nearly always empty.
            filled.drained |= (alone || (inlet.is_packet() && waiting == 1)) && !more;
            if storage.len() == 0 {
                continue;
            }
            used = first_free;
            if used == SLOTS && storage.len() < limit {
                // Packing short datagrams makes room for more.
                used = storage.pack();
                self.is_full = used == SLOTS;
            }
            if storage.len() >= limit || self.is_full {
                return Ok(filled);
            }
        }
        self.has_all = self.ready.is_empty() && !has_more && (alone || self.ring_looks == 0);
        // A waiter on the descriptor of the set may have been woken by the monitor or the timer.
        if let (Some(set), true) = (&table.set, alone && storage.len() == 0 && self.ready.is_empty()) {
            filled.monitor_ready |= set.ready(&table.sockets, &mut self.ready)?;
        }
        Ok(filled)
    }

    /// Find the sockets to read. A single one is simply tried. Returns whether the monitor is ready.
    fn look(&mut self, table: &SocketTable) -> io::Result<bool> {
        match &table.set {
            Some(_) if self.ring_looks < MAX_RING_LOOKS && self.look_at_rings(table) => {
                self.ring_looks += 1;
                Ok(false)
            }
            Some(set) if table.sockets.len() != 1 => {
                self.ring_looks = 0;
                let monitor_ready = set.ready(&table.sockets, &mut self.ready)?;
                self.ready.reverse();
                Ok(monitor_ready)
            }
            _ => {
                self.ready.push(0);
                Ok(false)
            }
        }
    }

    /// Find the packet rings to read. Returns whether there are any.
    fn look_at_rings(&mut self, table: &SocketTable) -> bool {
        let has_block = |inlet: &Inlet| matches!(inlet, Inlet::Packet(socket) if socket.has_block());
        self.ready.extend((0..table.sockets.len()).rev().filter(|&index| has_block(&table.sockets[index])));
        !self.ready.is_empty()
    }

    /// Slots of the next kernel call on this socket.
    fn next_slot_count(&mut self, index: usize) -> usize {
        if self.next_slot_counts.len() <= index {
            self.next_slot_counts.resize(index + 1, MIN_SLOT_COUNT);
        }
        self.next_slot_counts[index]
    }

    /// Copy datagrams from a packet ring. Returns the first free slot, and whether the ring has more.
    fn read_packets(&self, socket: &PacketSocket, storage: &mut Storage, room: Room) -> io::Result<(usize, bool)> {
        let mut new = Received::default();
        let result = socket.read(storage, room, &mut new);
        self.counters.add(&new);
        result
    }

    /// Read the socket with this index by one kernel call, into `slots.1` slots from `slots.0` on. Returns how many
    /// were filled.
    fn read_socket(
        &mut self,
        socket: &GroupSocket,
        index: usize,
        storage: &mut Storage,
        slots: (usize, usize),
        strict: bool,
    ) -> io::Result<usize> {
        let mut rules = socket.rules()?;
        let (buffer, mut recorder) = storage.fill(slots.0, slots.1)?;
        let mut new = Received::default();
        let count = self.queue.receive(socket.as_ref(), buffer, STRIDE, |slot, mut arrival| {
            if !rules.admit(&mut arrival, strict) {
                new.filtered += split(arrival.length, arrival.metadata.segment).count as u64;
            } else if arrival.truncated {
                new.truncated += recorder.record(slot, &arrival) as u64;
            } else {
                new.received += recorder.record(slot, &arrival) as u64;
                new.bytes += arrival.length as u64;
            }
        })?;
        self.counters.add(&new);
        // A call that filled all its slots, which may have been few, is no reason to prepare fewer than before.
        let least = if count == slots.1 { self.next_slot_counts[index] } else { MIN_SLOT_COUNT };
        self.next_slot_counts[index] = (2 * count).clamp(least, SLOTS);
        Ok(count)
    }

    /// Discard what the kernel coalesced before coalescing was turned off: code that does not know about coalescing
    /// could not split it.
    pub(super) fn discard_coalesced(&mut self, socket: &Socket) -> io::Result<()> {
        let mut storage = self.pool.take()?;
        let Some(own) = Arc::get_mut(&mut storage) else {
            return Err(io::Error::other("a pooled buffer is in use"));
        };
        own.clear();
        // No more than the buffer could hold at that time: a sender that is faster than this reader must not keep it
        // here.
        let mut left = socket.recv_buffer_size()? / MIN_QUEUED_BYTES;
        let (buffer, _) = own.fill(0, SLOTS)?;
        loop {
            let count = self.queue.receive(socket, buffer, STRIDE, |_, _| {})?;
            left = left.saturating_sub(count);
            if count < SLOTS || left == 0 {
                return Ok(());
            }
        }
    }
}
