//! Facts about Linux that never change while the program runs: limits, the settings behind them, and abilities.

use std::mem;

use crate::pure::cmsg::Layout;

/// The setting behind the limit on groups per socket (ip(7): 20 by default; socket(7): memory for options).
pub(crate) const MEMBERSHIP_LIMIT: &str = "this socket has reached the system's limit on groups; raise it with \
     'sysctl -w net.ipv4.igmp_max_memberships=N', or for IPv6 'net.core.optmem_max=N'";
/// The setting behind the limit on sources per group (ip(7): 10 by default for IPv4, 64 for IPv6).
pub(crate) const SOURCE_LIMIT: &str = "this group has reached the system's limit on sources; raise it with \
     'sysctl -w net.ipv4.igmp_max_msf=N' or 'net.ipv6.mld_max_msf=N'";
/// The setting that grants a larger receive buffer to a user without `CAP_NET_ADMIN` (socket(7)).
pub(crate) const BUFFER_SETTING: &str = "net.core.rmem_max";
/// Whether a socket can be bound to a group, so that the kernel discards datagrams for other destinations.
pub(crate) const BINDS_TO_GROUP: bool = true;
/// Whether a socket that is not strict receives every group that any socket on this machine has joined
/// (`IP_MULTICAST_ALL`, ip(7)).
pub(crate) const HEARS_ALL: bool = true;
/// Whether the system keeps datagrams with TTL 0 on this machine. Linux looks at the TTL only if a program on this
/// machine has joined the group (`ip_mc_output`, `ip6_finish_output2`).
pub(crate) const CONFINES_TTL_0: bool = false;
/// Whether a socket that is bound to a group would send from that address unless another one is passed.
pub(crate) const SENDS_FROM_GROUP: bool = false;

/// The flag that makes a single call non-blocking.
pub(crate) const SEND_FLAGS: i32 = libc::MSG_DONTWAIT;

/// The layout of `struct cmsghdr`.
pub(crate) const LAYOUT: Layout = Layout { length_bytes: mem::size_of::<usize>(), alignment: mem::size_of::<usize>() };
