//! A port that nobody else gets, for programs that cannot be told to take any free one.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};

/// A port of 127.0.0.1 that is taken but not listened on. A program that binds with `SO_REUSEADDR` or `SO_REUSEPORT`
/// gets it all the same, again and again; one that takes any free port never does.
#[derive(Debug)]
pub struct Port {
    /// Where that is.
    pub address: SocketAddr,
    _socket: OwnedFd,
}

impl Port {
    /// Takes a free port for as long as this lives.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn reserve() -> Port {
        let kind = (AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let socket = socket(kind.0, kind.1, kind.2, None).expect("a socket");
        setsockopt(&socket, sockopt::ReuseAddr, &true).expect("a port that can be shared");
        setsockopt(&socket, sockopt::ReusePort, &true).expect("a port that can be shared");
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a free port");
        let bound: SockaddrIn = getsockname(socket.as_raw_fd()).expect("an address");
        Port { address: SocketAddr::V4(bound.into()), _socket: socket }
    }
}
