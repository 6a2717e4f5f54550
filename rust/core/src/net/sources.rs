//! Sources that are added to a joined source-specific group, or removed from it, without a gap for its other sources.

use std::io;
use std::net::IpAddr;

use super::config::GroupSpec;
use super::links::choose;
use super::membership::{ActiveMembership, JoinRequest, Memberships, Place, State};
use super::socket::GroupSocket;
use crate::error::{Error, Result};
use crate::pure::address::{InterfaceName, Interfaces};
use crate::pure::filter::{Membership, Sources};
use crate::sys::SourceCall;

impl JoinRequest {
    /// The sources; empty if it is joined for any source, or for all but some.
    fn only(&self) -> &[IpAddr] {
        only(&self.spec.sources)
    }

    /// Whether these interfaces are all interfaces of the request.
    fn is_wholly_at(&self, interfaces: &Interfaces) -> bool {
        let Interfaces::One(interface) = interfaces else { return self.spec.interface == *interfaces };
        let place = Place { interface, index: choose(interface).map(|on| on.index).ok() };
        self.is_meant_by(&place) || (matches!(self.spec.interface, Interfaces::One(_)) && self.is_at(&place))
    }

    /// Join or leave sources everywhere: all of them or none.
    fn change(&mut self, call: SourceCall, sources: &[IpAddr]) -> Result<()> {
        let old = self.only().to_vec();
        let wanted = match call {
            SourceCall::Join => [&old, sources].concat(),
            SourceCall::Leave | SourceCall::Block => {
                old.iter().filter(|source| !sources.contains(source)).copied().collect()
            }
        };
        if call == SourceCall::Join {
            // The first datagram of a new source is admitted.
            self.active.iter().try_for_each(|active| active.admit(&wanted))?;
        }
        for at in 0..self.active.len() {
            if let Err(e) = self.active[at].call(call, sources) {
                // The error to report is the first one.
                let _ = self.active[..at].iter_mut().try_for_each(|done| done.call(opposite(call), sources));
                self.active.iter().try_for_each(|active| active.admit(&old))?;
                return Err(e);
            }
        }
        self.active.iter().try_for_each(|active| active.admit(&wanted))?;
        self.spec.sources = Sources::Only(wanted);
        for active in &mut self.active {
            active.membership.sources = self.spec.sources.clone();
        }
        Ok(())
    }
}

impl GroupSocket {
    /// Replace the sources of a membership that has a list of them, without a gap for those that stay. After an error,
    /// some sources can be missing.
    pub(super) fn replace_sources(&self, old: &Membership, new: &Membership) -> io::Result<()> {
        let (before, after) = (only(&old.sources), only(&new.sources));
        self.rules()?.filter.replace(new.clone());
        // In this order, the kernel's limit on sources is not exceeded.
        for source in before.iter().filter(|source| !after.contains(source)) {
            self.source_call(SourceCall::Leave, old, *source)?;
        }
        for source in after.iter().filter(|source| !before.contains(source)) {
            self.source_call(SourceCall::Join, old, *source)?;
        }
        Ok(())
    }
}

impl ActiveMembership {
    /// Admit these sources and no others.
    fn admit(&self, sources: &[IpAddr]) -> Result<()> {
        let membership = Membership { sources: Sources::Only(sources.to_vec()), ..self.membership.clone() };
        let mut rules = self.socket.rules().map_err(|e| Error::system("change the sources of a group", e))?;
        rules.filter.replace(membership);
        Ok(())
    }

    /// Join or leave sources in the kernel: all of them or none.
    fn call(&mut self, call: SourceCall, sources: &[IpAddr]) -> Result<()> {
        for (at, source) in sources.iter().enumerate() {
            match self.socket.source_call(call, &self.membership, *source) {
                Err(e) if !self.excuses(&e) => {
                    for done in &sources[..at] {
                        // The error to report is the first one.
                        let _ = self.socket.source_call(opposite(call), &self.membership, *done);
                    }
                    let verb = if call == SourceCall::Join { "join" } else { "leave" };
                    let what = format!("{verb} {source}@{}{}", self.membership.group, self.on.phrase());
                    return Err(Error::system(what, e));
                }
                // The kernel may have dropped the membership. The repair joins the sources that are wanted then.
                Err(_) => self.state = State::Doubtful,
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// The sources that are listed to be received; none if all are, or all but some.
fn only(sources: &Sources) -> &[IpAddr] {
    match sources {
        Sources::Only(list) => list,
        Sources::Any | Sources::Except(_) => &[],
    }
}

/// Addresses for a message; of many, only the first.
fn listed(addresses: &[IpAddr]) -> String {
    const MOST: usize = 8;
    let mut words: Vec<String> = addresses.iter().take(MOST).map(IpAddr::to_string).collect();
    if addresses.len() > MOST {
        words.push(format!("{} more", addresses.len() - MOST));
    }
    words.join(", ")
}

fn opposite(call: SourceCall) -> SourceCall {
    if call == SourceCall::Join { SourceCall::Leave } else { SourceCall::Join }
}

impl Memberships {
    /// The error for a group that is joined already.
    pub(super) fn already_joined(&self, spec: &GroupSpec, phrase: &str) -> Error {
        let otherwise =
            |request: &JoinRequest| request.spec.group == spec.group && request.spec.sources != spec.sources;
        let hint = match self.requests.iter().any(otherwise) {
            true => " for other sources (leave it first, then join it with all of its sources)",
            false => "",
        };
        Error::Invalid(format!("cannot join {}{phrase}: already joined{hint}", spec.group))
    }

    /// For which sources a group is joined, and where, as a hint in an error; empty if it is not joined.
    fn joined_sources(&self, group: IpAddr) -> String {
        let describe = |request: &JoinRequest| {
            let on: Vec<&str> = request.active.iter().map(|active| active.on.name.as_str()).collect();
            let place = if on.concat().is_empty() { String::new() } else { format!(" on {}", on.join(", ")) };
            let sources = match &request.spec.sources {
                Sources::Any => "any source".to_owned(),
                Sources::Only(list) => listed(list),
                Sources::Except(list) => format!("any source except {}", listed(list)),
            };
            format!("{sources}{place}")
        };
        let joined: Vec<String> =
            self.requests.iter().filter(|request| request.spec.group == group).map(describe).collect();
        if joined.is_empty() { String::new() } else { format!(" (the group is joined for {})", joined.join("; ")) }
    }

    /// Of the first `limit` requests, those for a group that is joined for certain sources only, if these interfaces
    /// mean the whole request.
    fn source_specific(&mut self, limit: usize, group: IpAddr, interfaces: &Interfaces) -> Vec<&mut JoinRequest> {
        let is_one = |request: &&mut JoinRequest| {
            request.spec.group == group && !request.only().is_empty() && request.is_wholly_at(interfaces)
        };
        self.requests.iter_mut().take(limit).filter(is_one).collect()
    }

    /// Add the sources of `spec` to its group if one of the first `limit` requests has joined it for other sources: all
    /// of them or none. Returns false, and does nothing, if none has.
    pub(super) fn add_sources(&mut self, spec: &GroupSpec, limit: usize) -> Result<bool> {
        let Sources::Only(new) = &spec.sources else { return Ok(false) };
        let mut requests = self.source_specific(limit, spec.group, &spec.interface);
        let known = new.iter().find(|source| requests.iter().any(|request| request.only().contains(source)));
        if let Some(known) = known {
            return Err(Error::Invalid(format!("cannot join {known}@{}: already joined", spec.group)));
        }
        for at in 0..requests.len() {
            if let Err(e) = requests[at].change(SourceCall::Join, new) {
                for done in &mut requests[..at] {
                    // The error to report is the first one.
                    let _ = done.change(SourceCall::Leave, new);
                }
                return Err(e);
            }
        }
        Ok(!requests.is_empty())
    }

    /// Undo [`Memberships::add_sources`] after another error.
    pub(super) fn take_back_sources(&mut self, spec: &GroupSpec, limit: usize) {
        let Sources::Only(new) = &spec.sources else { return };
        for request in self.source_specific(limit, spec.group, &spec.interface) {
            // The error to report is the other one.
            let _ = request.change(SourceCall::Leave, new);
        }
    }

    /// Leave sources of groups on one interface, or everywhere for the default interface. A group without any source
    /// left is left, and so are all groups if no sources are given. If a source is not joined there, none is left.
    pub(super) fn leave_sources(
        &mut self,
        groups: &[IpAddr],
        interface: &InterfaceName,
        sources: &[IpAddr],
    ) -> Result<()> {
        if sources.is_empty() {
            return self.leave(groups, interface);
        }
        let interfaces = Interfaces::One(interface.clone());
        for group in groups {
            let requests = self.source_specific(usize::MAX, *group, &interfaces);
            let joined = |source: &&IpAddr| requests.iter().any(|request| request.only().contains(source));
            if let Some(missing) = sources.iter().find(|source| !joined(source)) {
                let (phrase, hint) = (choose(interface)?.phrase(), self.joined_sources(*group));
                return Err(Error::Invalid(format!("cannot leave {missing}@{group}{phrase}: not joined{hint}")));
            }
        }
        let mut whole: Vec<(IpAddr, InterfaceName)> = Vec::new();
        for group in groups {
            let requests = self.source_specific(usize::MAX, *group, &interfaces);
            let ends = |request: &JoinRequest| request.only().iter().all(|source| sources.contains(source));
            if requests.iter().all(|request| ends(request)) {
                whole.push((*group, interface.clone()));
                continue;
            }
            for request in requests {
                if ends(request) {
                    let places = request.active.iter().map(|active| InterfaceName::Index(active.on.index));
                    whole.extend(places.map(|place| (*group, place)));
                } else {
                    let is_leaving = |source: &&IpAddr| sources.contains(source);
                    let leaving: Vec<IpAddr> = request.only().iter().filter(is_leaving).copied().collect();
                    request.change(SourceCall::Leave, &leaving)?;
                }
            }
        }
        whole.iter().try_for_each(|(group, place)| self.leave(&[*group], place))
    }
}
