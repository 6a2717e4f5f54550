//! Requesting a socket buffer that the system may not grant in full.

use std::ffi::c_int;
use std::io;

use socket2::Socket;

use super::platform::{exceed_buffer_limit, usable_buffer};
use crate::errno;

/// Steps between the largest size that was granted and the smallest that was refused.
const REFINEMENTS: u32 = 4;

/// Requests a receive buffer of `bytes`, or the largest part of it that the system grants, and all of it with
/// privileges.
pub(crate) fn request_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    request_buffer(bytes, |size| socket.set_recv_buffer_size(size))?;
    if usable_buffer(socket.recv_buffer_size()?) < bytes { exceed_buffer_limit(socket, bytes) } else { Ok(()) }
}

/// Requests a send buffer of `bytes`, or the largest part of it that the system grants.
pub(crate) fn request_send_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    request_buffer(bytes, |size| socket.set_send_buffer_size(size))
}

/// Requests a buffer of `bytes`, and less while the system refuses: macOS and the BSDs refuse a size beyond their
/// limit, where Linux grants what it can. Returns the last error if the system refuses even a single byte.
fn request_buffer(bytes: usize, mut request: impl FnMut(usize) -> io::Result<()>) -> io::Result<()> {
    // The option is an int.
    let mut refused = bytes.min(c_int::MAX as usize);
    let Some(mut error) = refusal(request(refused))? else { return Ok(()) };
    let mut granted = refused / 2;
    loop {
        if granted == 0 {
            return Err(error);
        }
        match refusal(request(granted))? {
            None => break,
            Some(e) => (error, refused, granted) = (e, granted, granted / 2),
        }
    }
    for _ in 0..REFINEMENTS {
        let between = granted + (refused - granted) / 2;
        match refusal(request(between))? {
            None => granted = between,
            Some(_) => refused = between,
        }
    }
    // The size that was refused last may have left a smaller size behind.
    request(granted)
}

/// Returns the error if it says that the size is too large.
fn refusal(result: io::Result<()>) -> io::Result<Option<io::Error>> {
    match result {
        Ok(()) => Ok(None),
        Err(e) if e.raw_os_error() == Some(errno::NO_BUFFERS) => Ok(Some(e)),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system that refuses more than `limit` bytes; returns the buffer that it has in the end.
    fn granted(bytes: usize, limit: usize) -> io::Result<usize> {
        let mut buffer = 0;
        request_buffer(bytes, |size| {
            assert!(size <= c_int::MAX as usize);
            if size > limit {
                return Err(io::Error::from_raw_os_error(errno::NO_BUFFERS));
            }
            buffer = size;
            Ok(())
        })?;
        Ok(buffer)
    }

    #[test]
    fn buffer_within_the_limit_is_requested_as_it_is() {
        assert_eq!(granted(8 << 20, 8 << 20).unwrap(), 8 << 20);
        assert_eq!(granted(1, 1).unwrap(), 1);
    }

    #[test]
    fn buffer_beyond_the_limit_gets_almost_all_of_it() {
        for limit in [1, 2, 100, 9216, 233_016, 7_456_540, 16 << 20] {
            for bytes in [limit + 1, 2 * limit, 8 << 20, 1 << 30, usize::MAX] {
                let granted = granted(bytes, limit).unwrap();
                assert!(granted <= limit && granted * 16 >= limit.min(bytes) * 15, "{bytes} of {limit}: {granted}");
            }
        }
    }

    #[test]
    fn buffer_that_is_refused_for_another_reason_is_an_error() {
        assert_eq!(granted(100, 0).unwrap_err().raw_os_error(), Some(errno::NO_BUFFERS));
        let error = request_buffer(100, |_| Err(io::Error::from_raw_os_error(errno::BAD_DESCRIPTOR))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno::BAD_DESCRIPTOR));
    }
}
