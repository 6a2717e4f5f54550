//! The changes that the monitor of the network reported since it was last read.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::pure::filter::Membership;
use crate::pure::netlink::NetlinkEvent;
use crate::sys::Monitor;

/// The interfaces that changed, by index, regardless of their current state.
#[derive(Debug, Default)]
pub(super) struct LinkChanges {
    /// They were not ready, at least for a moment.
    unready: BTreeSet<u32>,
    /// They were deleted.
    removed: BTreeSet<u32>,
    /// IPv6 was switched off on them, at least for a moment.
    ipv6_removed: BTreeSet<u32>,
    /// Their MTU was too small for IPv6, at least for a moment.
    too_small: BTreeSet<u32>,
    /// Notifications were lost: any interface may have changed in any way.
    all: bool,
}

impl LinkChanges {
    /// Add later changes.
    pub(super) fn merge(&mut self, later: Self) {
        self.unready.extend(later.unready);
        self.removed.extend(later.removed);
        self.ipv6_removed.extend(later.ipv6_removed);
        self.too_small.extend(later.too_small);
        self.all |= later.all;
    }

    /// Read the monitor. Returns `None` if nothing changed.
    pub(super) fn read(monitor: &Monitor) -> Result<Option<Self>> {
        let mut changes = Self::default();
        let mut any = false;
        let complete = monitor.drain(|event| {
            any = true;
            match event {
                NetlinkEvent::Link { index, ready, has_room_for_ipv6 } => {
                    if !ready {
                        changes.unready.insert(index);
                    }
                    if !has_room_for_ipv6 {
                        changes.too_small.insert(index);
                    }
                }
                NetlinkEvent::Removed { index } => _ = changes.removed.insert(index),
                NetlinkEvent::Ipv6Removed { index } => _ = changes.ipv6_removed.insert(index),
                NetlinkEvent::Route | NetlinkEvent::Other => {}
            }
        });
        changes.all = !complete.map_err(|e| Error::system("watch the interfaces", e))?;
        Ok((any || changes.all).then_some(changes))
    }

    /// Whether notifications were lost. If so, only the kernel knows which groups are still joined.
    pub(super) fn is_incomplete(&self) -> bool {
        self.all
    }

    /// Whether this interface may have been deleted, so that another one may have its index now.
    pub(super) fn can_have_removed(&self, index: u32) -> bool {
        self.all || self.removed.contains(&index)
    }

    /// Whether this membership may have received nothing for a moment. An interface that was not ready before loses
    /// nothing if it stays that way.
    pub(super) fn can_have_affected(&self, membership: &Membership, was_ready: bool) -> bool {
        let index = &membership.interface;
        self.can_have_dropped(membership)
            || (was_ready && self.unready.contains(index))
            || (membership.group.is_ipv6() && self.ipv6_removed.contains(index))
    }

    /// Whether the kernel may have dropped this membership.
    pub(super) fn can_have_dropped(&self, membership: &Membership) -> bool {
        let index = &membership.interface;
        self.removed.contains(index) || (membership.group.is_ipv6() && self.too_small.contains(index))
    }
}
