//! Sending the datagrams of a file again, on time.

use std::collections::HashMap;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::source::{Next, Source};
use crate::error::{Error, Result};
use crate::net::Sender;
use crate::pure::fragments::Fragments;
use crate::pure::ip::{self, Content, Datagram};
use crate::pure::link;
use crate::sys;

/// Datagrams that are read ahead.
const CHUNK: usize = 256;
/// Packets that are read between two looks at the clock.
const PACKETS_BETWEEN_LOOKS: u64 = 64;
/// The most datagrams of one call to a sender.
const RUN: usize = 64;
/// Exact timers wake a thread this late at most, on an idle machine: the rest of a wait is spent looking at the clock.
/// A thread that sleeps now and then is preferred by the scheduler when it wakes; one that never does loses its turn.
const TIMER_DELAY: Duration = Duration::from_micros(60);

/// When each datagram is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Timing {
    /// As it was captured, this many times as fast.
    Original(f64),
    /// This many datagrams a second.
    Rate(f64),
    /// As fast as the system takes them.
    FlatOut,
}

/// A group, and a port or any port.
pub type Selector = (IpAddr, Option<u16>);

/// The files to replay, and how.
#[derive(Debug, Clone)]
pub struct PlayerConfig {
    /// Pcap or pcapng files, in any order; or one pipe, where "-" stands for standard input.
    pub paths: Vec<PathBuf>,
    /// When to send.
    pub timing: Timing,
    /// How many times to send the files; `None` repeats them until the player is dropped.
    pub loops: Option<u64>,
    /// Send only these groups, as the files have them; all if it is empty.
    pub groups: Vec<Selector>,
    /// Other destinations. The first match is used; a port that it leaves out stays the same.
    pub map: Vec<(Selector, Selector)>,
}

/// The counters of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlayerStats {
    /// Packets read.
    pub packets: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Payload bytes of these datagrams.
    pub bytes_sent: u64,
    /// Packets that are no UDP datagrams.
    pub other: u64,
    /// Datagrams that were not selected, or not sent to a group.
    pub filtered: u64,
    /// Datagrams without their end, because it was not captured.
    pub cut: u64,
    /// Fragmented datagrams of which parts are missing.
    pub incomplete: u64,
    /// Datagrams read that are not sent yet.
    pub unsent: u64,
    /// How many times all files were read.
    pub loops: u64,
    /// Whether a file ends in the middle of a packet.
    pub is_file_cut: bool,
}

/// Why [`Player::step`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Everything has been sent.
    Ended,
    /// The time was over.
    Paused,
    /// There is no sender for this destination.
    Needs(SocketAddr),
}

#[derive(Debug)]
struct Due {
    at: Duration,
    to: SocketAddr,
    payload: Range<usize>,
}

/// Sends the datagrams of files.
#[derive(Debug)]
pub struct Player {
    config: PlayerConfig,
    source: Source,
    fragments: Fragments,
    /// When the first datagram was due.
    start: Option<Instant>,
    /// The time of the first packet.
    first_ns: Option<u64>,
    /// When the latest datagram is due, from the start.
    latest: Duration,
    /// When the current pass over the files began, from the start.
    pass_began: Duration,
    /// Datagrams scheduled, and those of the current pass.
    scheduled: u64,
    scheduled_in_pass: u64,
    chunk: Vec<Due>,
    /// The position of the next datagram in `chunk`.
    next: usize,
    payloads: Vec<u8>,
    /// The reason why nothing is read after `chunk`.
    failure: Option<Error>,
    /// The last pass over the files has been read.
    is_over: bool,
    stats: PlayerStats,
}

impl Player {
    /// Open the files. Errors in a pipe are found later.
    pub fn open(config: PlayerConfig) -> Result<Self> {
        let source = Source::open(&config.paths)?;
        if config.loops != Some(1) && !source.is_repeatable() {
            return Err(Error::Invalid(format!("loops must be 1 for {}, which cannot be read twice", source.name())));
        }
        Ok(Self {
            config,
            source,
            fragments: Fragments::default(),
            start: None,
            first_ns: None,
            latest: Duration::ZERO,
            pass_began: Duration::ZERO,
            scheduled: 0,
            scheduled_in_pass: 0,
            chunk: Vec::with_capacity(CHUNK),
            next: 0,
            payloads: Vec::new(),
            failure: None,
            is_over: false,
            stats: PlayerStats::default(),
        })
    }

    /// The counters.
    pub fn stats(&self) -> PlayerStats {
        let incomplete = self.stats.incomplete + self.fragments.incomplete();
        let unsent = (self.chunk.len() - self.next) as u64;
        PlayerStats { incomplete, unsent, ..self.stats }
    }

    /// The share of the work that is done, from 0 to 1; `None` if it has no end.
    pub fn progress(&self) -> Option<f64> {
        let loops = self.config.loops?;
        // The next pass begins only once the end of the last file is found.
        let pass = if self.is_over { 0.0 } else { self.source.progress()? };
        Some(((self.stats.loops as f64 + pass) / loops as f64).min(1.0))
    }

    /// Send what is due within this time. There must be a sender for each destination. If one is missing, this returns
    /// its destination.
    pub fn step(&mut self, senders: &HashMap<SocketAddr, &Sender>, limit: Duration) -> Result<Step> {
        let end = Instant::now() + limit;
        let _exact = sys::ExactTimers::begin();
        loop {
            if self.next == self.chunk.len() {
                self.read_ahead(end)?;
                if self.chunk.is_empty() {
                    return Ok(if self.is_over { Step::Ended } else { Step::Paused });
                }
            }
            let due = &self.chunk[self.next];
            let Some(sender) = senders.get(&due.to) else { return Ok(Step::Needs(due.to)) };
            let start = *self.start.get_or_insert_with(Instant::now);
            let at = start + due.at;
            sleep_until(at.min(end));
            if at > end {
                return Ok(Step::Paused);
            }
            let now = start.elapsed();
            let slices: Vec<IoSlice<'_>> = self.chunk[self.next..]
                .iter()
                .take(RUN)
                .take_while(|one| one.to == due.to && one.at <= now)
                .map(|one| IoSlice::new(&self.payloads[one.payload.clone()]))
                .collect();
            let sent = sender.send(&slices)?;
            self.stats.sent += sent as u64;
            self.stats.bytes_sent += slices[..sent].iter().map(|slice| slice.len() as u64).sum::<u64>();
            self.next += sent;
            let remaining = end.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Ok(Step::Paused);
            }
            if sent == 0 {
                sender.wait(Some(remaining))?;
            }
        }
    }

    /// Read the next datagrams. There are none after the last pass over the files, or if finding one takes too long.
    fn read_ahead(&mut self, end: Instant) -> Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.chunk.clear();
        self.payloads.clear();
        self.next = 0;
        while self.chunk.len() < CHUNK {
            // Datagrams that are due do not wait for more.
            let until = self.chunk.is_empty().then_some(end);
            match self.read_packet(until) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) if self.chunk.is_empty() => return Err(failure),
                // The datagrams before it are sent first.
                Err(failure) => {
                    self.failure = Some(failure);
                    break;
                }
            }
            if self.stats.packets % PACKETS_BETWEEN_LOOKS == 0 && Instant::now() >= end {
                break;
            }
        }
        Ok(())
    }

    /// Read a packet, or begin the next pass over the files. Returns false if there is none by this moment.
    fn read_packet(&mut self, until: Option<Instant>) -> Result<bool> {
        if self.is_over {
            return Ok(false);
        }
        let packet = match self.source.next(until)? {
            Next::Packet(packet) => packet,
            Next::Waiting => return Ok(false),
            Next::Ended => return self.end_pass(),
        };
        self.stats.packets += 1;
        self.take(packet.link_type, packet.timestamp_ns)?;
        Ok(true)
    }

    /// Note the end of the last file. Returns whether the first one begins again.
    fn end_pass(&mut self) -> Result<bool> {
        self.stats.is_file_cut |= self.source.is_cut();
        self.stats.loops += 1;
        self.is_over = self.scheduled_in_pass == 0 || self.config.loops.is_some_and(|most| self.stats.loops >= most);
        if !self.is_over {
            self.rewind()?;
        }
        Ok(!self.is_over)
    }

    /// Begin the files again. The gap between the passes is the average gap of the files.
    fn rewind(&mut self) -> Result<()> {
        self.source.rewind()?;
        self.stats.incomplete += std::mem::take(&mut self.fragments).incomplete();
        let gaps = u32::try_from(self.scheduled_in_pass.saturating_sub(1)).unwrap_or(u32::MAX).max(1);
        // With a single datagram at a rate, rounding can put the end of a pass before its beginning.
        self.pass_began = self.latest + self.latest.saturating_sub(self.pass_began) / gaps;
        (self.first_ns, self.scheduled_in_pass) = (None, 0);
        Ok(())
    }

    /// Schedule the datagram in the packet that the source holds, if there is one to send.
    fn take(&mut self, link_type: u32, time_ns: u64) -> Result<()> {
        let packet = link::ip_packet(link_type, self.source.bytes())
            .map_err(|link::UnknownLink(number)| unknown_link(&self.source, number))?;
        let reassembled;
        let mut content = packet.map_or(Content::Other, ip::parse);
        if let Content::Fragment(part) = &content {
            let Some(whole) = self.fragments.add(part) else { return Ok(()) };
            reassembled = whole;
            content = ip::datagram(reassembled.source, reassembled.destination, reassembled.ttl, &reassembled.payload);
        }
        match content {
            Content::Datagram(Datagram { to, payload, .. }) => match destination(&self.config, to) {
                Some(to) => {
                    let from = self.payloads.len();
                    self.payloads.extend_from_slice(payload);
                    self.schedule(time_ns, to, from);
                }
                None => self.stats.filtered += 1,
            },
            Content::Cut => self.stats.cut += 1,
            Content::Other | Content::Fragment(_) => self.stats.other += 1,
        }
        Ok(())
    }

    fn schedule(&mut self, time_ns: u64, to: SocketAddr, from: usize) {
        let first = *self.first_ns.get_or_insert(time_ns);
        let at = match self.config.timing {
            Timing::Original(speed) => self.pass_began + seconds(time_ns.saturating_sub(first) as f64 / 1e9 / speed),
            Timing::Rate(rate) => seconds(self.scheduled as f64 / rate),
            Timing::FlatOut => Duration::ZERO,
        };
        self.latest = self.latest.max(at);
        self.scheduled += 1;
        self.scheduled_in_pass += 1;
        self.chunk.push(Due { at: self.latest, to, payload: from..self.payloads.len() });
    }
}

/// Longer times are cut to a century, because the clock may not be able to hold them.
fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.min(3.2e9))
}

/// Wait until this moment, exactly.
fn sleep_until(at: Instant) {
    loop {
        let remaining = at.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return;
        }
        if remaining > TIMER_DELAY { thread::sleep(remaining - TIMER_DELAY) } else { std::hint::spin_loop() }
    }
}

fn destination(config: &PlayerConfig, to: SocketAddr) -> Option<SocketAddr> {
    let matches = |(group, port): &Selector| *group == to.ip() && port.is_none_or(|port| port == to.port());
    if !config.groups.is_empty() && !config.groups.iter().any(matches) {
        return None;
    }
    let mapped = config.map.iter().find(|(from, _)| matches(from));
    let to = mapped.map_or(to, |(_, (group, port))| SocketAddr::new(*group, port.unwrap_or(to.port())));
    (to.ip().is_multicast() && to.port() != 0).then_some(to)
}

fn unknown_link(source: &Source, number: u32) -> Error {
    Error::Invalid(format!(
        "cannot read {}: its packets have link type {number} (known are Ethernet, Linux cooked, raw IP and loopback)",
        source.name()
    ))
}
