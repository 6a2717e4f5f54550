//! macOS, iOS and FreeBSD: one `recvmsg` or `sendto` per datagram; no coalescing, no drop counter.

mod caps;
mod kqueue;
mod options;
mod recv;
mod waker;

pub(crate) use super::single_send::SendQueue;
pub(crate) use super::unix::{
    Pages, claim_port, dscp, duplicate, set_dscp, set_option, set_send_interface_v4, wait_readable, wait_receiving,
    wait_writable,
};
pub(crate) use super::unmonitored::{
    Monitor, Network, interface_index, interface_index_at, interface_name, links_at, tick,
};
pub(crate) use caps::{
    BINDS_TO_GROUP, BUFFER_SETTING, CONFINES_TTL_0, HEARS_ALL, LAYOUT, MEMBERSHIP_LIMIT, SEND_FLAGS, SENDS_FROM_GROUP,
    SOURCE_LIMIT,
};
pub(crate) use kqueue::ReadySet;
pub(crate) use options::{
    bind_shared, exceed_buffer_limit, fill_mtus, prepare_receiver, receive_all_groups, socket_memory, stop_coalescing,
    tell_destination, usable_buffer,
};
pub(crate) use recv::ReceiveQueue;
pub(crate) use waker::Waker;
