//! The code that Linux, macOS and the BSDs share.

mod options;
mod pages;
mod wait;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use options::option;
pub(crate) use options::{
    claim_port, dscp, duplicate, interface_request, report_ttl, set_dscp, set_option, set_send_interface_v4,
};
pub(crate) use pages::Pages;
pub(crate) use wait::{wait_readable, wait_receiving, wait_writable};
