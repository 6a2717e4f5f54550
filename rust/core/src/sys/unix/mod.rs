//! What Linux, macOS and the BSDs share.

mod options;
mod pages;
mod wait;

pub(crate) use options::{
    claim_port, dscp, duplicate, interface_request, option, set_dscp, set_option, set_send_interface_v4,
};
pub(crate) use pages::Pages;
pub(crate) use wait::{wait_readable, wait_receiving, wait_writable};
