//! The sockets that a new process has from the one before it.

use std::net::{SocketAddr, TcpListener};

/// Listening sockets, until a listener takes them. Those that none takes are closed with this.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(String, TcpListener)>);

impl Inherited {
    pub(super) fn new(sockets: Vec<(String, TcpListener)>) -> Inherited {
        Inherited(sockets)
    }

    /// The socket that listens on `address`, whatever it was used for. Where any free port will do, the one that the
    /// listener of this name had.
    pub fn take(&mut self, name: &str, address: SocketAddr) -> Option<TcpListener> {
        let fits = |(of, socket): &(String, TcpListener)| {
            socket.local_addr().is_ok_and(|bound| {
                let same_listener = of == name && bound.ip() == address.ip();
                bound == address || address.port() == 0 && same_listener
            })
        };
        let found = self.0.iter().position(fits)?;
        Some(self.0.swap_remove(found).1)
    }

    /// The addresses that no listener has taken.
    pub fn rest(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|(_, socket)| socket.local_addr().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_takes_the_socket_of_its_address_or_else_of_its_name() {
        let sockets = ["callback", "api", "admin"].map(|name| {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            (socket.local_addr().unwrap(), (name.to_owned(), socket))
        });
        let [callback, api, admin] = sockets.each_ref().map(|(address, _)| *address);
        let mut inherited = Inherited::new(sockets.into_iter().map(|(_, socket)| socket).collect());
        let any = |ip: [u8; 4]| SocketAddr::from((ip, 0));
        let mut take = |name: &str, address| {
            inherited.take(name, address).map(|socket| socket.local_addr().unwrap())
        };
        assert_eq!(take("callback", any([127, 0, 0, 2])), None);
        assert_eq!(take("callback", any([0, 0, 0, 0])), None);
        assert_eq!(take("callback", api), Some(api), "the two have changed places");
        assert_eq!(take("api", api), None, "each goes to one only");
        assert_eq!(take("callback", any([127, 0, 0, 1])), Some(callback));
        assert_eq!(inherited.rest(), [admin]);
    }
}
