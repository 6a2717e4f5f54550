//! Safe multicast sockets.
//!
//! Only the `wait` functions block, and no longer than their timeout. A caller that handles signals, an event loop or a
//! global lock loops over *try, then wait*.
//!
//! The modules, from the lowest up; each imports only modules above it in this list, and none imports this one:
//!
//! * `config`, `stats`, `datagram`, `events`: settings and plain values;
//! * `fork`: the lock that survives a fork;
//! * `journal`: what happened to memberships, for logs and counters;
//! * `links`: interfaces, and how a name becomes an index;
//! * `storage`, `batch`: the memory that datagrams are received into, and what users get of it;
//! * `packer`: copying datagrams into that memory one after the other;
//! * `binding`: how sockets are made and bound;
//! * `socket`: one socket, its memberships and its filter;
//! * `packet::own`, `packet::socket`: one packet socket, its ring and its filter;
//! * `inlet`: a socket of either kind;
//! * `socket_set`: all sockets of a receiver, and the descriptor that represents them;
//! * `holders`: sockets that hold a group while another socket rejoins it;
//! * `surroundings`: interfaces and routes, and what a join request means in them;
//! * `changes`: what the monitor of the network reported;
//! * `membership`: requested groups and active memberships, joining and leaving;
//! * `sources`: adding sources to a joined group, and removing them;
//! * `heal`: repairing memberships after a change of the network;
//! * `packet::wire`: everything for groups on one interface, joined or not;
//! * `packet::engine`: what packet sockets deliver;
//! * `control`: sockets, memberships and schedules of one receiver, under one lock;
//! * `fetch`: reading datagrams from the sockets, under another lock;
//! * `gauges`: figures of a receiver that any thread can read at any time;
//! * `spin`: busy polling before a sleep;
//! * `watch`: changes of the interfaces, for programs;
//! * `receiver`: the class that receives;
//! * `send_options`, `destination`: the options of a sender's socket, and where it sends to;
//! * `sender`: the class that sends, and receives the answers;
//! * `reply`: answers of a receiver;
//! * `ring`: a receiver that a background thread reads;
//! * `endpoint`: what a datagram endpoint of an event loop needs.

mod batch;
mod binding;
mod changes;
mod config;
mod control;
mod datagram;
mod destination;
mod endpoint;
mod events;
mod fetch;
mod fork;
mod gauges;
mod heal;
mod holders;
mod inlet;
mod journal;
mod links;
mod membership;
mod packer;
mod packet;
mod receiver;
mod reply;
mod ring;
mod send_options;
mod sender;
mod socket;
mod socket_set;
mod sources;
mod spin;
mod stats;
mod storage;
mod surroundings;
mod watch;

pub use crate::pure::wake::Wake;
pub use batch::Batch;
pub use config::{
    Engine, Fanout, GroupSpec, MAX_FANOUT, MAX_RING_CAPACITY, ReceiverConfig, RingConfig, RingPolicy, SenderConfig,
    SenderOptions,
};
pub use datagram::{DatagramRef, Origin};
pub use endpoint::{SocketReader, sending_socket};
pub use events::{Event, Level};
pub use links::{Interface, interface_index, interface_name, interfaces};
pub use packet::wire::{Wire, WireStats};
pub use receiver::Receiver;
pub use ring::{RingReceiver, close_rings};
pub use sender::Sender;
pub use socket::duplicate;
pub use stats::{ReceiverStats, RingStats, SenderStats};
pub use watch::InterfaceWatch;

pub use crate::pure::changes::Change as InterfaceChange;

/// The system setting that allows a larger receive buffer.
pub const RECEIVE_BUFFER_SETTING: &str = crate::sys::BUFFER_SETTING;
