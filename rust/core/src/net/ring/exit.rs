//! The end of the process: no thread of a ring outlives it.

use std::sync::{Arc, Mutex, Weak};

use super::Body;
use crate::net::lock;
use crate::sys;

/// The rings of this process. A forked child has a list of its own: at the fork some thread may have held the lock of
/// its parent's, and would hold it in the child for ever.
static OPEN: [Mutex<Vec<Weak<Body>>>; 16] = [const { Mutex::new(Vec::new()) }; 16];

fn open() -> &'static Mutex<Vec<Weak<Body>>> {
    &OPEN[sys::generation() as usize % OPEN.len()]
}

pub(super) fn remember(body: &Arc<Body>) {
    let mut open = lock(open());
    open.retain(|other| other.strong_count() > 0);
    open.push(Arc::downgrade(body));
}

/// Closes every receiver with a ring and ends its thread. To be called when nobody will receive any more: who still
/// waits finds its receiver closed.
pub fn close_rings() {
    let open = std::mem::take(&mut *lock(open()));
    for body in open.iter().filter_map(Weak::upgrade) {
        body.close();
    }
}
