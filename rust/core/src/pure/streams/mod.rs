//! Statistics of streams, from the payloads themselves: loss, duplicates, reordering, restarts, jitter, delay and
//! bursts.
//!
//! A stream is what one sender sends to one group. Four kinds of payloads carry numbers: RTP (RFC 3550), MPEG transport
//! streams (ISO 13818-1), numbered datagrams, and those of iperf 2. For other payloads, only rates and bursts are
//! known.
//!
//! * `sequence`: numbers that may be lost, repeated or out of order;
//! * `histogram`: counts of values, for percentiles;
//! * `burst`: the most that arrived within a short time;
//! * `jitter`: interarrival jitter;
//! * `numbered`, `iperf`, `rtp`, `mpegts`: the kinds of payloads;
//! * `stream`: one stream, whatever its kind;
//! * `table`: all streams.

pub mod burst;
pub mod histogram;
mod iperf;
mod jitter;
mod mpegts;
mod numbered;
mod rtp;
pub mod sequence;
pub mod stream;
pub mod table;
