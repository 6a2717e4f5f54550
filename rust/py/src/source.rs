//! Where a receiver's datagrams come from: its sockets, or the ring of a background thread. The same calls for both.

use std::time::Duration;

use multicast_core::net::{
    Batch, DatagramRef, Event, Receiver, ReceiverStats, RingConfig, RingPolicy, RingReceiver, RingStats, Wake,
};
use multicast_core::{Error, Result, Socket};

use crate::receiver::descriptor;

/// A receiver with or without a ring.
#[expect(clippy::large_enum_variant, reason = "each is one of its kind on the heap; a box would be one step more")]
pub(crate) enum Source {
    Direct(Receiver),
    Ring(RingReceiver),
}

/// Datagrams received at once, where so many are there, when they are handed out singly: as many as a program can have
/// beside a thread that computes, each time the GIL comes round.
const SINGLY: usize = 256;

impl Source {
    pub(crate) fn new(core: Receiver, ring: Option<RingConfig>) -> Result<Self> {
        match ring {
            None => Ok(Self::Direct(core)),
            Some(config) => RingReceiver::start(core, config).map(Self::Ring),
        }
    }

    /// For what has nothing to do with receiving.
    pub(crate) fn core(&self) -> Result<&Receiver> {
        match self {
            Self::Direct(core) => Ok(core),
            Self::Ring(ring) => ring.receiver(),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Direct(core) => core.port(),
            Self::Ring(ring) => ring.port(),
        }
    }

    pub(crate) fn take_pending(&self, max: usize) -> Result<Option<Batch>> {
        match self {
            Self::Direct(core) => core.take_pending(max),
            Self::Ring(ring) => ring.take(max),
        }
    }

    pub(crate) fn take(&self, max: usize) -> Result<Option<Batch>> {
        match self {
            Self::Direct(core) => core.take(max, max),
            Self::Ring(ring) => ring.take(max),
        }
    }

    #[inline]
    pub(crate) fn next_pending<T>(&self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Result<Option<T>> {
        match self {
            Self::Direct(core) => core.next_pending(use_it),
            Self::Ring(ring) => ring.next_pending(use_it),
        }
    }

    pub(crate) fn fetch(&self) -> Result<bool> {
        match self {
            Self::Direct(core) => core.fetch(SINGLY),
            Self::Ring(ring) => ring.fetch(),
        }
    }

    /// Whether waiting is more promising than asking.
    pub(crate) fn is_drained(&self) -> bool {
        match self {
            Self::Direct(core) => core.is_drained(),
            // To ask costs no kernel call.
            Self::Ring(_) => false,
        }
    }

    pub(crate) fn pending(&self) -> Result<usize> {
        match self {
            Self::Direct(core) => Ok(core.pending()),
            Self::Ring(ring) => ring.pending(),
        }
    }

    pub(crate) fn wait(&self, timeout: Duration) -> Result<Wake> {
        match self {
            Self::Direct(core) => core.wait(Some(timeout)),
            Self::Ring(ring) => ring.wait(Some(timeout)),
        }
    }

    pub(crate) fn stats(&self) -> Result<(ReceiverStats, RingStats)> {
        match self {
            Self::Direct(core) => Ok((core.stats()?, RingStats::default())),
            Self::Ring(ring) => ring.stats(),
        }
    }

    /// What to wait on: a descriptor for all sockets, or the one that tells of the ring.
    pub(crate) fn descriptor(&self) -> Result<i64> {
        match self {
            Self::Ring(ring) => ring.with_ready_socket(descriptor),
            Self::Direct(core) => match core.descriptor()? {
                Some(descriptor) => Ok(descriptor),
                None if core.stats()?.sockets == 1 => core.with_socket(descriptor),
                None => Err(Error::Unsupported(
                    "this system has no descriptor that stands for several sockets; receive in a thread".into(),
                )),
            },
        }
    }

    #[inline]
    pub(crate) fn has_events(&self) -> bool {
        match self {
            Self::Direct(core) => core.has_events(),
            // In a forked child there is no receiver to ask.
            Self::Ring(ring) => ring.receiver().is_ok_and(Receiver::has_events),
        }
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        self.core().map(Receiver::take_events).unwrap_or_default()
    }

    pub(crate) fn detach(&self) -> Result<Socket> {
        match self {
            Self::Direct(core) => core.detach(),
            Self::Ring(ring) => ring.detach(),
        }
    }

    pub(crate) fn close(&self) {
        match self {
            Self::Direct(core) => core.close(),
            Self::Ring(ring) => ring.close(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Direct(core) => core.is_closed(),
            Self::Ring(ring) => ring.is_closed(),
        }
    }
}

/// The policy by the name that it has in Python.
pub(crate) fn policy(name: &str) -> Result<RingPolicy> {
    match name {
        "drop-oldest" => Ok(RingPolicy::DropOldest),
        "drop-newest" => Ok(RingPolicy::DropNewest),
        "block" => Ok(RingPolicy::Block),
        _ => Err(Error::Invalid(format!("ring_policy must be 'drop-oldest', 'drop-newest' or 'block', got {name:?}"))),
    }
}
