//! UDP multicast sockets: joining groups, strict filtering, batched receiving and sending.
//!
//! Three layers that call only downwards:
//!
//! * [`net`]: [`net::Receiver`] and [`net::Sender`], safe sockets over `socket2` and `sys`;
//! * `sys`: the only unsafe code, one file per platform behind one contract;
//! * [`pure`]: addresses, control messages, batching arithmetic, counters; no system calls, no clock.
//!
//! Nothing here knows of Python: the bindings live in the crate `multicast-py`.

#![deny(unsafe_code)]

mod errno;
pub mod error;
pub mod net;
pub mod pure;
#[allow(unsafe_code)]
mod sys;

pub use error::{Error, Result};
pub use socket2::Socket;
