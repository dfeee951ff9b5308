//! What Pingora asks a stream besides bytes. Ours wrap another one, and all of it is that one's.

/// Implements it for a type whose field `stream` is a Pingora stream.
macro_rules! passes_on {
    ($type:ty) => {
        const _: () = {
            use async_trait::async_trait;
            use pingora::protocols::raw_connect::ProxyDigest;
            use pingora::protocols::tls::SslDigest;
            use pingora::protocols::{
                ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown,
                SocketDigest, Ssl, TimingDigest, UniqueID, UniqueIDType,
            };
            use std::sync::Arc;

            #[async_trait]
            impl Shutdown for $type {
                async fn shutdown(&mut self) {
                    self.stream.shutdown().await;
                }
            }

            impl UniqueID for $type {
                fn id(&self) -> UniqueIDType {
                    self.stream.id()
                }
            }

            impl Ssl for $type {
                fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
                    self.stream.get_ssl_digest()
                }

                fn selected_alpn_proto(&self) -> Option<ALPN> {
                    self.stream.selected_alpn_proto()
                }
            }

            impl GetTimingDigest for $type {
                fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
                    // Asked for once a request, needed by nothing here: an empty list costs no allocation.
                    Vec::new()
                }
            }

            impl GetProxyDigest for $type {
                fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
                    self.stream.get_proxy_digest()
                }
            }

            impl GetSocketDigest for $type {
                fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
                    self.stream.get_socket_digest()
                }
            }

            impl Peek for $type {}
        };
    };
}

pub(crate) use passes_on;
