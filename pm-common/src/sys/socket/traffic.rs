//! What is under way on a TCP socket, as the kernel tells of it (TCP_INFO of tcp(7)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::libc;

// netinet/tcp.h
const ESTABLISHED: u8 = 1;
const CLOSE_WAIT: u8 = 8;

/// Connections that wait in the accept queue of a TCP listener.
///
/// # Errors
/// That of getsockopt(2).
pub fn accept_queue(listener: impl AsFd) -> io::Result<u32> {
    // tcp_get_info in the kernel: for a listener, this field is the length of the queue.
    tcp_info(listener.as_fd()).map(|info| info.tcpi_unacked)
}

/// Whether nobody has read a byte of a TCP connection yet, so that it can still be given to another worker.
///
/// # Errors
/// That of getsockopt(2) or ioctl(2).
pub fn nothing_read(connection: impl AsFd) -> io::Result<bool> {
    let unread = rustix::io::ioctl_fionread(&connection)?;
    let info = tcp_info(connection.as_fd())?;
    // The client's FIN takes a place in the sequence, but not in what can be read.
    let end = u64::from(info.tcpi_state == CLOSE_WAIT);
    Ok(info.tcpi_bytes_received.saturating_sub(end) <= unread)
}

/// What is under way on a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Neither side has ended it.
    pub established: bool,
    /// Milliseconds since something was sent last.
    pub sent_ago: u32,
    /// Milliseconds since something came last.
    pub received_ago: u32,
    /// Bytes that came in all.
    pub received: u64,
}

/// Whether nothing is under way on a TCP connection: neither side has ended it, nothing waits to be read or acknowledged,
/// and for so many milliseconds nothing has come or gone. What was sent last was ours, or nothing was ever asked.
///
/// # Errors
/// That of getsockopt(2) or ioctl(2): no TCP socket.
pub fn is_idle(connection: impl AsFd, millis: u32) -> io::Result<bool> {
    let info = tcp_info(connection.as_fd())?;
    let (sent, received) = (info.tcpi_last_data_sent, info.tcpi_last_data_recv);
    let answered = info.tcpi_bytes_received == 0 || sent <= received;
    let under_way = info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0;
    let quiet = info.tcpi_state == ESTABLISHED && !under_way && answered && sent.min(received) >= millis;
    // This comes last: a request that has come since is read by the server.
    Ok(quiet && rustix::io::ioctl_fionread(&connection)? == 0)
}

/// What is under way on a TCP connection.
///
/// # Errors
/// That of getsockopt(2): no TCP socket.
pub fn traffic(connection: impl AsFd) -> io::Result<Traffic> {
    let info = tcp_info(connection.as_fd())?;
    Ok(Traffic {
        established: info.tcpi_state == ESTABLISHED,
        sent_ago: info.tcpi_last_data_sent,
        received_ago: info.tcpi_last_data_recv,
        received: info.tcpi_bytes_received,
    })
}

fn tcp_info(fd: BorrowedFd<'_>) -> io::Result<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes, the size of `info`, and both pointers live through the call.
    let failed = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut length)
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain integers, for which all zeroes are valid; what an older kernel does not write stays zero.
    Ok(unsafe { info.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        (client, listener.accept().expect("accepts").0)
    }

    #[test]
    fn a_connection_is_idle_once_all_that_came_is_answered() {
        let (mut client, mut server) = pair();
        let idle = |server: &TcpStream| is_idle(server, 0).expect("TCP");
        assert!(idle(&server), "nothing was asked");
        assert!(!is_idle(&server, u32::MAX).expect("TCP"), "not for so long");
        client.write_all(b"ask").expect("sent");
        assert!(!idle(&server), "it has yet to be read");
        server.read_exact(&mut [0; 3]).expect("read");
        server.write_all(b"answer").expect("sent");
        client.read_exact(&mut [0; 6]).expect("read");
        assert!(idle(&server), "answered");
        client.shutdown(Shutdown::Write).expect("open");
        assert!(!idle(&server), "the client has ended it");
    }

    #[test]
    fn what_the_client_has_yet_to_take_is_under_way() {
        let (mut client, mut server) = pair();
        client.write_all(b"ask").expect("sent");
        server.read_exact(&mut [0; 3]).expect("read");
        server.set_nonblocking(true).expect("open");
        while server.write(&[0; 65536]).is_ok() {}
        assert!(!is_idle(&server, 0).expect("TCP"));
        assert!(is_idle(std::os::unix::net::UnixStream::pair().expect("a pair").0, 0).is_err());
    }
}
