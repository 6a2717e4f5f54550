//! The origin of a receiver's datagrams: its sockets, or the ring of a background thread.

use std::time::Duration;

use multicast_core::net::{
    Batch, Engine, Receiver, ReceiverStats, RingConfig, RingPolicy, RingReceiver, RingStats, Wake,
};
use multicast_core::{Error, Result, Socket};
use pyo3::prelude::*;

use crate::descriptor;
use crate::interner::{Interner, Taken};

/// The operations that a Python receiver needs from the core, with or without a ring. Only `wait` and `settle` block.
pub(crate) trait Backend: Send + Sync {
    /// The sockets and memberships. Fails in a forked child if a thread of the parent owns them.
    fn receiver(&self) -> Result<&Receiver>;

    /// Takes the next datagram in hand, if there is one, without a system call; see [`Interner::take`].
    fn next_datagram(&self, py: Python<'_>, interner: &Interner, taken: &mut Option<Taken>) -> Result<()>;

    /// Takes at most `limit` of the datagrams in hand, and asks the kernel if there are none.
    fn take(&self, limit: usize) -> Result<Option<Batch>>;

    /// As `take`, but never asks the kernel.
    fn take_pending(&self, limit: usize) -> Result<Option<Batch>> {
        self.take(limit)
    }

    /// Asks the kernel if nothing is in hand. Returns whether there is something for `next_datagram`.
    fn fetch(&self) -> Result<bool>;

    /// Asks the kernel for more until `limit` datagrams are in hand or there is no more room. Returns how many are, or
    /// `limit` if nothing that arrives can be in the next batch.
    fn gather(&self, limit: usize) -> Result<usize>;

    /// Returns how many datagrams are in hand.
    fn pending(&self) -> Result<usize>;

    /// If a thread receives, waits for a moment until everything that the kernel had this long ago is in hand.
    fn settle(&self, _age: Duration) -> Result<()> {
        Ok(())
    }

    /// Whether the last attempt found nothing, so that it is better to wait than to try again.
    fn is_drained(&self) -> bool {
        false
    }

    /// Sleeps until there is something to take, at most as long as given.
    fn wait(&self, timeout: Duration) -> Result<Wake>;

    fn stats(&self) -> Result<(ReceiverStats, RingStats)>;

    /// As `stats`, but `None` if it would repair memberships.
    fn stats_at_once(&self) -> Result<Option<(ReceiverStats, RingStats)>>;

    /// Returns the descriptor that is readable while there is something to take.
    fn descriptor(&self) -> Result<i64>;

    fn detach(&self) -> Result<Socket>;

    fn close(&self);

    fn is_closed(&self) -> bool;
}

/// Opens the backend for a receiver, with a ring if `ring` is given.
pub(crate) fn start(receiver: Receiver, ring: Option<RingConfig>) -> Result<Box<dyn Backend>> {
    Ok(match ring {
        None => Box::new(receiver),
        Some(config) => Box::new(RingReceiver::start(receiver, config)?),
    })
}

/// Datagrams requested from the kernel at once when they are returned one at a time: about as many as a program
/// processes before it must give the GIL to another busy thread.
const FETCH: usize = 256;

impl Backend for Receiver {
    fn receiver(&self) -> Result<&Receiver> {
        Ok(self)
    }

    fn next_datagram(&self, py: Python<'_>, interner: &Interner, taken: &mut Option<Taken>) -> Result<()> {
        self.next_pending(|datagram| interner.take(py, datagram, taken))?;
        Ok(())
    }

    fn take(&self, limit: usize) -> Result<Option<Batch>> {
        self.take(limit, limit)
    }

    fn take_pending(&self, limit: usize) -> Result<Option<Batch>> {
        self.take_pending(limit)
    }

    fn fetch(&self) -> Result<bool> {
        self.fetch(FETCH)
    }

    fn gather(&self, limit: usize) -> Result<usize> {
        self.gather(limit)
    }

    fn pending(&self) -> Result<usize> {
        Ok(self.pending())
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }

    fn wait(&self, timeout: Duration) -> Result<Wake> {
        self.wait(Some(timeout))
    }

    fn stats(&self) -> Result<(ReceiverStats, RingStats)> {
        Ok((self.stats()?, RingStats::default()))
    }

    fn stats_at_once(&self) -> Result<Option<(ReceiverStats, RingStats)>> {
        Ok(self.stats_at_once()?.map(|stats| (stats, RingStats::default())))
    }

    fn descriptor(&self) -> Result<i64> {
        match self.descriptor()? {
            Some(descriptor) => Ok(descriptor),
            None if self.stats()?.sockets == 1 => self.with_socket(descriptor::borrowed),
            None => Err(Error::Unsupported(
                "this system has no descriptor that stands for several sockets; receive in a thread".into(),
            )),
        }
    }

    fn detach(&self) -> Result<Socket> {
        self.detach()
    }

    fn close(&self) {
        self.close();
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }
}

impl Backend for RingReceiver {
    fn receiver(&self) -> Result<&Receiver> {
        self.receiver()
    }

    fn next_datagram(&self, py: Python<'_>, interner: &Interner, taken: &mut Option<Taken>) -> Result<()> {
        self.next_pending(|datagram| interner.take(py, datagram, taken))?;
        Ok(())
    }

    fn take(&self, limit: usize) -> Result<Option<Batch>> {
        self.take(limit)
    }

    fn fetch(&self) -> Result<bool> {
        self.fetch()
    }

    fn gather(&self, limit: usize) -> Result<usize> {
        self.gather(limit)
    }

    fn pending(&self) -> Result<usize> {
        self.pending()
    }

    fn settle(&self, age: Duration) -> Result<()> {
        self.settle(age)
    }

    fn wait(&self, timeout: Duration) -> Result<Wake> {
        self.wait(Some(timeout))
    }

    fn stats(&self) -> Result<(ReceiverStats, RingStats)> {
        self.stats()
    }

    fn stats_at_once(&self) -> Result<Option<(ReceiverStats, RingStats)>> {
        self.stats_at_once()
    }

    fn descriptor(&self) -> Result<i64> {
        self.with_ready_socket(descriptor::borrowed)
    }

    fn detach(&self) -> Result<Socket> {
        self.detach()
    }

    fn close(&self) {
        self.close();
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }
}

/// Reads the name of an engine.
pub(crate) fn engine(name: &str) -> Result<Engine> {
    match name {
        "socket" => Ok(Engine::Socket),
        "packet" => Ok(Engine::Packet),
        "auto" => Ok(Engine::Auto),
        _ => Err(Error::Invalid(format!("engine must be 'socket', 'packet' or 'auto', got '{name}'"))),
    }
}

/// Reads the policy of a ring.
pub(crate) fn ring_policy(name: &str) -> Result<RingPolicy> {
    match name {
        "drop-oldest" => Ok(RingPolicy::DropOldest),
        "drop-newest" => Ok(RingPolicy::DropNewest),
        "block" => Ok(RingPolicy::Block),
        _ => Err(Error::Invalid(format!("ring_policy must be 'drop-oldest', 'drop-newest' or 'block', got '{name}'"))),
    }
}
