//! Packets as a packet ring delivers them: blocks of frames, IP headers, fragments, and the filter that selects them.

pub mod block;
pub mod bpf;
pub mod envelope;
pub mod fragments;
pub mod ip;
mod options;

#[cfg(test)]
pub(in crate::pure) mod samples;
