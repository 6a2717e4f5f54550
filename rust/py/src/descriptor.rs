//! Sockets as integers, as Python uses them: file descriptors, and handles on Windows.

use multicast_core::Socket;

#[cfg(unix)]
pub(crate) fn borrowed(socket: &Socket) -> i64 {
    use std::os::fd::AsRawFd;
    socket.as_raw_fd().into()
}

/// Gives the socket away: the caller of Python's `detach()` must close it.
#[cfg(unix)]
pub(crate) fn owned(socket: Socket) -> i64 {
    use std::os::fd::IntoRawFd;
    socket.into_raw_fd().into()
}

#[cfg(windows)]
pub(crate) fn borrowed(socket: &Socket) -> i64 {
    use std::os::windows::io::AsRawSocket;
    socket.as_raw_socket() as i64
}

/// Gives the socket away: the caller of Python's `detach()` must close it.
#[cfg(windows)]
pub(crate) fn owned(socket: Socket) -> i64 {
    use std::os::windows::io::IntoRawSocket;
    socket.into_raw_socket() as i64
}
