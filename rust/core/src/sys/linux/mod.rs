//! Linux: `recvmmsg` and `sendmmsg`, coalescing (`UDP_GRO`, `UDP_SEGMENT`), and a socket's own counters.

mod caps;
mod epoll;
mod ioctl;
mod network;
mod options;
mod packet_ring;
mod recv;
mod rtnetlink;
mod send;
mod timers;
mod waker;

pub(crate) use super::unix::{
    Pages, claim_port, dscp, duplicate, set_dscp, set_option, set_send_interface_v4, wait_readable, wait_receiving,
    wait_writable,
};
pub(crate) use caps::{
    BINDS_TO_GROUP, BUFFER_SETTING, CONFINES_TTL_0, HEARS_ALL, LAYOUT, MEMBERSHIP_LIMIT, SEND_FLAGS, SENDS_FROM_GROUP,
    SOURCE_LIMIT,
};
pub(crate) use epoll::ReadySet;
pub(crate) use ioctl::{interface_index_at, links_at};
pub(crate) use network::{Network, interface_index, interface_name, tick};
pub(crate) use options::{
    bind_shared, exceed_buffer_limit, prepare_receiver, receive_all_groups, socket_memory, stop_coalescing,
    tell_destination, usable_buffer,
};
pub(crate) use packet_ring::{
    PacketBlocks, filter_packets, new_packet_drops, open_packet_ring, receive_every_group, share_packets,
};
pub(crate) use recv::ReceiveQueue;
pub(crate) use rtnetlink::Monitor;
pub(crate) use send::SendQueue;
pub(crate) use timers::ExactTimers;
pub(crate) use waker::Waker;
