//! What Linux, macOS and the BSDs share.

mod options;
mod pages;
mod wait;

pub(crate) use options::{duplicate, interface_request, set_option, set_send_interface_v4};
pub(crate) use pages::Pages;
pub(crate) use wait::{wait_readable, wait_receiving, wait_writable};
