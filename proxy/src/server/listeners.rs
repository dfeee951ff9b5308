//! How the listeners are made, and the certificates that a reload exchanges.

use super::StartError;
use crate::config::{Config, Tls};
use crate::connection::App;
use crate::edge::Edge;
use crate::listener::{Admission, Listener};
use crate::phase::Phases;
use crate::tls::Certificate;
use crate::upgrade::Inherited;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

/// Makes the listeners.
pub(super) struct Listeners<'a> {
    pub(super) edge: &'a Arc<Edge>,
    pub(super) inherited: &'a mut Inherited,
    pub(super) certificates: Certificates,
}

impl Listeners<'_> {
    pub(super) fn listener<A: App>(
        &mut self,
        name: &'static str,
        app: Arc<A>,
        phases: &Phases,
    ) -> Result<Listener<A>, StartError> {
        let config = self.edge.config();
        let (address, tls) = listen(&config, name);
        let acceptor = match tls {
            None => None,
            Some(files) => {
                let certificate = Certificate::load(files)?;
                self.certificates.0.push((name, certificate.clone()));
                Some(certificate.acceptor()?)
            }
        };
        let listen = &config.listen;
        let trusting = self.edge.clone();
        let exempt = Box::new(move |peer: &IpAddr| {
            trusting.config().listen.trusted_proxies.iter().any(|net| net.contains(peer))
        });
        let admission = Admission::new(
            listen.max_connections,
            listen.max_connections_per_peer,
            exempt,
            self.edge.metrics.connections(name),
        );
        let threads = if name == "admin" { 1 } else { config.runtime.threads };
        let listener = match self.inherited.take(name, address) {
            Some(socket) => Ok(socket),
            None => TcpListener::bind(address),
        };
        listener
            .and_then(|socket| {
                Listener::new(name, socket, acceptor, admission, phases.clone(), threads, app)
            })
            .map_err(|error| format!("listen.{name} = {address}: {error}").into())
    }
}

/// The certificates of the listeners that have one, with the files they came from.
#[derive(Default)]
pub(super) struct Certificates(Vec<(&'static str, Arc<Certificate>)>);

impl Certificates {
    /// Takes all of them over, or none.
    pub(super) fn reload(&self, config: &Config) -> Result<(), String> {
        let mut loaded = Vec::new();
        for (name, certificate) in &self.0 {
            if let (_, Some(files)) = listen(config, name) {
                let key = files.load().map_err(|error| format!("listen.{name}_tls.{error}"))?;
                loaded.push((certificate, key));
            }
        }
        for (certificate, key) in loaded {
            certificate.replace(key);
        }
        Ok(())
    }
}

fn listen<'a>(config: &'a Config, name: &str) -> (SocketAddr, Option<&'a Tls>) {
    match name {
        "callback" => (config.listen.callback, config.listen.callback_tls.as_ref()),
        "api" => (config.listen.api, config.listen.api_tls.as_ref()),
        _ => (config.listen.admin, config.listen.admin_tls.as_ref()),
    }
}
