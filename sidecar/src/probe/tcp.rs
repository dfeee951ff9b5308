//! TCP connections.

use super::{Found, finding};
use crate::limits;
use crate::observation::{Facts, Fault, FaultKind, Finding, Probe};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A connection, and when it was begun: WeChat's 5 s run from there.
#[derive(Debug)]
pub struct Connection {
    /// The connection.
    pub stream: TcpStream,
    /// When the first packet was sent.
    pub begun: Instant,
}

/// Connects to the first [`limits::ADDRESSES`] addresses of `host_port` at once, since WeChat may take any of them.
/// One that fails is the fault; the first in order that is there is the connection.
pub async fn connect(
    host_port: &str,
    addresses: &[IpAddr],
    port: u16,
) -> (Finding, Option<Connection>) {
    let start = Instant::now();
    let mut attempts = JoinSet::new();
    for (place, ip) in addresses.iter().take(limits::ADDRESSES).enumerate() {
        let address = SocketAddr::new(*ip, port);
        attempts.spawn(async move { (place, address, connect_to(address).await) });
    }
    let mut ended: Vec<_> = attempts.join_all().await;
    let took = start.elapsed();
    ended.sort_by_key(|(place, ..)| *place);

    let (mut fault, mut connection) = (None, None);
    for (_, address, result) in ended {
        match result {
            Ok(stream) if connection.is_none() => {
                connection = Some(Connection { stream, begun: start });
            }
            Ok(_) => {}
            Err(error) => fault = fault.or(Some(fault_of(address, &error))),
        }
    }
    let facts = Facts { addresses: addresses.to_vec(), ..Facts::default() };
    (finding(Probe::Tcp, host_port.to_owned(), took, Found { fault, facts }), connection)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(address);
    tokio::time::timeout(limits::CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn fault_of(address: SocketAddr, error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::TimedOut {
        return Fault::new(FaultKind::ConnectTimeout, format!("{address} does not answer in 3 s"));
    }
    let how = match error.kind() {
        io::ErrorKind::ConnectionRefused => "refuses the connection",
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => "resets it",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "has no route to it",
        _ => "cannot be connected to",
    };
    Fault::new(FaultKind::ConnectRefused, format!("{address} {how}"))
}
