//! Safe multicast sockets.
//!
//! Nothing here blocks but the three `wait` functions, which sleep at most as long as they are told: a caller that
//! has signals, an event loop or a global lock to honour loops over *try, then wait*.

mod batch;
mod channel;
mod events;
mod guarded;
mod interfaces;
mod receiver;
mod ring;
mod roster;
mod sender;
mod sockets;

pub use batch::{Batch, DatagramRef, Origin};
pub use events::{Event, Weight};
pub use interfaces::{Interface, interface_mtu, interface_name, interfaces};
pub use receiver::{GroupSpec, Receiver, ReceiverConfig, ReceiverStats};
pub use ring::{RING_MOST, RingConfig, RingPolicy, RingReceiver, RingStats, close_rings};
pub use sender::{Sender, SenderConfig, SenderStats};

use crate::{Error, Result, sys};
use socket2::Socket;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// There is something to do, or an error to collect: try again.
    Ready,
    /// A signal came: look at it, then wait on.
    Interrupted,
    /// The time is over.
    TimedOut,
}

/// What grants a larger receive buffer on this system, as its administrator calls it.
pub const RECEIVE_BUFFER_SETTING: &str = sys::BUFFER_SETTING;

/// A socket of one's own from somebody else's descriptor (on Windows: handle); both share the kernel's socket.
pub fn duplicate(descriptor: i64) -> Result<Socket> {
    sys::duplicate(descriptor).map_err(|e| Error::system("duplicate a socket", e))
}

/// Locks, also after a panic elsewhere: every state that a lock guards here is sound between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
