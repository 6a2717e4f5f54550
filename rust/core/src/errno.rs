//! The system's error codes that this crate looks at, by the same names on every platform.
//!
//! Only constants: this file sits below [`crate::error`] and imports nothing of the crate.

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(unix)]
mod unix {
    pub(crate) const ACCESS: i32 = libc::EACCES;
    pub(crate) const ADDRESS_IN_USE: i32 = libc::EADDRINUSE;
    pub(crate) const ADDRESS_NOT_AVAILABLE: i32 = libc::EADDRNOTAVAIL;
    pub(crate) const BAD_DESCRIPTOR: i32 = libc::EBADF;
    pub(crate) const HOST_UNREACHABLE: i32 = libc::EHOSTUNREACH;
    pub(crate) const INVALID: i32 = libc::EINVAL;
    pub(crate) const MESSAGE_TOO_LONG: i32 = libc::EMSGSIZE;
    pub(crate) const NETWORK_UNREACHABLE: i32 = libc::ENETUNREACH;
    pub(crate) const NOT_PERMITTED: i32 = libc::EPERM;
    pub(crate) const NOT_SUPPORTED: i32 = libc::EOPNOTSUPP;
    pub(crate) const NO_BUFFERS: i32 = libc::ENOBUFS;
    pub(crate) const TOO_MANY_FILES: i32 = libc::EMFILE;
    /// A route refuses the destination: when sending, and when joining without an interface.
    pub(crate) const ROUTE_REFUSES: [i32; 4] = [libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL, NO_DEVICE];
    /// The system lacks the feature: no IPv6, or not that socket option.
    pub(crate) const UNSUPPORTED: [i32; 5] =
        [libc::EOPNOTSUPP, libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT, libc::ENOPROTOOPT, libc::ENOSYS];

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) const NO_DEVICE: i32 = libc::ENODEV;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) const NO_DEVICE: i32 = libc::ENXIO;

    /// The socket can hold no more groups: it is at the limit, or out of option memory (`optmem_max`).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) const FULL: [i32; 2] = [libc::ENOBUFS, libc::ENOMEM];
    /// The socket can hold no more groups.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) const FULL: [i32; 2] = [libc::ENOBUFS, libc::ETOOMANYREFS];

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) const HOST_UNREACHABLE_ADVICE: &str = "no host answers there, or a firewall rejects it";
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) const HOST_UNREACHABLE_ADVICE: &str =
        "since macOS 15 a program needs the permission 'Local Network': System Settings, Privacy & Security";
}

#[cfg(windows)]
mod windows {
    use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_DEV_NOT_EXIST};
    use windows_sys::Win32::Networking::WinSock as ws;

    pub(crate) const ACCESS: i32 = ws::WSAEACCES;
    pub(crate) const ADDRESS_IN_USE: i32 = ws::WSAEADDRINUSE;
    pub(crate) const ADDRESS_NOT_AVAILABLE: i32 = ws::WSAEADDRNOTAVAIL;
    pub(crate) const BAD_DESCRIPTOR: i32 = ws::WSAENOTSOCK;
    pub(crate) const HOST_UNREACHABLE: i32 = ws::WSAEHOSTUNREACH;
    pub(crate) const HOST_UNREACHABLE_ADVICE: &str = "no host answers there, or a firewall rejects it";
    pub(crate) const INVALID: i32 = ws::WSAEINVAL;
    pub(crate) const MESSAGE_TOO_LONG: i32 = ws::WSAEMSGSIZE;
    pub(crate) const NETWORK_UNREACHABLE: i32 = ws::WSAENETUNREACH;
    /// Winsock has no code of its own for this.
    pub(crate) const NOT_PERMITTED: i32 = ERROR_ACCESS_DENIED as i32;
    pub(crate) const NOT_SUPPORTED: i32 = ws::WSAEOPNOTSUPP;
    pub(crate) const NO_BUFFERS: i32 = ws::WSAENOBUFS;
    /// Winsock has no code of its own for this.
    pub(crate) const NO_DEVICE: i32 = ERROR_DEV_NOT_EXIST as i32;
    pub(crate) const TOO_MANY_FILES: i32 = ws::WSAEMFILE;
    /// The socket can hold no more groups.
    pub(crate) const FULL: [i32; 1] = [ws::WSAENOBUFS];
    /// A route refuses the destination.
    pub(crate) const ROUTE_REFUSES: [i32; 1] = [ws::WSAEHOSTUNREACH];
    /// The system lacks the feature: no IPv6, or not that socket option.
    pub(crate) const UNSUPPORTED: [i32; 4] =
        [ws::WSAEOPNOTSUPP, ws::WSAEAFNOSUPPORT, ws::WSAEPROTONOSUPPORT, ws::WSAENOPROTOOPT];
}
