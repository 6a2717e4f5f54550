//! A descriptor that can be read exactly while there is something to take, for event loops to wait on.

use std::io::{self, Read, Write};

use socket2::Socket;

/// Two ends, with at most one octet between them. Who calls `ring` and `hush` sees to it that they alternate.
#[derive(Debug)]
pub(super) struct Bell {
    /// The end to wait on.
    pub(super) listener: Socket,
    button: Socket,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let (listener, button) = pair()?;
        listener.set_nonblocking(true)?;
        button.set_nonblocking(true)?;
        Ok(Self { listener, button })
    }

    /// Makes the descriptor readable.
    pub(super) fn ring(&self) -> io::Result<()> {
        (&self.button).write_all(&[1])
    }

    /// Makes it unreadable again.
    pub(super) fn hush(&self) -> io::Result<()> {
        (&self.listener).read_exact(&mut [0])
    }
}

#[cfg(unix)]
fn pair() -> io::Result<(Socket, Socket)> {
    Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)
}

/// Windows waits on nothing but sockets, and pairs none: a datagram over the loopback interface is the octet.
#[cfg(windows)]
fn pair() -> io::Result<(Socket, Socket)> {
    let home = (std::net::Ipv4Addr::LOCALHOST, 0);
    let (listener, button) = (std::net::UdpSocket::bind(home)?, std::net::UdpSocket::bind(home)?);
    button.connect(listener.local_addr()?)?;
    listener.connect(button.local_addr()?)?;
    Ok((listener.into(), button.into()))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_read_once_for_each_ring() {
        let bell = Bell::new().unwrap();
        for _ in 0..3 {
            assert_eq!(bell.hush().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            bell.ring().unwrap();
            bell.hush().unwrap();
        }
    }
}
