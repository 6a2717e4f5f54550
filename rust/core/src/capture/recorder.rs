//! Writing received datagrams into pcapng files.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::allowance::Allowance;
use super::blocks::{DROPS_COMMENT, description, header, statistics_size};
use super::failure::{Attempt, Failure};
use super::numbered;
use super::remover::Remover;
use crate::error::{Error, Result};
use crate::net::{Batch, DatagramRef};
use crate::pure::ip::{self, Content};
use crate::pure::pcapng::{self, Counts};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;
/// The longest time that a datagram waits in memory, given that the caller calls at least this often.
const FLUSH: Duration = Duration::from_millis(500);
/// The most that a block of a packet adds to the payload: its own fields, and the headers of IP and UDP.
const OVERHEAD: u64 = 36 + 48;

/// Where to record, and when to stop or to begin another file.
#[derive(Debug, Clone, Default)]
pub struct RecorderConfig {
    /// The file. With rotation, a number is added before its extension, starting after the highest of the files that
    /// exist.
    pub path: PathBuf,
    /// The name of the program, for the file.
    pub application: String,
    /// A comment for the file.
    pub comment: String,
    /// Whether to replace files that exist.
    pub overwrite: bool,
    /// Begin another file before this one has more bytes.
    pub rotate_bytes: Option<u64>,
    /// Begin another file after this time.
    pub rotate_after: Option<Duration>,
    /// Keep only this many of the newest files.
    pub max_files: Option<usize>,
    /// Stop before all files together have more bytes.
    pub max_bytes: Option<u64>,
    /// Stop after this many datagrams.
    pub max_datagrams: Option<u64>,
    /// Leave out, and count, what exceeds this many bytes a second.
    pub max_rate: Option<f64>,
}

impl RecorderConfig {
    fn rotates(&self) -> bool {
        self.rotate_bytes.is_some() || self.rotate_after.is_some()
    }
}

/// Datagrams that this machine dropped since the receiver was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drops {
    /// By the kernel, because the receive buffer was full.
    pub kernel: u64,
    /// By the ring.
    pub ring: u64,
}

/// The counters of a recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecorderStats {
    /// Datagrams in the files.
    pub written: u64,
    /// Payload bytes of these datagrams.
    pub payload_bytes: u64,
    /// Bytes of all files, with those that were removed by rotation.
    pub file_bytes: u64,
    /// Files begun.
    pub files: u64,
    /// Datagrams left out because of the maximum rate.
    pub over_rate: u64,
    /// Datagrams that could not be written because of an error.
    pub unwritten: u64,
}

impl RecorderStats {
    /// Datagrams whose outcome is known.
    fn accounted(&self) -> u64 {
        self.written + self.over_rate + self.unwritten
    }
}

/// Whether the recording continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More can be written.
    Continues,
    /// A limit was reached. Datagrams from there on were not written.
    LimitReached,
}

/// One file.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: File,
    /// Bytes in the file and in the buffer.
    size: u64,
    /// Bytes in the file.
    flushed: u64,
    /// The interfaces of the file: their index in the system, and the datagrams of each.
    interfaces: Vec<(u32, u64)>,
    began: Instant,
    start_ns: u64,
    /// The drops before the file began.
    drops_before: Drops,
}

/// Writes datagrams into one file after the other.
#[derive(Debug)]
pub struct Recorder {
    config: RecorderConfig,
    /// `None` after closing and after an error.
    segment: Option<Segment>,
    buffer: Vec<u8>,
    last_flush: Instant,
    drops: Drops,
    /// The drops in the last statistics of the file.
    drops_noted: Drops,
    allowance: Option<Allowance>,
    /// The number of the current file, with rotation.
    number: u64,
    /// The files that rotation can still remove.
    kept: VecDeque<PathBuf>,
    remover: Remover,
    stats: RecorderStats,
}

impl Recorder {
    /// Create the first file. `interfaces` are those that datagrams can arrive on; others are added when they first
    /// appear.
    pub fn create(config: RecorderConfig, interfaces: &[u32], drops: Drops) -> Result<Self> {
        let mut recorder = Self {
            number: if config.overwrite || !config.rotates() { 0 } else { numbered::highest(&config.path) },
            allowance: config.max_rate.map(Allowance::new),
            config,
            segment: None,
            buffer: Vec::with_capacity(BUFFER + (BUFFER >> 3)),
            last_flush: Instant::now(),
            drops,
            drops_noted: drops,
            kept: VecDeque::new(),
            remover: Remover::default(),
            stats: RecorderStats::default(),
        };
        let header = header(&recorder.config.application, &recorder.config.comment, interfaces);
        match recorder.begin(interfaces, &header) {
            Ok(()) => Ok(recorder),
            Err(failure) => Err(recorder.fail(failure)),
        }
    }

    /// Write the datagrams of a batch, which were sent to this UDP port. `drops` is what was dropped so far.
    pub fn write(&mut self, batch: &Batch, port: u16, drops: Drops) -> Result<Progress> {
        if self.segment.is_none() {
            return Err(Error::Closed(format!("the recorder of {} is closed", self.config.path.display())));
        }
        self.drops = drops;
        let expected = self.stats.accounted() + batch.len() as u64;
        self.write_all(batch, port).map_err(|failure| {
            self.stats.unwritten += expected - self.stats.accounted();
            self.fail(failure)
        })
    }

    /// Do what is due while nothing is received. Call it at least every half second.
    pub fn tick(&mut self, drops: Drops) -> Result<()> {
        self.drops = drops;
        self.flush_if_due().map_err(|failure| self.fail(failure))
    }

    /// Write what is in memory, with the final counters, and close the file. Closing again does nothing.
    pub fn close(&mut self, drops: Drops) -> Result<()> {
        if self.segment.is_none() {
            return Ok(());
        }
        self.drops = drops;
        self.end_segment().and_then(|()| self.remover.finish()).map_err(|failure| self.fail(failure))
    }

    /// The counters.
    pub fn stats(&self) -> RecorderStats {
        self.stats
    }

    /// The file that is written now, or was written last.
    pub fn path(&self) -> PathBuf {
        let path = &self.config.path;
        if self.config.rotates() { numbered::path(path, self.number) } else { path.clone() }
    }

    /// Close the recorder after a failure. Everything that was received until then must be accounted for.
    fn fail(&mut self, failure: Failure) -> Error {
        self.segment = None;
        failure.into_error(self.stats.unwritten)
    }

    fn write_all(&mut self, batch: &Batch, port: u16) -> Attempt<Progress> {
        if let Some(allowance) = &mut self.allowance {
            allowance.refill();
        }
        for datagram in batch.iter() {
            if self.write_one(datagram, port)? == Progress::LimitReached {
                return Ok(Progress::LimitReached);
            }
        }
        let is_complete = self.config.max_datagrams.is_some_and(|most| self.stats.written >= most);
        self.flush_if_due()?;
        Ok(if is_complete { Progress::LimitReached } else { Progress::Continues })
    }

    fn write_one(&mut self, DatagramRef { data, origin }: DatagramRef<'_>, port: u16) -> Attempt<Progress> {
        if self.config.max_datagrams.is_some_and(|most| self.stats.written >= most) {
            return Ok(Progress::LimitReached);
        }
        let most = data.len() as u64 + OVERHEAD;
        if self.allowance.as_mut().is_some_and(|allowance| !allowance.take(most)) {
            self.stats.over_rate += 1;
            return Ok(Progress::Continues);
        }
        let Some(interface) = self.make_room(origin.interface, most)? else { return Ok(Progress::LimitReached) };
        let time = origin.timestamp_ns.map_or_else(now_ns, |time| u64::try_from(time).unwrap_or(0));
        let to = SocketAddr::new(destination(origin.group, origin.sender.ip()), port);
        let before = self.buffer.len();
        pcapng::append_packet(&mut self.buffer, interface, time, |out| {
            ip::append_packet(out, origin.sender, to, origin.ttl.unwrap_or(0), data);
        });
        let added = (self.buffer.len() - before) as u64;
        if let Some(segment) = &mut self.segment {
            segment.size += added;
            segment.interfaces[interface as usize].1 += 1;
        }
        self.stats.file_bytes += added;
        self.stats.written += 1;
        self.stats.payload_bytes += data.len() as u64;
        if self.buffer.len() >= BUFFER { self.flush().map(|()| Progress::Continues) } else { Ok(Progress::Continues) }
    }

    /// Begin the next file if this one has no room for a packet of at most this many bytes. Return the number of its
    /// interface in the file; `None` if the maximum size of all files leaves no room.
    fn make_room(&mut self, index: u32, packet: u64) -> Attempt<Option<u32>> {
        let Some(segment) = &self.segment else { return Ok(None) };
        let known = segment.interfaces.iter().position(|(known, _)| *known == index);
        let count = segment.interfaces.len();
        let number = known.unwrap_or(count);
        let description = if known.is_some() { Vec::new() } else { description(index) };
        let added = description.len() as u64 + packet + statistics_size(count.max(number + 1));
        if !self.is_rotation_due(added) {
            if exceeds(self.stats.file_bytes + added, self.config.max_bytes) {
                return Ok(None);
            }
            if known.is_none() {
                self.add_interface(index, &description);
            }
            return Ok(Some(number as u32));
        }
        let mut interfaces: Vec<u32> = segment.interfaces.iter().map(|(index, _)| *index).collect();
        if known.is_none() {
            interfaces.push(index);
        }
        let header = header(&self.config.application, &self.config.comment, &interfaces);
        let ends = statistics_size(count) + statistics_size(interfaces.len());
        if exceeds(self.stats.file_bytes + header.len() as u64 + packet + ends, self.config.max_bytes) {
            return Ok(None);
        }
        self.end_segment()?;
        self.begin(&interfaces, &header)?;
        Ok(Some(number as u32))
    }

    /// Whether the next file must begin before this many bytes are added, with the statistics at the end.
    fn is_rotation_due(&self, added: u64) -> bool {
        let Some(segment) = &self.segment else { return false };
        // A file has at least one datagram, however small the limit is.
        segment.interfaces.iter().any(|(_, count)| *count > 0)
            && (exceeds(segment.size + added, self.config.rotate_bytes)
                || self.config.rotate_after.is_some_and(|most| segment.began.elapsed() >= most))
    }

    /// Whether there is room for statistics before those at the end.
    fn has_room_for_statistics(&self) -> bool {
        let Some(segment) = &self.segment else { return false };
        let added = 2 * statistics_size(segment.interfaces.len());
        !exceeds(segment.size + added, self.config.rotate_bytes)
            && !exceeds(self.stats.file_bytes + added, self.config.max_bytes)
    }

    /// Add an interface to the current file.
    fn add_interface(&mut self, index: u32, description: &[u8]) {
        self.append(|out| out.extend_from_slice(description));
        if let Some(segment) = &mut self.segment {
            segment.interfaces.push((index, 0));
        }
    }

    /// Append what is not a datagram.
    fn append(&mut self, block: impl FnOnce(&mut Vec<u8>)) {
        let before = self.buffer.len();
        block(&mut self.buffer);
        let added = (self.buffer.len() - before) as u64;
        self.stats.file_bytes += added;
        if let Some(segment) = &mut self.segment {
            segment.size += added;
        }
    }

    /// Begin the next file, with the header for these interfaces.
    fn begin(&mut self, interfaces: &[u32], header: &[u8]) -> Attempt<()> {
        // So that there is never more than one file beyond those that are kept.
        self.remover.finish()?;
        self.number += 1;
        let path = self.path();
        let mut options = OpenOptions::new();
        options.write(true);
        if self.config.overwrite {
            options.create(true).truncate(true)
        } else {
            options.create_new(true)
        };
        let file = options.open(&path).map_err(|cause| Failure::to_create(&path, cause))?;
        self.stats.files += 1;
        self.segment = Some(Segment {
            path: path.clone(),
            file,
            size: 0,
            flushed: 0,
            interfaces: interfaces.iter().map(|&index| (index, 0)).collect(),
            began: Instant::now(),
            start_ns: now_ns(),
            drops_before: self.drops,
        });
        self.append(|out| out.extend_from_slice(header));
        // So that a file that is read while it is written has its header.
        self.flush()?;
        let Some(most) = self.config.max_files else { return Ok(()) };
        self.kept.push_back(path);
        if self.kept.len() > most.max(1) {
            if let Some(oldest) = self.kept.pop_front() {
                self.remover.remove(oldest)?;
            }
        }
        Ok(())
    }

    fn end_segment(&mut self) -> Attempt<()> {
        self.append_statistics();
        self.flush()?;
        self.segment = None;
        Ok(())
    }

    /// Append the counters of each interface. The drops of all of them are with the first, because the system counts
    /// them for each socket.
    fn append_statistics(&mut self) {
        let Some(segment) = &self.segment else { return };
        let before = segment.drops_before;
        let kernel_drops = self.drops.kernel.saturating_sub(before.kernel);
        let dropped = kernel_drops + self.drops.ring.saturating_sub(before.ring);
        let (now, start) = (now_ns(), segment.start_ns);
        let interfaces: Vec<_> = segment.interfaces.iter().map(|(_, written)| *written).enumerate().collect();
        for (number, written) in interfaces {
            let (dropped, kernel_drops) = if number == 0 { (dropped, kernel_drops) } else { (0, 0) };
            let comment = if dropped > 0 { DROPS_COMMENT } else { "" };
            let counts = Counts { arrived: written + dropped, dropped, kernel_drops, written };
            self.append(|out| pcapng::append_statistics(out, number as u32, now, start, counts, comment));
        }
        self.drops_noted = self.drops;
    }

    fn flush_if_due(&mut self) -> Attempt<()> {
        if self.last_flush.elapsed() < FLUSH {
            return Ok(());
        }
        if self.drops != self.drops_noted && self.has_room_for_statistics() {
            self.append_statistics();
        }
        self.flush()
    }

    /// Hand the buffer to the system. After an error, the file ends with the last block that is whole.
    fn flush(&mut self) -> Attempt<()> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let mut done = 0;
        let failure = loop {
            if done == self.buffer.len() {
                break None;
            }
            match segment.file.write(&self.buffer[done..]) {
                Ok(0) => break Some(io::Error::from(ErrorKind::WriteZero)),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Some(error),
            }
        };
        self.last_flush = Instant::now();
        let Some(error) = failure else {
            segment.flushed += done as u64;
            self.buffer.clear();
            return Ok(());
        };
        let whole = pcapng::whole_blocks(&self.buffer, done);
        let kept = segment.flushed + whole as u64;
        let is_cut_off = segment.file.set_len(kept).is_err() && whole < done;
        let failure = Failure::to_write(&segment.path, kept, is_cut_off, error);
        for packet in pcapng::packets(&self.buffer[whole..]) {
            self.stats.written -= 1;
            self.stats.unwritten += 1;
            if let Content::Datagram(datagram) = ip::parse(packet) {
                self.stats.payload_bytes -= datagram.payload.len() as u64;
            }
        }
        self.stats.file_bytes -= (self.buffer.len() - whole) as u64;
        self.buffer.clear();
        Err(failure)
    }
}

/// Whether a size is above a limit.
fn exceeds(size: u64, limit: Option<u64>) -> bool {
    limit.is_some_and(|limit| size > limit)
}

/// The group, or the unspecified address of that IP version if the system did not report it.
fn destination(group: Option<IpAddr>, sender: IpAddr) -> IpAddr {
    match (group, sender) {
        (Some(group), _) => group,
        (None, IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        (None, IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
