//! Facts about macOS and FreeBSD that never change while the program runs: limits, settings, and abilities.

use std::ffi::c_int;

use crate::pure::cmsg::Layout;

/// The limit on groups per socket.
pub(crate) const MEMBERSHIP_LIMIT: &str = "this socket has reached the system's limit on groups";
/// The setting behind the limit on sources per group.
pub(crate) const SOURCE_LIMIT: &str =
    "this group has reached the system's limit on sources; see 'sysctl net.inet.ip.mcast.maxsocksrc'";
/// The setting that grants a larger receive buffer.
pub(crate) const BUFFER_SETTING: &str = "kern.ipc.maxsockbuf";
/// Whether a socket can be bound to a group, so that the kernel discards datagrams for other destinations.
pub(crate) const BINDS_TO_GROUP: bool = true;
/// False: a socket receives only the groups that were joined on it.
pub(crate) const HEARS_ALL: bool = false;
/// Whether the system keeps datagrams with TTL 0 on this machine. It does, on macOS and FreeBSD (`ip_output`).
pub(crate) const CONFINES_TTL_0: bool = true;
/// Whether a socket that is bound to a group would send from that address unless another one is passed.
pub(crate) const SENDS_FROM_GROUP: bool = true;

/// No call of this crate blocks, whatever mode the socket is in.
pub(crate) const SEND_FLAGS: c_int = libc::MSG_DONTWAIT;

/// `struct cmsghdr` has a 32-bit length, and `CMSG_ALIGN` aligns to 4 bytes.
#[cfg(any(target_os = "macos", target_os = "ios"))]
pub(crate) const LAYOUT: Layout = Layout { length_bytes: 4, alignment: 4 };
/// `struct cmsghdr` has a 32-bit length, and `CMSG_ALIGN` aligns to the width of a register.
#[cfg(target_os = "freebsd")]
pub(crate) const LAYOUT: Layout = Layout { length_bytes: 4, alignment: std::mem::size_of::<usize>() };
