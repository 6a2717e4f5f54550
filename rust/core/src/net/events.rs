//! What happened to memberships behind the user's back, for a log: a short list that drops the oldest.

use std::collections::{BTreeMap, VecDeque};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// As it happens all the time.
    Detail,
    /// Worth knowing.
    Notice,
    /// Something is not received that was asked for.
    Warning,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// How much it matters.
    pub weight: Weight,
    /// A sentence.
    pub text: String,
}

/// Events that nobody took yet; more than these are forgotten, the oldest first.
const KEPT: usize = 64;

/// The list.
#[derive(Debug, Default)]
pub(super) struct Events(VecDeque<Event>);

impl Events {
    pub(super) fn push(&mut self, weight: Weight, text: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Event { weight, text });
    }

    pub(super) fn take(&mut self) -> Vec<Event> {
        self.0.drain(..).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What happened on an interface; one of each is told, however many groups it concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// It was deleted.
    Away,
    /// It was switched off or lost its carrier.
    Down,
    /// Its addresses are others now.
    Renumbered,
    /// The groups were moved away from it, to what the user's words mean now.
    Left,
    /// It is there (again), and the groups are joined on it.
    Back,
    /// Joining on it failed, for this reason.
    Refused(String),
}

/// What one look at the interfaces found: for each interface and change, how many groups it concerns.
#[derive(Debug, Default)]
pub(super) struct Report(BTreeMap<(Change, String), usize>);

impl Report {
    pub(super) fn note(&mut self, change: Change, interface: &str) {
        *self.0.entry((change, interface.to_owned())).or_default() += 1;
    }

    /// Puts the sentences into the list; returns how many.
    pub(super) fn tell(self, events: &mut Events) -> u64 {
        let count = self.0.len() as u64;
        for ((change, interface), groups) in self.0 {
            let groups = if groups == 1 { "1 group".to_owned() } else { format!("{groups} groups") };
            let (weight, text) = match change {
                Change::Away => (Weight::Warning, format!("{interface} went away, and {groups} with it")),
                Change::Down => (Weight::Warning, format!("{interface} is down: nothing comes by it for {groups}")),
                Change::Renumbered => {
                    (Weight::Notice, format!("{interface} has other addresses now; it stays joined for {groups}"))
                }
                Change::Left => (Weight::Notice, format!("{interface} is no longer the choice for {groups}")),
                Change::Back => (Weight::Notice, format!("{interface} is up: {groups} joined on it")),
                Change::Refused(cause) => {
                    (Weight::Warning, format!("{interface} could not be joined for {groups}: {cause}"))
                }
            };
            events.push(weight, text);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut events = Events::default();
        for number in 0..KEPT + 3 {
            events.push(Weight::Notice, number.to_string());
        }
        let taken = events.take();
        assert_eq!((taken.len(), taken[0].text.as_str()), (KEPT, "3"));
        assert!(events.is_empty());
    }

    #[test]
    fn one_sentence_for_each_interface_and_change() {
        let mut report = Report::default();
        for _ in 0..3 {
            report.note(Change::Back, "eth0");
        }
        report.note(Change::Away, "eth0");
        report.note(Change::Away, "eth1");
        let mut events = Events::default();
        assert_eq!(report.tell(&mut events), 3);
        let texts: Vec<_> = events.take().into_iter().map(|event| event.text).collect();
        assert_eq!(texts[0], "eth0 went away, and 1 group with it");
        assert_eq!(texts[2], "eth0 is up: 3 groups joined on it");
    }
}
