//! Arithmetic and parsing that needs no system: every function here is the same on every platform
//! and can be tested, fuzzed and reasoned about on its own.

pub mod address;
pub mod cmsg;
pub mod filter;
pub mod netlink;
pub mod pace;
pub mod plan;
