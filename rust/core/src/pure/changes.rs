//! The changes from one list of interfaces to the next, and what the system reported in between.

use super::links::{Interface, Links};
use super::netlink::NetlinkEvent;

/// One change of the interfaces or routes. It holds the interface as it is after the change, unless stated otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An interface appeared, or has a new name.
    Added(Interface),
    /// An interface is gone, or has another name now: as it was.
    Removed(Interface),
    /// It is switched on and has a carrier.
    Up(Interface),
    /// It is switched off or has no carrier.
    Down(Interface),
    /// It has other addresses.
    Addresses(Interface),
    /// A default route, or a route for multicast, was added or removed.
    Routes,
    /// Events were lost. The changes that follow lead to the present state.
    Resync,
}

/// Return the changes from `before` to `after`, with the events in between, in their order.
pub fn changes(before: &Links, after: &Links, seen: &[NetlinkEvent], overrun: bool) -> Vec<Change> {
    let mut known = before.clone();
    let mut found = Vec::new();
    if overrun {
        found.push(Change::Resync);
    }
    for event in seen {
        match *event {
            NetlinkEvent::Removed { index } => {
                found.extend(known.remove(&index).map(Change::Removed));
            }
            NetlinkEvent::Link { index, ready, .. } => {
                add(index, &mut known, after, &mut found);
                set_ready(index, ready, &mut known, after, &mut found);
            }
            NetlinkEvent::Route => {
                if found.last() != Some(&Change::Routes) {
                    found.push(Change::Routes);
                }
            }
            NetlinkEvent::Ipv6Removed { .. } | NetlinkEvent::Other => {}
        }
    }
    reconcile(&mut known, after, &mut found);
    found
}

/// Make `known` equal to `after`, and report the changes.
fn reconcile(known: &mut Links, after: &Links, found: &mut Vec<Change>) {
    let stale = |old: &Interface| after.get(&old.index).is_none_or(|now| now.name != old.name);
    let gone: Vec<u32> = known.values().filter(|old| stale(old)).map(|old| old.index).collect();
    for index in gone {
        found.extend(known.remove(&index).map(Change::Removed));
    }
    for now in after.values() {
        add(now.index, known, after, found);
        set_ready(now.index, is_ready(now), known, after, found);
        let addresses_changed = known.get(&now.index).is_some_and(|old| sorted(old) != sorted(now));
        if addresses_changed {
            found.push(Change::Addresses(now.clone()));
        }
    }
}

/// Report an interface that is not known yet. At first it is down, and has no addresses.
fn add(index: u32, known: &mut Links, after: &Links, found: &mut Vec<Change>) {
    if let (false, Some(now)) = (known.contains_key(&index), after.get(&index)) {
        found.push(Change::Added(now.clone()));
        known.insert(index, Interface { up: false, running: false, ..now.clone() });
    }
}

fn set_ready(index: u32, ready: bool, known: &mut Links, after: &Links, found: &mut Vec<Change>) {
    let Some(old) = known.get_mut(&index) else { return };
    if is_ready(old) != ready {
        (old.up, old.running) = (ready, ready);
        let described = after.get(&index).unwrap_or(old).clone();
        found.push(if ready { Change::Up(described) } else { Change::Down(described) });
    }
}

fn is_ready(interface: &Interface) -> bool {
    interface.up && interface.running
}

fn sorted(interface: &Interface) -> Vec<std::net::IpAddr> {
    let mut addresses = interface.addresses.clone();
    addresses.sort();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: u32 = 1 | 1 << 6;

    fn links(list: &[(u32, &str, u32, &[&str])]) -> Links {
        let make = |&(index, name, flags, addresses): &(u32, &str, u32, &[&str])| {
            let mut interface = Interface::new(index, name.to_owned(), flags);
            interface.addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
            (index, interface)
        };
        list.iter().map(make).collect()
    }

    fn names(found: &[Change]) -> Vec<String> {
        let name = |change: &Change| match change {
            Change::Added(it) => format!("+{}", it.name),
            Change::Removed(it) => format!("-{}", it.name),
            Change::Up(it) => format!("up {}", it.name),
            Change::Down(it) => format!("down {}", it.name),
            Change::Addresses(it) => format!("addresses {}", it.name),
            Change::Routes => "routes".to_owned(),
            Change::Resync => "resync".to_owned(),
        };
        found.iter().map(name).collect()
    }

    #[test]
    fn changes_without_events_are_the_difference() {
        let before = links(&[(1, "lo", READY, &[]), (2, "a", READY, &["10.0.0.1"]), (3, "b", READY, &[])]);
        let after = links(&[(1, "lo", READY, &[]), (2, "a", 1, &["10.0.0.2"]), (4, "c", READY, &["10.0.0.3"])]);
        let found = changes(&before, &after, &[NetlinkEvent::Other], false);
        assert_eq!(names(&found), ["-b", "down a", "addresses a", "+c", "up c"]);
        assert_eq!(changes(&after, &after, &[NetlinkEvent::Other], false), []);
    }

    #[test]
    fn changes_that_were_undone_are_reported_in_order() {
        let state = links(&[(2, "a", READY, &[])]);
        let [down, up] = [false, true].map(|ready| NetlinkEvent::Link { index: 2, ready, has_room_for_ipv6: true });
        assert_eq!(names(&changes(&state, &state, &[down, down, up], false)), ["down a", "up a"]);
        let removed = NetlinkEvent::Removed { index: 2 };
        assert_eq!(names(&changes(&state, &state, &[removed, up], false)), ["-a", "+a", "up a"]);
    }

    #[test]
    fn changes_of_a_name_and_of_an_index_are_a_removal_and_an_addition() {
        let before = links(&[(2, "a", READY, &[])]);
        let renamed = links(&[(2, "b", READY, &[])]);
        assert_eq!(names(&changes(&before, &renamed, &[NetlinkEvent::Other], false)), ["-a", "+b", "up b"]);
    }

    #[test]
    fn changes_of_addresses_do_not_depend_on_their_order() {
        let before = links(&[(2, "a", READY, &["10.0.0.1", "10.0.0.2"])]);
        let after = links(&[(2, "a", READY, &["10.0.0.2", "10.0.0.1"])]);
        assert_eq!(changes(&before, &after, &[NetlinkEvent::Other], false), []);
    }

    #[test]
    fn changes_after_an_overrun_begin_with_a_resync() {
        let (before, after) = (links(&[]), links(&[(2, "a", 1, &[])]));
        assert_eq!(names(&changes(&before, &after, &[], true)), ["resync", "+a"]);
        let events = [NetlinkEvent::Route, NetlinkEvent::Route, NetlinkEvent::Removed { index: 9 }];
        assert_eq!(names(&changes(&after, &after, &events, false)), ["routes"]);
    }
}
