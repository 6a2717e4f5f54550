//! Sockets that hold groups for a moment.

use std::net::IpAddr;

use super::socket::GroupSocket;
use crate::error::Result;

/// Unbound sockets that hold a group while another socket leaves and joins it, one for each IP version.
#[derive(Debug, Default)]
pub(super) struct Holders {
    v4: Option<GroupSocket>,
    v6: Option<GroupSocket>,
}

impl Holders {
    /// The one for the IP version of this group. It is opened when it is first needed.
    pub(super) fn get(&mut self, group: IpAddr) -> Result<&GroupSocket> {
        let holder = if group.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        match holder {
            Some(open) => Ok(open),
            None => Ok(holder.insert(GroupSocket::open_holder(group)?)),
        }
    }
}
