//! The history of memberships: events for a log, and counters. They have locks of their own, so that reading them
//! never waits for the thread that repairs memberships.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use super::events::{Event, Level, Report};
use super::fork::ForkSafeMutex;
use super::stats::MembershipCounts;
use crate::error::Result;

/// The most events that wait to be taken. Beyond this, the oldest are forgotten.
const CAPACITY: usize = 64;

/// Events that wait to be taken, and counters.
#[derive(Debug)]
pub(super) struct Journal {
    events: ForkSafeMutex<VecDeque<Event>>,
    /// There are events to take; read without the lock.
    has_events: AtomicBool,
    counts: ForkSafeMutex<MembershipCounts>,
}

impl Journal {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            events: ForkSafeMutex::new(VecDeque::new())?,
            has_events: AtomicBool::new(false),
            counts: ForkSafeMutex::new(MembershipCounts::default())?,
        })
    }

    pub(super) fn push(&self, level: Level, text: String) {
        self.append([Event { level, text }]);
    }

    /// Append an event for each change in a report, and count the changes.
    pub(super) fn report(&self, report: Report) {
        let events = report.into_events();
        self.count(|counts| counts.interface_events += events.len() as u64);
        self.append(events);
    }

    fn append(&self, new: impl IntoIterator<Item = Event>) {
        // A forked process cannot get the lock if a thread of the parent holds it; no thread can take events there
        // either.
        let Some(mut events) = self.events.lock() else { return };
        for event in new {
            if events.len() == CAPACITY {
                events.pop_front();
            }
            events.push_back(event);
        }
        self.has_events.store(!events.is_empty(), Ordering::Relaxed);
    }

    /// Take all events, the oldest first.
    pub(super) fn take_events(&self) -> Vec<Event> {
        let Some(mut events) = self.events.lock() else { return Vec::new() };
        self.has_events.store(false, Ordering::Relaxed);
        events.drain(..).collect()
    }

    #[inline]
    pub(super) fn has_events(&self) -> bool {
        self.has_events.load(Ordering::Relaxed)
    }

    /// Change the counters.
    pub(super) fn count(&self, change: impl FnOnce(&mut MembershipCounts)) {
        if let Some(mut counts) = self.counts.lock() {
            change(&mut counts);
        }
    }

    /// Return the counters.
    pub(super) fn counts(&self) -> Result<MembershipCounts> {
        Ok(*self.counts.lock_or_refuse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_past_its_capacity_forgets_the_oldest() {
        let journal = Journal::new().unwrap();
        for number in 0..CAPACITY + 3 {
            journal.push(Level::Info, number.to_string());
        }
        assert!(journal.has_events());
        let taken = journal.take_events();
        assert_eq!((taken.len(), taken[0].text.as_str()), (CAPACITY, "3"));
        assert!(!journal.has_events());
    }
}
