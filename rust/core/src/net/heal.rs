//! Repairing memberships after a change of the network, and periodic rejoins.

use std::mem;

use super::changes::LinkChanges;
use super::config::GroupSpec;
use super::events::{Change, Level, Report};
use super::journal::Journal;
use super::links::{Chosen, Interface, Snapshot, find, snapshot};
use super::membership::{ActiveMembership, JoinRequest, Memberships};
use super::socket_set::SocketSet;
use crate::error::{Error, Result, cause};
use crate::pure::address::{InterfaceName, Interfaces};
use crate::sys::Routes;

/// What one repair works with.
struct Repair<'a> {
    before: Snapshot,
    changes: &'a LinkChanges,
    routes: Routes,
    report: Report,
}

impl Memberships {
    /// Join everything again, so that switches and routers see new reports.
    pub(super) fn rejoin_all(&mut self) {
        let mut report = Report::default();
        let Self { requests, journal, .. } = self;
        for active in requests.iter_mut().flat_map(|request| &mut request.active).filter(|active| !active.broken) {
            active.rejoin(journal, &mut report);
        }
        let events = report.into_events();
        events.into_iter().for_each(|event| journal.push(event.level, event.text));
    }

    /// Compare the memberships with the interfaces that exist now, and repair them. `changes` lists the interfaces that
    /// were gone or not ready for a moment.
    pub(super) fn heal(&mut self, changes: &LinkChanges, sockets: &mut SocketSet) -> Result<()> {
        let before = mem::replace(&mut self.links, snapshot()?);
        let mut repair = Repair { before, changes, routes: Routes::open(), report: Report::default() };
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
        Ok(())
    }

    fn repair(&mut self, request: &mut JoinRequest, repair: &mut Repair<'_>, sockets: &mut SocketSet) -> Result<()> {
        let selected = self.selected_interfaces(&request.spec, &repair.routes)?;
        for mut active in mem::take(&mut request.active) {
            let Some(now) = self.links.get(&active.on.index) else {
                self.deactivate(&active);
                repair.report.add(Change::Removed, &active.on.name);
                continue;
            };
            // If the user's words select nothing at present, the interface that they selected before is kept.
            if !(selected.is_empty() || selected.iter().any(|on| on.index == active.on.index)) {
                self.deactivate(&active);
                repair.report.add(Change::Deselected, &active.on.name);
                continue;
            }
            active.check(now, repair, &self.journal);
            request.active.push(active);
        }
        for on in selected {
            self.join_selected(request, on, repair, sockets);
        }
        Ok(())
    }

    /// Join a request on a selected interface, unless it is joined there, or the user left it, or it is unusable.
    fn join_selected(
        &mut self,
        request: &mut JoinRequest,
        on: Chosen,
        repair: &mut Repair<'_>,
        sockets: &mut SocketSet,
    ) {
        let Some(interface) = self.links.get(&on.index).filter(|interface| interface.unusable_reason().is_none())
        else {
            return;
        };
        if request.left.contains(&on.name) || self.joined.contains(&(request.spec.group, on.index)) {
            return;
        }
        let changed = repair.before.get(&on.index) != Some(interface);
        let name = on.name.clone();
        match self.activate(request, on, sockets, false) {
            Ok(()) => {
                self.journal.count(|counts| counts.rejoins += 1);
                repair.report.add(Change::Up, &name);
            }
            // Reported once. The join is tried again after every change.
            Err(Error::System { source, .. }) if changed => {
                repair.report.add(Change::JoinFailed(cause(&source)), &name);
            }
            Err(_) => {}
        }
    }

    /// The interfaces that the user's words select now, usable or not.
    fn selected_interfaces(&self, spec: &GroupSpec, routes: &Routes) -> Result<Vec<Chosen>> {
        Ok(match &spec.interface {
            Interfaces::One(InterfaceName::Default) => self.by_route(spec.group, routes)?.into_iter().collect(),
            Interfaces::One(name) => find(name, &self.links).into_iter().collect(),
            Interfaces::Several(names) => names.iter().filter_map(|name| find(name, &self.links)).collect(),
            Interfaces::All => self.links.values().map(Chosen::from).collect(),
        })
    }
}

impl ActiveMembership {
    /// Compare the state of its interface with the state before, and join again if that is due.
    fn check(&mut self, now: &Interface, repair: &mut Repair<'_>, journal: &Journal) {
        let Repair { before, changes, report, .. } = repair;
        let group = self.membership.group;
        let before = before.get(&self.on.index);
        let was_ready = before.is_some_and(Interface::ready);
        let had_addresses = before.is_some_and(|before| before.same_version(group).next().is_some());
        if changes.affects(&self.membership, was_ready) || (was_ready && !now.ready()) {
            if !now.ready() && !self.broken {
                report.add(Change::Down, &self.on.name);
            }
            self.broken = true;
        } else if !self.broken && now.ready() {
            if had_addresses && before.is_some_and(|before| !before.same_version(group).eq(now.same_version(group))) {
                report.add(Change::Renumbered, &self.on.name);
            }
            if !had_addresses && now.same_version(group).next().is_some() {
                // Switches and routers can ignore a report that was sent without an address of this host.
                self.rejoin(journal, report);
            }
            return;
        }
        if self.broken && now.ready() {
            self.broken = false;
            if self.rejoin(journal, report) {
                report.add(Change::Up, &self.on.name);
            }
        }
    }

    /// Leave and join again. Returns whether it is joined.
    fn rejoin(&mut self, journal: &Journal, report: &mut Report) -> bool {
        match self.socket.rejoin(&self.membership) {
            Ok(()) => {
                journal.count(|counts| counts.rejoins += 1);
                true
            }
            Err(e) => {
                self.broken = true;
                report.add(Change::JoinFailed(cause(&e)), &self.on.name);
                false
            }
        }
    }
}
