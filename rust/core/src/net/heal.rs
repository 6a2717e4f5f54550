//! Repairing memberships after a change of the network, and periodic rejoins.

use std::cell::OnceCell;
use std::fs;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use super::changes::LinkChanges;
use super::events::{Change, Level, Report};
use super::holders::Holders;
use super::journal::Journal;
use super::links::{Chosen, Interface, find};
use super::membership::{ActiveMembership, JoinRequest, Memberships, State};
use super::socket_set::{Occasion, SocketSet};
use super::surroundings::Surroundings;
use crate::error::{Error, Result, cause};
use crate::pure::address::{InterfaceName, Interfaces};
use crate::pure::filter::Membership;
use crate::pure::links::Links;
use crate::pure::proc_net::{Files, KernelGroups};
use crate::sys::Monitor;

/// The inputs and results of one repair.
struct Repair<'a, 'n> {
    before: Links,
    here: Surroundings<'n>,
    changes: &'a LinkChanges,
    /// Changes are found by comparing lists of interfaces, so some of them are missed.
    is_polled: bool,
    report: Report,
    /// The groups that the kernel has joined, once they are needed.
    kernel: OnceCell<KernelGroups>,
    /// A join failed for a reason that can go away without a change of the network, such as a lack of memory.
    incomplete: bool,
    monitor: Arc<Monitor>,
    /// The changes that were reported after `changes`. They can be part of what `here` shows.
    later: Option<LinkChanges>,
}

impl Repair<'_, '_> {
    /// Whether another interface has this index now. The list of interfaces can show a deletion before it is reported.
    fn is_replaced(&mut self, group: IpAddr, index: u32) -> bool {
        // If this fails, the next repair reads the monitor too, and reports the error.
        if let Ok(Some(news)) = LinkChanges::read(&self.monitor) {
            self.later.get_or_insert_default().merge(news);
        }
        let is_removed = |changes: &LinkChanges| changes.can_have_removed(index);
        // A forked process does not know what happened before its first look. The kernel keeps the groups of an
        // interface that is renamed.
        let kernel = self.kernel.get_or_init(read_kernel_groups);
        is_removed(self.changes)
            || self.later.as_ref().is_some_and(is_removed)
            || (kernel.is_known() && !kernel.has_joined(group, index))
    }
}

/// How far a repair got.
pub(super) enum Healed {
    Completely,
    /// Some joins failed and are worth another try.
    Partly,
    /// These changes were reported in the meantime and must be repaired next.
    Until(LinkChanges),
}

impl Memberships {
    /// Join everything again, so that switches and routers see new reports.
    pub(super) fn rejoin_all(&mut self, sockets: &SocketSet) {
        let mut report = Report::default();
        let kernel = read_kernel_groups();
        let Self { requests, holders, journal, .. } = self;
        for active in requests.iter_mut().flat_map(|request| &mut request.active).filter(|active| active.works()) {
            let result = active.refresh(&kernel, sockets, holders);
            active.rejoined(result, journal, &mut report);
        }
        let events = report.into_events();
        events.into_iter().for_each(|event| journal.push(event.level, event.text));
    }

    /// Compare the memberships with the interfaces that exist now, and repair them. `changes` lists the interfaces that
    /// were gone or not ready for a moment.
    pub(super) fn heal(&mut self, changes: &LinkChanges, sockets: &mut SocketSet) -> Result<Healed> {
        self.look(|memberships, here| memberships.heal_at(here, changes, sockets))
    }

    fn heal_at(&mut self, here: Surroundings<'_>, changes: &LinkChanges, sockets: &mut SocketSet) -> Result<Healed> {
        let monitor = Arc::clone(&sockets.table()?.monitor);
        let before = mem::replace(&mut self.links, here.links.clone());
        let (report, kernel) = (Report::default(), OnceCell::new());
        let is_polled = monitor.due().is_some();
        let mut repair =
            Repair { before, here, changes, is_polled, report, kernel, incomplete: false, monitor, later: None };
        let mut requests = mem::take(&mut self.requests);
        for request in &mut requests {
            // A failure of one request must not keep the others from being repaired.
            if let Err(e) = self.repair(request, &mut repair, sockets) {
                self.journal.push(Level::Warning, e.to_string());
            }
        }
        self.requests = requests;
        self.journal.report(repair.report);
        self.update_outage();
        Ok(match repair.later {
            Some(later) => Healed::Until(later),
            None if repair.incomplete => Healed::Partly,
            None => Healed::Completely,
        })
    }

    /// Repair one request: drop what is gone, join what is selected now, and only then leave what is not selected any
    /// more. A working membership is left only once another one works in its place.
    fn repair(
        &mut self,
        request: &mut JoinRequest,
        repair: &mut Repair<'_, '_>,
        sockets: &mut SocketSet,
    ) -> Result<()> {
        for mut active in mem::take(&mut request.active) {
            if still_exists(&mut active, request, repair) {
                request.active.push(active);
            } else {
                self.deactivate(&active);
                repair.report.add(Change::Removed, &active.on.name);
            }
        }
        let selected = selected_interfaces(request, &repair.here)?;
        let existing = request.active.len();
        for on in &selected {
            self.join_selected(request, on, repair, sockets);
        }
        let mut new = request.active.split_off(existing);
        let is_selected = |active: &ActiveMembership| selected.iter().any(|on| on.index == active.on.index);
        let has_selected = !new.is_empty() || request.active.iter().any(is_selected);
        for mut active in mem::take(&mut request.active) {
            if has_selected && !is_selected(&active) {
                self.deactivate(&active);
                repair.report.add(Change::Deselected, &active.on.name);
                continue;
            }
            if active.on.index != 0 {
                active.check(repair, sockets, &mut self.holders, &self.journal);
            } else if repair.before != repair.here.links {
                active.follow_default(&self.journal, &mut repair.report);
            }
            request.active.push(active);
        }
        request.active.append(&mut new);
        Ok(())
    }

    /// Join a request on a selected interface, unless it is joined there, or the user left it, or it is unusable.
    fn join_selected(
        &mut self,
        request: &mut JoinRequest,
        on: &Chosen,
        repair: &mut Repair<'_, '_>,
        sockets: &mut SocketSet,
    ) {
        if request.left.contains(&on.name) || self.joined.contains(&(request.spec.group, on.index)) {
            return;
        }
        let Some(interface) = repair.here.links.get(&on.index) else { return };
        let failure = match interface.unusable_reason() {
            // If the request is for several or all interfaces, one that is not usable yet is not worth a warning.
            Some(_) if !matches!(request.spec.interface, Interfaces::One(_)) => return,
            Some(reason) => reason.to_owned(),
            None => match self.activate(request, on.clone(), &repair.here, sockets, Occasion::Repair) {
                Ok(()) => {
                    request.failures.remove(&on.name);
                    self.journal.count(|counts| counts.rejoins += 1);
                    repair.report.add(Change::Up, &on.name);
                    return;
                }
                Err(Error::System { source, .. }) => {
                    repair.incomplete = true;
                    cause(&source)
                }
                Err(e) => e.to_string(),
            },
        };
        // Each failure is reported once. The join is tried again after every change.
        if request.failures.get(&on.name) != Some(&failure) {
            repair.report.add(Change::JoinFailed(failure.clone()), &on.name);
            request.failures.insert(on.name.clone(), failure);
        }
    }
}

/// Whether the interface of a membership is still the one that it was joined on. An index alone does not say so: the
/// system can give it to another interface.
fn still_exists(active: &mut ActiveMembership, request: &mut JoinRequest, repair: &mut Repair<'_, '_>) -> bool {
    let index = active.on.index;
    if index == 0 {
        // The system chose the interface, and did not report which one.
        return true;
    }
    let Some(name) = repair.here.links.get(&index).map(|now| now.name.clone()) else { return false };
    if name == active.on.name {
        return true;
    }
    if repair.is_replaced(active.membership.group, index) {
        let addresses = repair.here.links.get(&index).map_or(&[][..], |now| &now.addresses);
        return matches!(&request.spec.interface, Interfaces::One(InterfaceName::Address(a)) if addresses.contains(a));
    }
    // It was renamed. The event lets callers forget names that they keep, such as the zones of link-local senders.
    repair.report.add(Change::Renamed(name.clone()), &active.on.name);
    if let Some(known) = request.names.get_mut(&index) {
        known.clone_from(&name);
    }
    active.on.name = name;
    true
}

/// The interfaces that the request selects now, usable or not.
fn selected_interfaces(request: &JoinRequest, here: &Surroundings<'_>) -> Result<Vec<Chosen>> {
    let find = |name: &InterfaceName| {
        let on = find(name, &here.links)?;
        let is_other = matches!(name, InterfaceName::Index(index) if request.names.get(index) != Some(&on.name));
        (!is_other).then_some(on)
    };
    Ok(match &request.spec.interface {
        Interfaces::One(InterfaceName::Default) => here.by_route(request.spec.group)?.into_iter().collect(),
        Interfaces::One(name) => find(name).into_iter().collect(),
        Interfaces::Several(names) => names.iter().filter_map(find).collect(),
        Interfaces::All => here.links.values().map(Chosen::from).collect(),
    })
}

impl ActiveMembership {
    /// Compare the state of its interface with the state before, and join again if that is due.
    fn check(&mut self, repair: &mut Repair<'_, '_>, sockets: &SocketSet, holders: &mut Holders, journal: &Journal) {
        let Repair { before, here, changes, is_polled, report, kernel, .. } = repair;
        let Some(now) = here.links.get(&self.on.index) else { return };
        let group = self.membership.group;
        let before = before.get(&self.on.index);
        let was_ready = before.is_some_and(Interface::ready);
        let had_addresses = before.is_some_and(|before| before.same_version(group).next().is_some());
        let kernel = || kernel.get_or_init(read_kernel_groups);
        // The kernel may have dropped the group unnoticed, for example because the interface was deleted and created
        // again.
        let is_lost = changes.is_incomplete() && !kernel().has(&self.membership);
        let is_down = was_ready && !now.ready();
        if is_lost || is_down || changes.can_have_affected(&self.membership, was_ready) {
            if !now.ready() && self.works() {
                report.add(Change::Down, &self.on.name);
            }
            let can_have_dropped = is_lost || *is_polled || changes.can_have_dropped(&self.membership);
            if can_have_dropped || self.works() {
                self.state = if can_have_dropped { State::Doubtful } else { State::Interrupted };
            }
        } else if self.works() && now.ready() {
            if had_addresses && before.is_some_and(|before| !before.same_version(group).eq(now.same_version(group))) {
                report.add(Change::Renumbered, &self.on.name);
            }
            if self.unaddressed && now.same_version(group).next().is_some() {
                self.unaddressed = false;
                let result = self.refresh(kernel(), sockets, holders);
                self.rejoined(result, journal, report);
            }
            return;
        }
        if !self.works() && now.ready() {
            self.unaddressed = now.same_version(group).next().is_none();
            // There must be no gap if the kernel kept the membership: it may receive again already. Or the interface was
            // down before the group was joined, and the event is read only now.
            //
            // Linux can lose the sources of a group in an outage. It keeps them elsewhere while an IPv6 interface is down,
            // and loses them if another socket joins or leaves the group before it puts them back (`mld_del_delrec` in
            // net/ipv6/mcast.c). It sends the news that the interface is up before it does.
            let is_kept = self.state == State::Interrupted && kernel().has(&self.membership);
            let result = match is_kept {
                true => self.refresh(kernel(), sockets, holders),
                false => self.socket.rejoin(&self.membership),
            };
            self.state = State::Working;
            if self.rejoined(result, journal, report) {
                report.add(Change::Up, &self.on.name);
            }
        }
    }

    /// Join on the interface that the system selects now. It does not report which one that is.
    fn follow_default(&self, journal: &Journal, report: &mut Report) {
        // An error means that it is still the same one, or that there is none: the next change tries again.
        if self.socket.follow_default(&self.membership).is_ok() {
            journal.count(|counts| counts.rejoins += 1);
            report.add(Change::Up, "the default interface");
        }
    }

    /// Let the kernel report an intact membership again, without a gap if that is possible.
    fn refresh(&self, kernel: &KernelGroups, sockets: &SocketSet, holders: &mut Holders) -> io::Result<()> {
        let Membership { group, interface, .. } = self.membership;
        // Older versions of IGMP report only the first join and the last leave.
        let is_possible = group.is_ipv6() || kernel.speaks_igmp_v3(interface).unwrap_or(true);
        match holders.get(group) {
            Ok(holder) if is_possible => sockets
                .senders(group, interface)
                .and_then(|senders| self.socket.refresh(&self.membership, holder, senders)),
            // Without a free descriptor, a gap is the lesser evil.
            _ => self.socket.rejoin(&self.membership),
        }
    }

    /// Record the result of a rejoin. Returns whether the group is joined.
    fn rejoined(&mut self, result: io::Result<()>, journal: &Journal, report: &mut Report) -> bool {
        match result {
            Ok(()) => {
                journal.count(|counts| counts.rejoins += 1);
                true
            }
            Err(e) => {
                self.state = State::Doubtful;
                report.add(Change::JoinFailed(cause(&e)), &self.on.name);
                false
            }
        }
    }
}

/// The groups that the kernel has joined in the network namespace of this thread. Nothing is known on systems without
/// these files, or without a free descriptor. In a namespace other than the receiver's, interfaces have other indexes,
/// and groups appear not to be joined.
fn read_kernel_groups() -> KernelGroups {
    let read = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    KernelGroups::parse(&Files {
        igmp: read("igmp"),
        igmp6: read("igmp6"),
        mcfilter: read("mcfilter"),
        mcfilter6: read("mcfilter6"),
    })
}
