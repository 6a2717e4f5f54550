//! Arithmetic and parsing, without system calls or a clock.
//!
//! Every function here behaves the same on every platform and can be tested, fuzzed and reasoned about on its own. This
//! layer imports nothing from the rest of the crate; `tests/layers.rs` fails if it does.

pub mod address;
pub mod bytes;
pub mod changes;
pub mod cmsg;
pub mod coalesce;
pub mod filter;
pub mod fragments;
pub mod invalid;
pub mod ip;
pub mod link;
pub mod links;
pub mod netlink;
pub mod pace;
pub mod packet;
pub mod pcapng;
pub mod proc_net;
pub mod senders;
pub mod streams;
pub mod wake;
