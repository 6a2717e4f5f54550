//! UDP multicast sockets: joining groups, strict filtering, batched receiving and sending.
//!
//! Four layers, each importing only the ones below it (`tests/layers.rs` checks this):
//!
//! * [`capture`]: files of datagrams: recording and replaying;
//! * [`net`]: [`net::Receiver`] and [`net::Sender`], safe sockets over `socket2` and `sys`;
//! * `sys`: the only unsafe code of this crate, one folder or file per platform behind one contract;
//! * [`pure`]: addresses, control messages, batching arithmetic; no system calls, no clock.
//!
//! [`Error`] and the table of error codes lie between `pure` and `sys`. Nothing here depends on Python: the bindings
//! are in the crate `multicast-py`.

#![deny(unsafe_code)]

pub mod capture;
mod errno;
pub mod error;
pub mod net;
pub mod pure;
#[allow(unsafe_code)]
mod sys;

pub use error::{Error, Result};
pub use socket2::Socket;
