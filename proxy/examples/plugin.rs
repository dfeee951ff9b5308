//! wxedge inside a Pingora server that exists already: callbacks go to wxedge, everything else where it always went, and
//! apps call WeChat on an address of their own.
//!
//! `cargo run --example plugin -- conf/quickstart.toml 127.0.0.1:8000 127.0.0.1:9000 127.0.0.1:8081`: listens on the first
//! address, proxies what is no callback to the second, and takes calls to WeChat on the third.
//!
//! What stands around HTTP is the host's: a deadline for the header, bounds on connections, TLS and its reload, a reload
//! of the configuration ([`Edge::reload`]), where metrics are served ([`Edge::render_metrics`]), a grace period at the end.

use async_trait::async_trait;
use pingora::prelude::{HttpPeer, Opt, Result, Server, Session, http_proxy_service};
use pingora::proxy::ProxyHttp;
use pingora::services::background::background_service;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use wxedge::config::Config;
use wxedge::edge::{Edge, Upkeep};
use wxedge::server::environment;

struct Host {
    edge: Arc<Edge>,
    site: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Host {
    type CTX = ();

    fn new_ctx(&self) {}

    /// The one line that mounts wxedge: it answers what is a callback.
    async fn request_filter(&self, session: &mut Session, _ctx: &mut ()) -> Result<bool> {
        Ok(self.edge.serve(session.as_downstream_mut()).await)
    }

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        #[expect(clippy::disallowed_methods, reason = "there is no name to resolve")]
        let peer = HttpPeer::new(self.site, false, String::new());
        Ok(Box::new(peer))
    }

    /// Pingora prints this when something fails; WeChat's queries hold signatures.
    fn request_summary(&self, session: &Session, _ctx: &()) -> String {
        let request = session.req_header();
        format!("{} {}", request.method, request.uri.path())
    }
}

/// The second mount: a listener for calls to WeChat. Only apps may reach it.
struct Apps(Arc<Edge>);

#[async_trait]
impl ProxyHttp for Apps {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, _ctx: &mut ()) -> Result<bool> {
        self.0.serve_api(session.as_downstream_mut()).await;
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        // Every call is answered by the filter.
        Err(pingora::Error::new(pingora::ErrorType::InternalError))
    }

    fn request_summary(&self, session: &Session, _ctx: &()) -> String {
        session.req_header().method.to_string()
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, listen, site, api] = arguments.as_slice() else {
        return Err("usage: plugin CONFIG LISTEN SITE API".into());
    };
    let config =
        Config::load(Path::new(config), &environment()).map_err(|issues| issues.to_string())?;
    // Your own registry, if you have one.
    let edge = Arc::new(Edge::open(config, prometheus::Registry::new())?);

    let mut server = Server::new(Opt::default())?;
    server.bootstrap();
    // Forgets what is old, fetches tokens, sends summaries.
    server.add_service(background_service("wxedge", Upkeep(edge.clone())));
    let mut apps = http_proxy_service(&server.configuration, Apps(edge.clone()));
    apps.add_tcp(api);
    server.add_service(apps);
    let host = Host { edge, site: site.parse()? };
    let mut proxy = http_proxy_service(&server.configuration, host);
    proxy.add_tcp(listen);
    server.add_service(proxy);
    server.run_forever()
}
