//! The sidecar's listener: so many connections, each of which has to say what it wants, and to take what it gets, within a time.

use crate::limits;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

/// Answers until `stop` changes, then lets what is being answered end for [`limits::GRACE`].
pub async fn serve(listener: &TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits::HEADER_TIMEOUT);
    loop {
        let accepted = tokio::select! {
            accepted = accept(listener, &places) => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, place)) => {
                let service = TowerToHyperService::new(router.clone());
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(limits::WRITE_TIMEOUT));
                let stream = TokioIo::new(Box::pin(stream));
                let connection = server.serve_connection(stream, service);
                let connection = graceful.watch(connection);
                tokio::spawn(async move {
                    // How a connection ends is the client's business.
                    let _ended = connection.await;
                    drop(place);
                });
            }
            // No descriptors left, for example: others end soon.
            Err(_) => sleep(limits::ACCEPT_PAUSE).await,
        }
    }
    let _late = timeout(limits::GRACE, graceful.shutdown()).await;
}

type Accepted = (tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit);

/// The next connection, when there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _peer) = listener.accept().await?;
    Ok((stream, place))
}
