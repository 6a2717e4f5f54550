//! The end of the process: no thread of a ring outlives it.

use std::sync::{Arc, Mutex, Weak};

use super::worker::RingShared;
use crate::net::fork::lock;
use crate::sys;

/// The open rings. A forked process uses a list of its own: a thread of its parent may have held the lock at the fork,
/// and the lock would then stay locked in the child.
static OPEN: [Mutex<Vec<Weak<RingShared>>>; 16] = [const { Mutex::new(Vec::new()) }; 16];

fn open() -> &'static Mutex<Vec<Weak<RingShared>>> {
    &OPEN[sys::generation() as usize % OPEN.len()]
}

pub(super) fn register(shared: &Arc<RingShared>) {
    let mut open = lock(open());
    open.retain(|other| other.strong_count() > 0);
    open.push(Arc::downgrade(shared));
}

/// Close every receiver with a ring and end its thread. Call this at the end of the process; a thread that still waits
/// on one of them finds it closed.
pub fn close_rings() {
    let open = std::mem::take(&mut *lock(open()));
    for shared in open.iter().filter_map(Weak::upgrade) {
        shared.close();
    }
}
