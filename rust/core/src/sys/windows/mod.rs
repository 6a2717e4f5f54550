//! Windows: one `WSARecvMsg` or `sendto` per datagram; no coalescing, no drop counter, no receive time.

mod caps;
mod options;
mod pages;
mod recv;
mod wait;

pub(crate) use super::single_send::SendQueue;
pub(crate) use super::unmonitored::{
    Monitor, Network, interface_index, interface_index_at, interface_name, links_at, tick,
};
pub(crate) use caps::{
    BINDS_TO_GROUP, BUFFER_SETTING, CONFINES_TTL_0, HEARS_ALL, LAYOUT, MEMBERSHIP_LIMIT, SEND_FLAGS, SENDS_FROM_GROUP,
    SOURCE_LIMIT,
};
pub(crate) use options::{
    bind_shared, claim_port, dscp, duplicate, exceed_buffer_limit, fill_mtus, prepare_receiver, receive_all_groups,
    set_dscp, set_option, set_send_interface_v4, socket_memory, stop_coalescing, tell_destination, usable_buffer,
};
pub(crate) use pages::Pages;
pub(crate) use recv::ReceiveQueue;
pub(crate) use wait::{ReadySet, Waker, wait_readable, wait_receiving, wait_writable};
