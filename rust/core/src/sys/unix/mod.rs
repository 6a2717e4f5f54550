//! What Linux, macOS and the BSDs share.

mod options;
mod pages;
mod wait;

pub(crate) use options::{duplicate, interface_request, reserve_port, set_option, set_send_interface_v4, share_port};
pub(crate) use pages::Pages;
pub(crate) use wait::{wait_readable, wait_receiving, wait_writable};
