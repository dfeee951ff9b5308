//! What Pingora alone costs: a pass-through with the same allocator and release profile as wxedge, and one thread.
//!
//! `bench-pass LISTEN UPSTREAM`, both `address:port`.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use mimalloc::MiMalloc;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

struct Pass(SocketAddr);

#[async_trait]
impl ProxyHttp for Pass {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        #[expect(clippy::disallowed_methods, reason = "there is no name to resolve")]
        let peer = HttpPeer::new(self.0, false, String::new());
        Ok(Box::new(peer))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream] = arguments.as_slice() else {
        return Err("usage: bench-pass LISTEN UPSTREAM".into());
    };
    let conf = ServerConf { threads: 1, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service =
        http_proxy_service(&Arc::clone(&server.configuration), Pass(upstream.parse()?));
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever();
}
