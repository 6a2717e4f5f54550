//! A socket that is readable exactly while there is something to take, for event loops to wait on.

use std::io::{self, Read, Write};

use socket2::Socket;

/// Two connected sockets with at most one byte between them. The caller must alternate `set` and `clear`.
#[derive(Debug)]
pub(super) struct ReadyFlag {
    /// The end to wait on.
    pub(super) reader: Socket,
    writer: Socket,
}

impl ReadyFlag {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer })
    }

    /// Make the socket readable.
    pub(super) fn set(&self) -> io::Result<()> {
        (&self.writer).write_all(&[1])
    }

    /// Make the socket unreadable again.
    pub(super) fn clear(&self) -> io::Result<()> {
        (&self.reader).read_exact(&mut [0])
    }
}

#[cfg(unix)]
fn pair() -> io::Result<(Socket, Socket)> {
    Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)
}

/// Windows can wait on sockets only and has no socket pairs: the byte is a unicast datagram over the loopback
/// interface.
#[cfg(windows)]
fn pair() -> io::Result<(Socket, Socket)> {
    let home = (std::net::Ipv4Addr::LOCALHOST, 0);
    let (reader, writer) = (std::net::UdpSocket::bind(home)?, std::net::UdpSocket::bind(home)?);
    writer.connect(reader.local_addr()?)?;
    reader.connect(writer.local_addr()?)?;
    Ok((reader.into(), writer.into()))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ready_flag_is_readable_once_for_each_set() {
        let flag = ReadyFlag::new().unwrap();
        for _ in 0..3 {
            assert_eq!(flag.clear().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            flag.set().unwrap();
            flag.clear().unwrap();
        }
    }
}
