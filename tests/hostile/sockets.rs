//! Sockets that the standard library cannot make.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};
use wxedge_tests::http::Connection;

fn tcp() -> OwnedFd {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

fn finish(socket: OwnedFd, to: SocketAddr) -> Connection {
    let SocketAddr::V4(to) = to else { panic!("IPv4") };
    connect(socket.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    Connection::over(TcpStream::from(socket)).unwrap()
}

/// A connection that comes from this address. All of 127.0.0.0/8 is this machine.
pub(crate) fn from(address: Ipv4Addr, to: SocketAddr) -> Connection {
    let socket = tcp();
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, 0))).unwrap();
    finish(socket, to)
}

/// A connection whose end takes in little, and nothing that it is not asked to.
pub(crate) fn narrow(to: SocketAddr) -> Connection {
    let socket = tcp();
    setsockopt(&socket, sockopt::RcvBuf, &4_096).unwrap();
    setsockopt(&socket, sockopt::TcpMaxSeg, &536).unwrap();
    finish(socket, to)
}
