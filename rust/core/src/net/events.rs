//! Events about memberships, in words for a log.

use std::collections::BTreeMap;

/// The level of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Expected in normal operation.
    Debug,
    /// Worth knowing.
    Info,
    /// A requested group is not received.
    Warning,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its level.
    pub level: Level,
    /// A sentence.
    pub text: String,
}

/// A change of an interface. Each is reported once, however many groups it affects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// It was deleted.
    Removed,
    /// It went down or lost its carrier.
    Down,
    /// It has this name now.
    Renamed(String),
    /// Its addresses changed.
    Renumbered,
    /// The user's name for the interface, or the route, selects another one now.
    Deselected,
    /// It is usable now, possibly again, and the groups are joined on it.
    Up,
    /// Joining on it failed for this reason.
    JoinFailed(String),
}

/// The changes found by one look at the interfaces: for each interface and change, the number of groups affected.
#[derive(Debug, Default)]
pub(super) struct Report(BTreeMap<(Change, String), usize>);

impl Report {
    pub(super) fn add(&mut self, change: Change, interface: &str) {
        *self.0.entry((change, interface.to_owned())).or_default() += 1;
    }

    /// Return an event for each change.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.0.into_iter().map(|((change, interface), groups)| change.event(&interface, groups)).collect()
    }
}

impl Change {
    fn event(self, interface: &str, groups: usize) -> Event {
        let groups = if groups == 1 { "1 group".to_owned() } else { format!("{groups} groups") };
        let (level, text) = match self {
            Self::Removed => (Level::Warning, format!("{interface} was removed and no longer receives {groups}")),
            Self::Down => (Level::Warning, format!("{interface} is down and does not receive {groups}")),
            Self::Renamed(name) => {
                (Level::Info, format!("{interface} was renamed to {name} and keeps {groups} joined"))
            }
            Self::Renumbered => (Level::Info, format!("{interface} changed its addresses and keeps {groups} joined")),
            Self::Deselected => (Level::Info, format!("{interface} is no longer selected for {groups}")),
            Self::Up => (Level::Info, format!("{interface} is up with {groups} joined")),
            Self::JoinFailed(cause) => (Level::Warning, format!("cannot join {groups} on {interface}: {cause}")),
        };
        Event { level, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_has_one_sentence_for_each_interface_and_change() {
        let mut report = Report::default();
        for _ in 0..3 {
            report.add(Change::Up, "eth0");
        }
        report.add(Change::Removed, "eth0");
        report.add(Change::Removed, "eth1");
        let texts: Vec<_> = report.into_events().into_iter().map(|event| event.text).collect();
        assert_eq!(texts.len(), 3);
        assert_eq!(texts[0], "eth0 was removed and no longer receives 1 group");
        assert_eq!(texts[2], "eth0 is up with 3 groups joined");
    }
}
