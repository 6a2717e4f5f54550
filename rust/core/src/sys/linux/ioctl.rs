//! A list of the interfaces without netlink: by ioctl(2) on a socket of their namespace (netdevice(7)), and from the
//! files under `/proc/net`, which alone know IPv6 addresses and interfaces without an IPv4 address.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_int};
use std::fs;
use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use socket2::Socket;

use crate::pure::links::{Interface, Links, device_names, inet6_addresses};
use crate::sys::unix::interface_request;

/// Returns the index of the interface that has this name or alternative name, in the network namespace of the socket;
/// `None` if there is none, or if the name is too long for an ioctl.
pub(crate) fn interface_index_at(socket: &Socket, name: &str) -> Option<u32> {
    let request = interface_request(socket, libc::SIOCGIFINDEX as _, name).ok()?;
    // SAFETY: SIOCGIFINDEX has written this field, a plain integer.
    u32::try_from(unsafe { request.ifr_ifru.ifru_ifindex }).ok()
}

/// Returns every interface with its addresses and labels. No ioctl knows alternative names.
pub(crate) fn links_at(socket: &Socket) -> io::Result<Links> {
    let addresses = ipv4_addresses(socket)?;
    let (devices, inet6) = (read_file("/proc/thread-self/net/dev")?, read_file("/proc/thread-self/net/if_inet6")?);
    let names = addresses.iter().map(|(label, _)| base_name(label)).chain(device_names(&devices));
    let mut links = Links::new();
    for name in names.collect::<BTreeSet<_>>() {
        if let Some(interface) = interface(socket, name)? {
            links.insert(interface.index, interface);
        }
    }
    for interface in links.values_mut() {
        for (label, address) in &addresses {
            if base_name(label) == interface.name {
                interface.add_address((*address).into(), Some(label.clone()));
            }
        }
        for (index, name, address) in inet6_addresses(&inet6) {
            // The file is of the thread's namespace, which need not be the socket's.
            if (index, name) == (interface.index, interface.name.as_str()) {
                interface.add_address(address.into(), None);
            }
        }
    }
    Ok(links)
}

/// Returns the text of a file; empty if the system does not have it, or does not show it to this process.
fn read_file(path: &str) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(String::new()),
        Err(e) => Err(e),
    }
}

/// The interface that an address with this label is on.
fn base_name(label: &str) -> &str {
    label.split_once(':').map_or(label, |(name, _)| name)
}

/// Returns one interface without its addresses; `None` if it is gone.
fn interface(socket: &Socket, name: &str) -> io::Result<Option<Interface>> {
    // SAFETY: SIOCGIFINDEX writes this field, a plain integer.
    let index = |request: libc::ifreq| unsafe { request.ifr_ifru.ifru_ifindex };
    // SAFETY: SIOCGIFFLAGS writes this field, a plain integer.
    let flags = |request: libc::ifreq| unsafe { request.ifr_ifru.ifru_flags };
    // SAFETY: SIOCGIFMTU writes this field, a plain integer.
    let mtu = |request: libc::ifreq| unsafe { request.ifr_ifru.ifru_mtu };
    let read = || {
        let number = index(interface_request(socket, libc::SIOCGIFINDEX as _, name)?);
        let bits = flags(interface_request(socket, libc::SIOCGIFFLAGS as _, name)?);
        let size = mtu(interface_request(socket, libc::SIOCGIFMTU as _, name)?);
        // The upper flags do not fit, and are not needed.
        let mut interface = Interface::new(number.unsigned_abs(), name.to_owned(), u32::from(bits as u16));
        interface.mtu = u32::try_from(size).ok();
        Ok(interface)
    };
    match read() {
        Ok(interface) => Ok(Some(interface)),
        Err(e) if is_gone(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// Returns the label of each IPv4 address and the address. The label is the interface's name unless it was set.
fn ipv4_addresses(socket: &Socket) -> io::Result<Vec<(String, Ipv4Addr)>> {
    // SAFETY: zero bytes are a valid ifreq (plain integers, and a pointer that is not followed).
    let empty: libc::ifreq = unsafe { mem::zeroed() };
    let mut requests = vec![empty; 64];
    loop {
        let mut list = libc::ifconf {
            ifc_len: c_int::try_from(mem::size_of_val(&requests[..])).map_err(io::Error::other)?,
            ifc_ifcu: libc::__c_anonymous_ifc_ifcu { ifcu_req: requests.as_mut_ptr() },
        };
        // SAFETY: `list` describes `requests`, which is live and exclusively borrowed; the call writes at most its
        // length.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFCONF as _, &raw mut list) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let count = usize::try_from(list.ifc_len).unwrap_or(0) / mem::size_of::<libc::ifreq>();
        // A full list may have been cut off.
        if count < requests.len() {
            return Ok(requests[..count].iter().map(|request| (label(request), ipv4_address(request))).collect());
        }
        requests.resize(2 * count, empty);
    }
}

fn label(request: &libc::ifreq) -> String {
    let bytes: Vec<u8> = request.ifr_name.iter().map(|byte| *byte as u8).collect();
    CStr::from_bytes_until_nul(&bytes).unwrap_or_default().to_string_lossy().into_owned()
}

fn ipv4_address(request: &libc::ifreq) -> Ipv4Addr {
    // SAFETY: SIOCGIFCONF returns IPv4 addresses alone, as a sockaddr_in, which has the size and alignment of the
    // sockaddr in the request.
    let address = unsafe { (&raw const request.ifr_ifru.ifru_addr).cast::<libc::sockaddr_in>().read_unaligned() };
    Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr))
}
