//! What a receiver was asked to hear, and what of it is joined: joining, leaving, and healing when the network changes.
//!
//! A wish is what the user asked for; its members are what it comes to on the interfaces that there are now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::events::{Change, Events, Report, Weight};
use super::interfaces::{Chosen, Interface, Snapshot, choose, find, snapshot};
use super::receiver::GroupSpec;
use super::sockets::Sockets;
use crate::error::cause;
use crate::pure::address::{InterfaceName, Interfaces};
use crate::pure::filter::{Filter, Membership};
use crate::pure::netlink::News;
use crate::sys::{Routes, errno};
use crate::{Error, Result};

/// One group, joined on one interface.
#[derive(Debug)]
struct Member {
    membership: Membership,
    on: Chosen,
    channel: Arc<Channel>,
    /// Its interface was not ready at some time since it was joined: it is joined anew when it is.
    broken: bool,
}

#[derive(Debug)]
struct Wish {
    spec: GroupSpec,
    /// Names of the interfaces where it was left by hand, of several or all.
    left: Vec<String>,
    members: Vec<Member>,
    /// It was left as a whole.
    over: bool,
}

/// An interface as the user names it; its index, where it is there.
struct Place<'a> {
    interface: &'a InterfaceName,
    index: Option<u32>,
}

impl Wish {
    /// Whether these words mean all of it: no interface, or the very one that it was joined with.
    fn is_meant_by(&self, place: &Place<'_>) -> bool {
        *place.interface == InterfaceName::Default || self.spec.interface == Interfaces::One(place.interface.clone())
    }

    fn is_at(&self, place: &Place<'_>) -> bool {
        self.is_meant_by(place) || self.members.iter().any(|member| Some(member.on.index) == place.index)
    }

    /// Leaves what is there; over, where nothing can come of it any more.
    fn leave(&mut self, place: &Place<'_>, filter: &mut Filter) -> Result<()> {
        let whole = self.is_meant_by(place);
        let (leaving, kept): (Vec<_>, Vec<_>) =
            self.members.drain(..).partition(|member| whole || Some(member.on.index) == place.index);
        self.members = kept;
        let nowhere = self.members.is_empty() && !leaving.is_empty();
        self.over = whole || (nowhere && matches!(self.spec.interface, Interfaces::One(_)));
        let mut result = Ok(());
        for member in leaving {
            match member.channel.leave(&member.membership) {
                Err(e) if !member.broken => {
                    let what = format!("leave {}{}", self.spec.group, member.on.phrase());
                    result = Err(Error::system(what, e));
                    self.over = false;
                    self.members.push(member);
                }
                // Of what is broken the kernel may know nothing any more.
                _ => {
                    filter.remove(self.spec.group, member.membership.interface);
                    self.left.push(member.on.name);
                }
            }
        }
        result
    }

    /// Whether nothing of it can be heard, although somebody wants to.
    fn is_deaf(&self) -> bool {
        let one = matches!(self.spec.interface, Interfaces::One(_));
        (one || self.left.is_empty()) && self.members.iter().all(|member| member.broken)
    }
}

/// All wishes of a receiver.
#[derive(Debug, Default)]
pub(super) struct Roster {
    wishes: Vec<Wish>,
    /// Lets through what is joined.
    pub(super) filter: Filter,
    /// The interfaces at the last look.
    here: Snapshot,
    watches_routes: bool,
    /// Since when some group has had no working interface.
    interrupted_since: Option<Instant>,
    pub(super) figures: Figures,
}

/// How often and how long the network got in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) rejoins: u64,
    pub(super) interface_events: u64,
    interrupted: Duration,
}

impl Roster {
    /// A roster of nothing yet. The monitor is there already, so that no change is missed.
    pub(super) fn new() -> Result<Self> {
        Ok(Self { here: snapshot()?, ..Self::default() })
    }

    /// What is joined now.
    pub(super) fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.wishes.iter().flat_map(|wish| &wish.members).map(|member| &member.membership)
    }

    /// Joins all of these or none. `single` says of a group that a socket may be bound to it.
    pub(super) fn join(
        &mut self,
        specs: &[GroupSpec],
        sockets: &mut Sockets,
        events: &mut Events,
        single: impl Fn(&GroupSpec) -> bool,
    ) -> Result<()> {
        self.here = snapshot()?;
        let routes = Routes::open();
        let before = self.wishes.len();
        for spec in specs {
            if let Err(e) = self.join_one(spec, &routes, sockets, events, single(spec)) {
                for wish in self.wishes.split_off(before) {
                    self.withdraw(&wish);
                }
                return Err(e);
            }
        }
        tell_choices(&self.wishes[before..], events);
        self.look_for_interruption();
        Ok(())
    }

    fn joined_already(&self, spec: &GroupSpec, phrase: &str) -> Error {
        let otherwise = |wish: &Wish| wish.spec.group == spec.group && wish.spec.sources != spec.sources;
        let hint = match self.wishes.iter().any(otherwise) {
            true => ", for other sources: leave it first, and name all its sources when joining it",
            false => "",
        };
        Error::Invalid(format!("{} is joined already{phrase}{hint}", spec.group))
    }

    fn join_one(
        &mut self,
        spec: &GroupSpec,
        routes: &Routes,
        sockets: &mut Sockets,
        events: &mut Events,
        to_group: bool,
    ) -> Result<()> {
        if spec.interface.is_default() && !self.watches_routes {
            watch_routes(sockets)?;
            self.watches_routes = true;
        }
        let mut wish = Wish { spec: spec.clone(), left: Vec::new(), members: Vec::new(), over: false };
        let mut skipped = Vec::new();
        let mut again = None;
        let strict = matches!(spec.interface, Interfaces::One(_));
        for on in self.first_choice(spec, routes, &mut skipped)? {
            let phrase = on.phrase();
            let already = self.filter.contains(spec.group, on.index)
                || wish.members.iter().any(|member| member.on.index == on.index);
            if already {
                again = Some(phrase);
                continue;
            }
            match self.enter(&mut wish, on.clone(), sockets, to_group) {
                Ok(()) => {}
                Err(e) if strict || !skippable(&e) => {
                    self.withdraw(&wish);
                    return Err(e);
                }
                Err(e) => skipped.push((on.name, e.to_string())),
            }
        }
        if wish.members.is_empty() {
            return Err(match again {
                Some(phrase) => self.joined_already(spec, &phrase),
                None => none_left(spec, &skipped),
            });
        }
        for (name, reason) in skipped {
            // The loopback interface does no multicast on most machines, and what is sent here is heard all the same.
            let expected = self.here.values().any(|interface| interface.name == name && interface.loopback);
            let weight = if expected { Weight::Detail } else { Weight::Notice };
            events.push(weight, format!("{} is not joined on {name}: {reason}", spec.group));
        }
        for member in wish.members.iter_mut().filter(|member| self.here.get(&member.on.index).is_some_and(|on| !on.up))
        {
            member.broken = true;
            events.push(Weight::Warning, format!("{} is down: nothing comes by it for {}", member.on.name, spec.group));
        }
        self.wishes.push(wish);
        Ok(())
    }

    /// The interfaces to join on at first; those that are not usable, with the reason.
    fn first_choice(
        &self,
        spec: &GroupSpec,
        routes: &Routes,
        skipped: &mut Vec<(String, String)>,
    ) -> Result<Vec<Chosen>> {
        let mut found = Vec::new();
        let mut look_at = |name: String, interface: Option<&Interface>| match interface.map(|i| (i, i.unusable())) {
            Some((interface, None)) => found.push(Chosen::from(interface)),
            Some((_, Some(reason))) => skipped.push((name, reason.to_owned())),
            None => skipped.push((name, "there is no such interface".to_owned())),
        };
        match &spec.interface {
            Interfaces::One(InterfaceName::Default) => {
                found.push(self.by_route(spec.group, routes)?.map_or_else(|| choose(&InterfaceName::Default), Ok)?);
            }
            Interfaces::One(name) => found.push(find(name, &self.here).map_or_else(|| choose(name), Ok)?),
            Interfaces::All => {
                self.here.values().for_each(|interface| look_at(interface.name.clone(), Some(interface)))
            }
            Interfaces::Several(names) => names.iter().for_each(|name| {
                let interface = find(name, &self.here).and_then(|on| self.here.get(&on.index));
                look_at(interface.map_or_else(|| name.to_string(), |found| found.name.clone()), interface);
            }),
        }
        Ok(found)
    }

    fn by_route(&self, group: IpAddr, routes: &Routes) -> Result<Option<Chosen>> {
        let index = routes.interface(group).map_err(|e| Error::system(format!("look up the route to {group}"), e))?;
        Ok(index.and_then(|index| self.here.get(&index)).map(Chosen::from))
    }

    /// Joins a wish on an interface.
    fn enter(&mut self, wish: &mut Wish, on: Chosen, sockets: &mut Sockets, to_group: bool) -> Result<()> {
        let membership = Membership { group: wish.spec.group, interface: on.index, sources: wish.spec.sources.clone() };
        let what = format!("join {}{}", wish.spec.group, on.phrase());
        let channel = sockets.join(&membership, &what, to_group)?;
        self.filter.add(membership.clone());
        wish.members.push(Member { membership, on, channel, broken: false });
        Ok(())
    }

    /// Takes back what of a wish was joined.
    fn withdraw(&mut self, wish: &Wish) {
        for member in &wish.members {
            self.filter.remove(member.membership.group, member.membership.interface);
            member.channel.forget(&member.membership);
        }
    }

    /// Leaves groups: on the interface given, or wherever they were joined where none is.
    pub(super) fn leave(&mut self, groups: &[IpAddr], interface: &InterfaceName) -> Result<()> {
        // An interface that is gone can be left still, by the words that it was joined with.
        let on = choose(interface);
        let place = Place { interface, index: on.as_ref().map(|on| on.index).ok() };
        for group in groups {
            if !self.wishes.iter().any(|wish| wish.spec.group == *group && wish.is_at(&place)) {
                let phrase = on?.phrase();
                return Err(Error::Invalid(format!("{group} is not joined{phrase}, so it cannot be left")));
            }
        }
        let mut result = Ok(());
        for wish in self.wishes.iter_mut().filter(|wish| groups.contains(&wish.spec.group)) {
            result = result.and(wish.leave(&place, &mut self.filter));
        }
        self.wishes.retain(|wish| !wish.over);
        self.look_for_interruption();
        result
    }

    /// Sees to it that a new monitor tells what the old one told.
    pub(super) fn watch_again(&self, sockets: &Sockets) -> Result<()> {
        if self.watches_routes { watch_routes(sockets) } else { Ok(()) }
    }

    /// Leaves nothing behind.
    pub(super) fn clear(&mut self) {
        self.wishes.clear();
        self.filter = Filter::default();
        self.look_for_interruption();
    }

    /// Joins everything anew, so that switches and routers hear of it again.
    pub(super) fn join_again(&mut self, events: &mut Events) {
        let mut report = Report::default();
        for member in self.wishes.iter_mut().flat_map(|wish| &mut wish.members).filter(|member| !member.broken) {
            member.join_again(&mut self.figures, &mut report);
        }
        report.tell(events);
    }

    /// Compares what is joined with the interfaces that there are now, and mends it. `touched` are those that were away
    /// or not ready for a moment.
    pub(super) fn heal(&mut self, touched: &Touched, sockets: &mut Sockets, events: &mut Events) -> Result<()> {
        let before = std::mem::replace(&mut self.here, snapshot()?);
        let routes = Routes::open();
        let mut report = Report::default();
        let mut wishes = std::mem::take(&mut self.wishes);
        for wish in &mut wishes {
            // What goes wrong with one wish must not keep the others from being mended.
            if let Err(e) = self.mend(wish, &before, touched, &routes, sockets, &mut report) {
                events.push(Weight::Warning, e.to_string());
            }
        }
        self.wishes = wishes;
        self.figures.interface_events += report.tell(events);
        self.look_for_interruption();
        Ok(())
    }

    fn mend(
        &mut self,
        wish: &mut Wish,
        before: &Snapshot,
        touched: &Touched,
        routes: &Routes,
        sockets: &mut Sockets,
        report: &mut Report,
    ) -> Result<()> {
        let meant = self.meant(&wish.spec, routes)?;
        let group = wish.spec.group;
        for mut member in std::mem::take(&mut wish.members) {
            let Some(now) = self.here.get(&member.on.index) else {
                member.channel.forget(&member.membership);
                self.filter.remove(group, member.on.index);
                report.note(Change::Away, &member.on.name);
                continue;
            };
            // Where the words mean nothing at present, what they meant before is the best there is.
            if !(meant.is_empty() || meant.iter().any(|on| on.index == member.on.index)) {
                member.channel.forget(&member.membership);
                self.filter.remove(group, member.on.index);
                report.note(Change::Left, &member.on.name);
                continue;
            }
            member.check(now, before.get(&member.on.index), touched, &mut self.figures, report);
            wish.members.push(member);
        }
        for on in meant {
            let Some(interface) = self.here.get(&on.index) else { continue };
            let wanted = !wish.left.contains(&on.name) && interface.unusable().is_none();
            if !wanted || self.filter.contains(group, on.index) {
                continue;
            }
            let name = on.name.clone();
            let changed = before.get(&on.index) != Some(interface);
            match self.enter(wish, on, sockets, false) {
                Ok(()) => {
                    self.figures.rejoins += 1;
                    report.note(Change::Back, &name);
                }
                // Told once; it is tried again at every change of anything.
                Err(Error::System { source, .. }) if changed => {
                    report.note(Change::Refused(cause(&source)), &name);
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// The interfaces that the user's words mean now, usable or not.
    fn meant(&self, spec: &GroupSpec, routes: &Routes) -> Result<Vec<Chosen>> {
        Ok(match &spec.interface {
            Interfaces::One(InterfaceName::Default) => self.by_route(spec.group, routes)?.into_iter().collect(),
            Interfaces::One(name) => find(name, &self.here).into_iter().collect(),
            Interfaces::Several(names) => names.iter().filter_map(|name| find(name, &self.here)).collect(),
            Interfaces::All => self.here.values().map(Chosen::from).collect(),
        })
    }

    fn look_for_interruption(&mut self) {
        match (self.wishes.iter().any(Wish::is_deaf), self.interrupted_since) {
            (true, None) => self.interrupted_since = Some(Instant::now()),
            (false, Some(since)) => {
                self.figures.interrupted += since.elapsed();
                self.interrupted_since = None;
            }
            _ => {}
        }
    }

    /// How long in all some group has had no working interface.
    pub(super) fn interrupted(&self) -> Duration {
        self.figures.interrupted + self.interrupted_since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Member {
    /// Compares the state of its interface with what it was, and joins anew where that is due.
    fn check(
        &mut self,
        now: &Interface,
        before: Option<&Interface>,
        touched: &Touched,
        figures: &mut Figures,
        report: &mut Report,
    ) {
        let group = self.membership.group;
        let was_ready = before.is_some_and(Interface::ready);
        let had_addresses = before.is_some_and(|before| before.family(group).next().is_some());
        if touched.concerns(&self.membership, was_ready) || (was_ready && !now.ready()) {
            if !now.ready() && !self.broken {
                report.note(Change::Down, &self.on.name);
            }
            self.broken = true;
        } else if !self.broken && now.ready() {
            if had_addresses && before.is_some_and(|before| !before.family(group).eq(now.family(group))) {
                report.note(Change::Renumbered, &self.on.name);
            }
            if !had_addresses && now.family(group).next().is_some() {
                // What was reported without an address of one's own, switches and routers may not have believed.
                self.join_again(figures, report);
            }
            return;
        }
        if self.broken && now.ready() {
            self.broken = false;
            if self.join_again(figures, report) {
                report.note(Change::Back, &self.on.name);
            }
        }
    }

    /// Leaves and joins; returns whether it is joined.
    fn join_again(&mut self, figures: &mut Figures, report: &mut Report) -> bool {
        match self.channel.join_again(&self.membership) {
            Ok(()) => {
                figures.rejoins += 1;
                true
            }
            Err(e) => {
                self.broken = true;
                report.note(Change::Refused(cause(&e)), &self.on.name);
                false
            }
        }
    }
}

/// Tells by which interface the system's routes lead to the groups that were left to it.
fn tell_choices(wishes: &[Wish], events: &mut Events) {
    let mut chosen: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    for wish in wishes.iter().filter(|wish| wish.spec.interface.is_default()) {
        for member in wish.members.iter().filter(|member| member.on.index != 0) {
            chosen.entry(&member.on.name).or_default().push(wish.spec.group);
        }
    }
    for (name, groups) in chosen {
        let text = match groups[..] {
            [group] => format!("{group} is joined on {name}, where the routes of this system lead"),
            _ => format!(
                "{} groups, {} first, are joined on {name}, where the routes of this system lead",
                groups.len(),
                groups[0]
            ),
        };
        events.push(Weight::Notice, text);
    }
}

fn watch_routes(sockets: &Sockets) -> Result<()> {
    match &sockets.monitor {
        Some(monitor) => monitor.watch_routes().map_err(|e| Error::system("watch the routes", e)),
        None => Ok(()),
    }
}

/// The interfaces that something happened to, by index, whatever they are now.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Not ready for a moment.
    unready: BTreeSet<u32>,
    /// Deleted.
    gone: BTreeSet<u32>,
    /// Without IPv6 for a moment.
    stripped: BTreeSet<u32>,
    /// Messages were lost: it could have been any.
    all: bool,
}

impl Touched {
    /// As if every interface had been away.
    pub(super) fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Adds what else happened.
    pub(super) fn merge(&mut self, later: Self) {
        self.unready.extend(later.unready);
        self.gone.extend(later.gone);
        self.stripped.extend(later.stripped);
        self.all |= later.all;
    }

    /// Asks the monitor; `None` where nothing has changed.
    pub(super) fn by(sockets: &Sockets) -> Result<Option<Self>> {
        let Some(monitor) = &sockets.monitor else { return Ok(None) };
        let mut touched = Self::default();
        let mut any = false;
        let complete = monitor.drain(|news| {
            any = true;
            match news {
                News::Link { index, ready: false } => _ = touched.unready.insert(index),
                News::Gone { index } => _ = touched.gone.insert(index),
                News::Stripped { index } => _ = touched.stripped.insert(index),
                News::Link { ready: true, .. } | News::Other => {}
            }
        });
        touched.all = !complete.map_err(|e| Error::system("watch the interfaces", e))?;
        Ok((any || touched.all).then_some(touched))
    }

    /// Whether a membership may be lost by it, or came to nothing for a moment. An interface that was not ready when
    /// last seen has nothing to lose by being it still.
    fn concerns(&self, membership: &Membership, was_ready: bool) -> bool {
        let index = &membership.interface;
        self.all
            || self.gone.contains(index)
            || (was_ready && self.unready.contains(index))
            || (membership.group.is_ipv6() && self.stripped.contains(index))
    }
}

/// Whether a failure concerns one interface alone, and not the process or the machine.
fn skippable(error: &Error) -> bool {
    let scarce = [errno::TOO_MANY_FILES, errno::NO_BUFFERS];
    matches!(error, Error::System { source, .. } if source.raw_os_error().is_some_and(|code| !scarce.contains(&code)))
}

/// The error where a group could be joined on no interface at all.
fn none_left(spec: &GroupSpec, skipped: &[(String, String)]) -> Error {
    let what = format!("join {} on any interface", spec.group);
    Error::system(what, std::io::Error::from_raw_os_error(errno::NO_DEVICE)).advise(|_| {
        let reasons: Vec<String> = skipped.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        Some(reasons.join("; "))
    })
}
