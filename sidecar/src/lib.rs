//! The sidecar beside a wxedge. It watches and is never in the way: the edge does not know whether it runs.
//!
//! So far it reads its configuration and answers `GET /healthz`.

use std::future::IntoFuture;
use std::io::{self, Write};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

pub mod alert;
pub mod config;
pub mod console;
pub mod doctor;
pub mod edge;
pub mod host;
pub mod http;
pub mod limits;
pub mod markfail;
pub mod notify;
pub mod observation;
pub mod probe;

/// How long a stop waits for requests that are being answered.
const GRACE: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub fn run(config: &config::Config) -> io::Result<()> {
    // One thread is plenty for an observer, and leaves the others to the edge.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(config))
}

async fn serve(config: &config::Config) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(config.listen).await?;
    // The port is the real one also where the configuration says 0.
    writeln!(io::stdout(), "wxedge-sidecar listens on http://{}", listener.local_addr()?)?;

    let router = Router::new().route("/healthz", get(|| async { "ok\n" }));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        // A dropped sender means the same as a message: stop.
        stopped.await.ok();
    });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return ended,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(stop);
    tokio::time::timeout(GRACE, server).await.unwrap_or(Ok(()))
}
