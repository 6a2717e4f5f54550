//! Facts about Windows that never change while the program runs: limits, settings, and abilities.

use std::mem;

use crate::pure::cmsg::Layout;

/// The limit on groups per socket.
pub(crate) const MEMBERSHIP_LIMIT: &str = "this socket has reached the system's limit on groups";
/// The limit on sources per group.
pub(crate) const SOURCE_LIMIT: &str = "this group has reached the system's limit on sources";
/// The setting that grants a larger receive buffer: Windows grants every size.
pub(crate) const BUFFER_SETTING: &str = "SO_RCVBUF";
/// Binding to a group fails here (WSAEADDRNOTAVAIL); the socket is bound to the wildcard and filters.
pub(crate) const BINDS_TO_GROUP: bool = false;
/// False: a socket receives only the groups that were joined on it.
pub(crate) const HEARS_ALL: bool = false;
/// Whether the system keeps datagrams with TTL 0 on this machine. It does (`IP_MULTICAST_TTL`).
pub(crate) const CONFINES_TTL_0: bool = true;
/// Whether a socket that is bound to a group would send from that address unless another one is passed.
pub(crate) const SENDS_FROM_GROUP: bool = false;

/// The sockets are non-blocking here; no flag makes a single call so.
pub(crate) const SEND_FLAGS: i32 = 0;

/// `WSACMSGHDR`: a length and an alignment of the width of a register.
pub(crate) const LAYOUT: Layout = Layout { length_bytes: mem::size_of::<usize>(), alignment: mem::size_of::<usize>() };
