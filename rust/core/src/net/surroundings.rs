//! The interfaces and the routes, and what a join request means in them.

use std::cell::RefCell;
use std::net::IpAddr;

use super::config::GroupSpec;
use super::links::{Chosen, Interface, choose, find};
use crate::error::{Error, Result};
use crate::pure::address::{InterfaceName, Interfaces};
use crate::pure::links::Links;
use crate::sys::Network;

/// The interfaces and the routes at one moment.
pub(super) struct Surroundings<'a> {
    pub(super) links: Links,
    routes: RefCell<&'a mut Network>,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(links: Links, network: &'a mut Network) -> Self {
        Self { links, routes: RefCell::new(network) }
    }

    /// Return the interfaces to join on first. Unusable ones go to `skipped`, with the reason.
    pub(super) fn initial_interfaces(
        &self,
        spec: &GroupSpec,
        skipped: &mut Vec<(String, String)>,
    ) -> Result<Vec<Chosen>> {
        let mut found = Vec::new();
        let mut consider = |name: String, interface: Option<&Interface>| match interface
            .map(|interface| (interface, interface.unusable_reason()))
        {
            Some((interface, None)) => found.push(Chosen::from(interface)),
            Some((_, Some(reason))) => skipped.push((name, reason.to_owned())),
            None => skipped.push((name, "there is no such interface".to_owned())),
        };
        match &spec.interface {
            Interfaces::One(InterfaceName::Default) => {
                found.push(self.by_route(spec.group)?.map_or_else(|| choose(&InterfaceName::Default), Ok)?);
            }
            Interfaces::One(name) => found.push(find(name, &self.links).map_or_else(|| choose(name), Ok)?),
            Interfaces::All => {
                self.links.values().for_each(|interface| consider(interface.name.clone(), Some(interface)))
            }
            Interfaces::Several(names) => names.iter().for_each(|name| {
                let interface = find(name, &self.links).and_then(|on| self.links.get(&on.index));
                consider(interface.map_or_else(|| name.to_string(), |found| found.name.clone()), interface);
            }),
        }
        Ok(found)
    }

    /// The interface that the routes select for a group; `None` if no route does, or the system does not say.
    pub(super) fn by_route(&self, group: IpAddr) -> Result<Option<Chosen>> {
        let index = self.routes.borrow_mut().route(group);
        let index = index.map_err(|e| Error::system(format!("look up the route to {group}"), e))?;
        Ok(index.and_then(|index| self.links.get(&index)).map(Chosen::from))
    }
}
