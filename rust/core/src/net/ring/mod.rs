//! A receiver whose kernel buffer is emptied by a background thread into a bounded ring, whatever its user is doing.
//!
//! From the lowest up; each module imports only modules above it in this list:
//!
//! * `queue`: the content of the ring, its limits, and the policy when it is full;
//! * `ready_flag`: a descriptor for event loops;
//! * `shared_queue`: locks, sleeping and waking between the thread and the consumers;
//! * `worker`: the thread, its start and its end;
//! * `exit`: the end of the process;
//! * `receiver`: the class.
//!
//! The thread calls nothing that belongs to the user: no callback, no Python.

mod exit;
mod queue;
mod ready_flag;
mod receiver;
#[cfg(test)]
mod samples;
mod shared_queue;
mod worker;

pub use exit::close_rings;
pub use receiver::RingReceiver;

#[cfg(all(loom, test))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
