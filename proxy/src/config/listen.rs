//! `[listen]`: the three listeners, their certificates and their bounds.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::section::Section;
use super::value::{address, bearer, cidr};
use super::{Secret, Tls};

/// Where the edge listens.
#[derive(Debug)]
pub struct Listen {
    /// `callback`: WeChat -> wxedge. Default `0.0.0.0:8080`.
    pub callback: SocketAddr,
    /// `callback_tls`: certificate and key when this listener speaks HTTPS itself. Default none.
    pub callback_tls: Option<Tls>,
    /// `api`: app -> WeChat. Default `127.0.0.1:8081`.
    pub api: SocketAddr,
    /// `api_tls`. Default none.
    pub api_tls: Option<Tls>,
    /// `admin`: operators and the sidecar. Default `127.0.0.1:8082`.
    pub admin: SocketAddr,
    /// `admin_tls`. Default none.
    pub admin_tls: Option<Tls>,
    /// `admin_key`: the bearer key of the admin listener; always set when that is not on loopback.
    pub admin_key: Option<Secret>,
    /// `trusted_proxies`: peers whose `X-Forwarded-For` counts. Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// `max_connections`: open connections of each listener, 1 to 1 000 000. Default 20 000.
    pub max_connections: usize,
    /// `max_connections_per_peer`: open connections of one address, 1 to 1 000 000. Default 256.
    pub max_connections_per_peer: usize,
}

/// What no process listens on by itself: any connection counts, up to this many.
const CONNECTIONS: std::ops::RangeInclusive<u64> = 1..=1_000_000;

impl Listen {
    /// Reads `[listen]`. `clients` says whether there is any: the API listener off loopback needs them.
    pub(super) fn read(at: &Section<'_>, clients: bool) -> Listen {
        let listener = |key, default| at.parsed(key, address).unwrap_or(default);
        let listen = Listen {
            callback: listener("callback", SocketAddr::from(([0, 0, 0, 0], 8080))),
            callback_tls: Tls::read(at, "callback_tls"),
            api: listener("api", SocketAddr::from(([127, 0, 0, 1], 8081))),
            api_tls: Tls::read(at, "api_tls"),
            admin: listener("admin", SocketAddr::from(([127, 0, 0, 1], 8082))),
            admin_tls: Tls::read(at, "admin_tls"),
            admin_key: admin_key(at),
            trusted_proxies: at.list("trusted_proxies", cidr).unwrap_or_default(),
            max_connections: at.integer("max_connections", CONNECTIONS, 20_000) as usize,
            max_connections_per_peer: at.integer("max_connections_per_peer", CONNECTIONS, 256)
                as usize,
        };
        listen.check_addresses(at);
        listen.check_exposure(at, clients);
        listen
    }

    fn check_addresses(&self, at: &Section<'_>) {
        let listeners = [("callback", self.callback), ("api", self.api), ("admin", self.admin)];
        for (index, (key, address)) in listeners.iter().enumerate() {
            for (other, taken) in listeners.iter().take(index) {
                if collide(*address, *taken) {
                    at.issue(
                        key,
                        format!(
                            "takes the same port as listen.{other}; give each listener its own"
                        ),
                    );
                }
            }
        }
    }

    fn check_exposure(&self, at: &Section<'_>, clients: bool) {
        if !self.admin.ip().is_loopback() && !at.has("admin_key") && !at.has("admin_key_file") {
            at.issue(
                "admin",
                "is reachable from other machines; set listen.admin_key, or listen on 127.0.0.1",
            );
        }
        if !self.api.ip().is_loopback() && !clients {
            let message = "is reachable from other machines; add a [clients.<name>] with a key, or listen on 127.0.0.1";
            at.issue("api", message);
        }
    }
}

fn admin_key(at: &Section<'_>) -> Option<Secret> {
    let given = at.credential(Some("admin_key"), None);
    let key = given.values.into_iter().next()?;
    if let Err(message) = bearer(key.expose()) {
        at.issue(&given.key, message);
    }
    Some(key)
}

/// Whether one of two sockets could not be bound beside the other. Port 0 is any free port.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.port() != 0 && (covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

/// Whether a socket on `a` takes connections to `b`: `0.0.0.0` is every IPv4 address, `[::]` every address.
fn covers(a: IpAddr, b: IpAddr) -> bool {
    a == b || a == IpAddr::V6(Ipv6Addr::UNSPECIFIED) || a.is_unspecified() && b.is_ipv4()
}
