//! The packet engine: a ring of packets in memory that is shared with the kernel, instead of UDP sockets.
//!
//! * `socket`: one packet socket, its ring, and what it delivers;
//! * `own`: what is left to the bound UDP socket;
//! * `wire`: all groups on one interface, joined or not;
//! * `engine`: the packet sockets of a receiver, their filters, and what this host sends itself.
//!
//! Packet sockets see what arrives on an interface. Memberships are held by unbound UDP sockets, which receive nothing.

pub(super) mod engine;
mod own;
pub(super) mod socket;
pub(super) mod wire;
