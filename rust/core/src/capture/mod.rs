//! Files of datagrams: recording what a receiver received, and replaying it.
//!
//! A file that is written is a pcapng file (`pure::pcapng`). There is no crate for it here: a recording consists of
//! four kinds of blocks, and each datagram goes from the batch into the output buffer without a structure in between.
//! Reading needs three kinds of blocks and bounded memory, whatever the file contains.

mod allowance;
mod blocks;
mod failure;
mod numbered;
mod player;
mod reader;
mod recorder;
mod remover;
mod source;

pub use player::{Player, PlayerConfig, PlayerStats, Selector, Step, Timing};
pub use recorder::{Drops, Progress, Recorder, RecorderConfig, RecorderStats};
