//! Requested groups and active memberships: joining and leaving.
//!
//! A join request is what the user asked to join. Its active memberships are the interfaces where it is joined now.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::slice;
use std::sync::Arc;

use super::config::GroupSpec;
use super::events::Level;
use super::holders::Holders;
use super::journal::Journal;
use super::links::{Chosen, choose};
use super::socket::GroupSocket;
use super::socket_set::{Occasion, SocketSet};
use super::surroundings::Surroundings;
use crate::errno;
use crate::error::{Error, Result};
use crate::pure::address::{InterfaceName, Interfaces};
use crate::pure::filter::Membership;
use crate::pure::links::Links;
use crate::sys::Network;

/// The state of a membership. Unless it works, it is joined again when its interface is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Working,
    /// Its interface was not ready at some time since it was joined. The kernel keeps the membership.
    Interrupted,
    /// The kernel may have dropped it, or may have other sources.
    Doubtful,
}

/// One group, joined on one interface.
#[derive(Debug)]
pub(super) struct ActiveMembership {
    pub(super) membership: Membership,
    pub(super) on: Chosen,
    pub(super) socket: Arc<GroupSocket>,
    pub(super) state: State,
    /// Its interface had no address of this IP version when the membership was last reported. Switches and routers can
    /// ignore such a report.
    pub(super) unaddressed: bool,
}

impl ActiveMembership {
    pub(super) fn works(&self) -> bool {
        self.state == State::Working
    }

    /// Whether an error of the kernel means that the interface is out of use, even if that was not noticed yet. In that
    /// case, the kernel may have dropped the membership.
    pub(super) fn excuses(&self, error: &std::io::Error) -> bool {
        !self.works() || error.raw_os_error() == Some(errno::NO_DEVICE)
    }
}

/// A group as the user asked to join it.
#[derive(Debug)]
pub(super) struct JoinRequest {
    pub(super) spec: GroupSpec,
    /// If it was requested on several or all interfaces, the names of those on which the user left it.
    pub(super) left: Vec<String>,
    /// The names of the interfaces that the user gave by index, when it was joined. The system can give an index to
    /// another interface later.
    pub(super) names: BTreeMap<u32, String>,
    /// The last reported failures to join, by the name of the interface.
    pub(super) failures: BTreeMap<String, String>,
    pub(super) active: Vec<ActiveMembership>,
    /// The user left it completely.
    over: bool,
}

/// An interface as the user names it, and its index if it exists.
pub(super) struct Place<'a> {
    pub(super) interface: &'a InterfaceName,
    pub(super) index: Option<u32>,
}

impl JoinRequest {
    fn new(spec: &GroupSpec, links: &Links) -> Self {
        let named = match &spec.interface {
            Interfaces::One(name) => slice::from_ref(name),
            Interfaces::Several(names) => names,
            Interfaces::All => &[],
        };
        let name_of = |name: &InterfaceName| match name {
            InterfaceName::Index(index) => links.get(index).map(|interface| (*index, interface.name.clone())),
            _ => None,
        };
        Self {
            spec: spec.clone(),
            left: Vec::new(),
            names: named.iter().filter_map(name_of).collect(),
            failures: BTreeMap::new(),
            active: Vec::new(),
            over: false,
        }
    }

    /// Whether the place means the whole request: it names no interface, or the one that the group was joined with.
    pub(super) fn is_meant_by(&self, place: &Place<'_>) -> bool {
        *place.interface == InterfaceName::Default || self.spec.interface == Interfaces::One(place.interface.clone())
    }

    pub(super) fn is_at(&self, place: &Place<'_>) -> bool {
        self.is_meant_by(place) || self.active.iter().any(|active| Some(active.on.index) == place.index)
    }

    /// Leave it at this place. Returns the (group, interface) pairs that were left.
    fn leave(&mut self, place: &Place<'_>, left: &mut Vec<(IpAddr, u32)>) -> Result<()> {
        let whole = self.is_meant_by(place);
        let (leaving, kept): (Vec<_>, Vec<_>) =
            self.active.drain(..).partition(|active| whole || Some(active.on.index) == place.index);
        self.active = kept;
        let none_kept = self.active.is_empty() && !leaving.is_empty();
        self.over = whole || (none_kept && matches!(self.spec.interface, Interfaces::One(_)));
        let mut result = Ok(());
        for active in leaving {
            match active.socket.leave(&active.membership) {
                Err(e) if !active.excuses(&e) => {
                    let what = format!("leave {}{}", self.spec.group, active.on.phrase());
                    result = Err(Error::system(what, e));
                    self.over = false;
                    self.active.push(active);
                    continue;
                }
                // The kernel may have dropped it already.
                Err(_) => active.socket.forget(&active.membership),
                Ok(()) => {}
            }
            left.push((self.spec.group, active.on.index));
            self.left.push(active.on.name);
        }
        result
    }

    /// Whether the user wants it, but no interface receives it.
    fn is_out(&self) -> bool {
        let one = matches!(self.spec.interface, Interfaces::One(_));
        (one || self.left.is_empty()) && !self.active.iter().any(ActiveMembership::works)
    }
}

/// All join requests of a receiver.
#[derive(Debug)]
pub(super) struct Memberships {
    pub(super) requests: Vec<JoinRequest>,
    /// The groups and interfaces of all active memberships.
    pub(super) joined: HashSet<(IpAddr, u32)>,
    /// The interfaces at the last look.
    pub(super) links: Links,
    /// The receiver's own view of its network namespace; `None` once closed.
    network: Option<Network>,
    watches_routes: bool,
    pub(super) holders: Holders,
    pub(super) journal: Arc<Journal>,
}

impl Memberships {
    /// Make an empty set. The interfaces are listed by the first join; the monitor exists by then, so no change is
    /// missed.
    pub(super) fn new(journal: Arc<Journal>) -> Result<Self> {
        Ok(Self {
            requests: Vec::new(),
            joined: HashSet::new(),
            links: Links::new(),
            network: Some(open_network()?),
            watches_routes: false,
            holders: Holders::default(),
            journal,
        })
    }

    /// Call `act` with the interfaces and the routes as they are now.
    pub(super) fn look<T>(&mut self, act: impl FnOnce(&mut Self, Surroundings<'_>) -> Result<T>) -> Result<T> {
        let mut network = self.network.take().ok_or_else(|| Error::Closed("the receiver is closed".into()))?;
        let result = links(&mut network).and_then(|links| act(self, Surroundings::new(links, &mut network)));
        self.network = Some(network);
        result
    }

    /// All active memberships.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Membership> {
        self.requests.iter().flat_map(|request| &request.active).map(|active| &active.membership)
    }

    /// Join all of these groups or none. `is_single` says whether a socket can be bound to a group. `finish` does the
    /// rest: if it fails, none is joined.
    pub(super) fn join(
        &mut self,
        specs: &[GroupSpec],
        sockets: &mut SocketSet,
        is_single: impl Fn(&GroupSpec) -> bool,
        finish: impl FnOnce(&Self, &mut SocketSet) -> Result<()>,
    ) -> Result<()> {
        // `self.links` stays as it was at the last repair, so that the next repair sees every change.
        self.look(|memberships, here| {
            if memberships.links.is_empty() {
                // The first look: there is nothing yet that a change could have affected.
                memberships.links.clone_from(&here.links);
            }
            memberships.join_all(specs, &here, sockets, is_single, finish)
        })
    }

    fn join_all(
        &mut self,
        specs: &[GroupSpec],
        here: &Surroundings<'_>,
        sockets: &mut SocketSet,
        is_single: impl Fn(&GroupSpec) -> bool,
        finish: impl FnOnce(&Self, &mut SocketSet) -> Result<()>,
    ) -> Result<()> {
        let before = self.requests.len();
        let mark = sockets.mark()?;
        let mut extended = Vec::new();
        let joined = specs.iter().try_for_each(|spec| match self.add_sources(spec, before)? {
            true => {
                extended.push(spec);
                Ok(())
            }
            false => {
                let occasion = if is_single(spec) { Occasion::OnlyGroup } else { Occasion::OneOfSeveral };
                self.join_one(spec, here, sockets, occasion)
            }
        });
        if let Err(e) = joined.and_then(|()| finish(self, sockets)) {
            extended.iter().for_each(|spec| self.take_back_sources(spec, before));
            for request in self.requests.split_off(before) {
                self.withdraw(&request);
            }
            sockets.roll_back(&mark)?;
            return Err(e);
        }
        self.report_selected(before);
        self.update_outage();
        Ok(())
    }

    fn join_one(
        &mut self,
        spec: &GroupSpec,
        here: &Surroundings<'_>,
        sockets: &mut SocketSet,
        occasion: Occasion,
    ) -> Result<()> {
        if spec.interface.is_default() && !self.watches_routes {
            watch_routes(sockets)?;
            self.watches_routes = true;
        }
        if sockets.config.rejoin.is_some() {
            // When the rejoin is due, there may be no free descriptor.
            self.holders.get(spec.group)?;
        }
        let mut request = JoinRequest::new(spec, &here.links);
        let mut skipped = Vec::new();
        let mut repeated = None;
        let must_succeed = matches!(spec.interface, Interfaces::One(_));
        for on in here.initial_interfaces(spec, &mut skipped)? {
            if self.joined.contains(&(spec.group, on.index)) {
                repeated = Some(on.phrase());
                continue;
            }
            match self.activate(&mut request, on.clone(), here, sockets, occasion) {
                Ok(()) => {}
                Err(e) if must_succeed || !is_of_one_interface(&e) => {
                    self.withdraw(&request);
                    return Err(e);
                }
                Err(e) => skipped.push((on.name, e.to_string())),
            }
        }
        if request.active.is_empty() {
            return Err(match repeated {
                Some(phrase) => self.already_joined(spec, &phrase),
                None => no_interface(spec, &skipped),
            });
        }
        self.report_unusable(&mut request, skipped, &here.links);
        self.requests.push(request);
        Ok(())
    }

    /// Report the interfaces where a new request is not joined, and those that are down.
    fn report_unusable(&self, request: &mut JoinRequest, skipped: Vec<(String, String)>, links: &Links) {
        let group = request.spec.group;
        for (name, reason) in skipped {
            // On most hosts the loopback interface does not support multicast, and groups are received without it.
            let expected = links.values().any(|interface| interface.name == name && interface.loopback);
            let level = if expected { Level::Debug } else { Level::Info };
            self.journal.push(level, format!("{group} is not joined on {name}: {reason}"));
        }
        for active in &mut request.active {
            if links.get(&active.on.index).is_some_and(|on| !on.up) {
                active.state = State::Interrupted;
                let text = format!("{} is down and does not receive {group}", active.on.name);
                self.journal.push(Level::Warning, text);
            }
        }
    }

    /// Join a request on an interface.
    pub(super) fn activate(
        &mut self,
        request: &mut JoinRequest,
        on: Chosen,
        here: &Surroundings<'_>,
        sockets: &mut SocketSet,
        occasion: Occasion,
    ) -> Result<()> {
        let GroupSpec { group, sources, .. } = &request.spec;
        let membership = Membership { group: *group, interface: on.index, sources: sources.clone() };
        let what = format!("join {group}{}", on.phrase());
        let socket = sockets.join(&membership, &what, occasion)?;
        let unaddressed = here.links.get(&on.index).is_some_and(|on| on.same_version(*group).next().is_none());
        self.joined.insert((*group, on.index));
        request.active.push(ActiveMembership { membership, on, socket, state: State::Working, unaddressed });
        Ok(())
    }

    /// Leave everything that a request joined.
    fn withdraw(&mut self, request: &JoinRequest) {
        for active in &request.active {
            self.deactivate(active);
        }
    }

    /// Leave one membership, and ignore errors: its interface can be gone.
    pub(super) fn deactivate(&mut self, active: &ActiveMembership) {
        self.joined.remove(&(active.membership.group, active.membership.interface));
        active.socket.forget(&active.membership);
    }

    /// Leave groups: on one interface, or everywhere for the default interface. If one of them is not joined there,
    /// none is left.
    pub(super) fn leave(&mut self, groups: &[IpAddr], interface: &InterfaceName) -> Result<()> {
        // An interface that is gone can still be left by the name that the group was joined with.
        let on = choose(interface);
        let place = Place { interface, index: on.as_ref().map(|on| on.index).ok() };
        let leaving: HashSet<IpAddr> = groups.iter().copied().collect();
        let is_leaving = |request: &JoinRequest| leaving.contains(&request.spec.group);
        let there: HashSet<IpAddr> = self
            .requests
            .iter()
            .filter(|request| is_leaving(request) && request.is_at(&place))
            .map(|request| request.spec.group)
            .collect();
        if let Some(missing) = groups.iter().find(|group| !there.contains(group)) {
            return Err(Error::Invalid(format!("cannot leave {missing}{}: not joined", on?.phrase())));
        }
        let mut result = Ok(());
        let mut left = Vec::new();
        for request in self.requests.iter_mut().filter(|request| is_leaving(request)) {
            result = result.and(request.leave(&place, &mut left));
        }
        for pair in &left {
            self.joined.remove(pair);
        }
        self.requests.retain(|request| !request.over);
        self.update_outage();
        result
    }

    /// Make the new monitor report the same changes as the old one, and open a new view of the network namespace: a
    /// forked process must not share either with its parent.
    pub(super) fn renew_after_fork(&mut self, sockets: &SocketSet) -> Result<()> {
        self.network = Some(open_network()?);
        self.holders = Holders::default();
        if self.watches_routes { watch_routes(sockets) } else { Ok(()) }
    }

    /// Forget everything, and close the view of the network.
    pub(super) fn clear(&mut self) {
        self.network = None;
        self.holders = Holders::default();
        self.requests.clear();
        self.joined.clear();
        self.update_outage();
    }

    /// Record whether some group has no working interface.
    pub(super) fn update_outage(&self) {
        let is_out = self.requests.iter().any(JoinRequest::is_out);
        self.journal.count(|counts| counts.set_outage(is_out));
    }

    /// Report the interfaces that the routes selected for the requests from `first` on.
    fn report_selected(&self, first: usize) {
        let mut selected: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
        for request in self.requests[first..].iter().filter(|request| request.spec.interface.is_default()) {
            for active in request.active.iter().filter(|active| active.on.index != 0) {
                selected.entry(&active.on.name).or_default().push(request.spec.group);
            }
        }
        for (name, groups) in selected {
            let text = match groups[..] {
                [group] => format!("{group} is joined on {name}, which the routing table selects"),
                _ => format!(
                    "{} groups ({} first) are joined on {name}, which the routing table selects",
                    groups.len(),
                    groups[0]
                ),
            };
            self.journal.push(Level::Info, text);
        }
    }
}

fn open_network() -> Result<Network> {
    Network::open().map_err(|e| Error::system("list the interfaces", e))
}

fn links(network: &mut Network) -> Result<Links> {
    network.links().map_err(|e| Error::system("list the interfaces", e))
}

fn watch_routes(sockets: &SocketSet) -> Result<()> {
    sockets.table()?.monitor.watch_routes().map_err(|e| Error::system("watch the routes", e))
}

/// Whether an error concerns one interface alone, and not the process or the host.
fn is_of_one_interface(error: &Error) -> bool {
    let scarce = [errno::TOO_MANY_FILES, errno::NO_BUFFERS];
    matches!(error, Error::System { source, .. } if source.raw_os_error().is_some_and(|code| !scarce.contains(&code)))
}

/// The error for a group that could not be joined on any interface.
fn no_interface(spec: &GroupSpec, skipped: &[(String, String)]) -> Error {
    let what = format!("join {} on any interface", spec.group);
    Error::system(what, std::io::Error::from_raw_os_error(errno::NO_DEVICE)).advise(|_| {
        let reasons: Vec<String> = skipped.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        Some(reasons.join("; "))
    })
}
