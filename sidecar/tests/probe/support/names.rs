//! A DNS server, by UDP and TCP.

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// How a question is answered.
#[derive(Clone)]
pub(crate) enum Reply {
    /// With those of these addresses that are of the family asked for.
    Addresses(Vec<IpAddr>),
    /// With an error.
    Code(ResponseCode),
    /// With the addresses by TCP, and by UDP with the hint to ask there.
    TooLong(Vec<IpAddr>),
    /// Not at all.
    Silence,
}

/// A server on a port of its own.
pub(crate) struct Names {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

/// A server that gives every name these addresses.
pub(crate) async fn every_name_is(addresses: &[&str]) -> Names {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Names::start(Reply::Addresses(addresses)).await
}

impl Names {
    pub(crate) async fn start(reply: Reply) -> Names {
        let (udp, tcp) = sockets().await;
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn(by_udp(udp, reply.clone(), asked.clone()));
        tokio::spawn(by_tcp(tcp, reply));
        Names { address, asked }
    }

    /// How many questions came by UDP.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Both on one port; who has the one need not get the other.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn by_udp(socket: UdpSocket, reply: Reply, asked: Arc<AtomicUsize>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        asked.fetch_add(1, Ordering::SeqCst);
        let mut answer = answer(&buffer[..length], &reply);
        if let (Some(answer), Reply::TooLong(_)) = (&mut answer, &reply) {
            answer.answers.clear();
            answer.metadata.truncation = true;
        }
        if let Some(answer) = answer {
            socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
        }
    }
}

async fn by_tcp(listener: TcpListener, reply: Reply) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(talk(stream, reply.clone()));
    }
}

async fn talk(mut stream: TcpStream, reply: Reply) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; length.into()];
        stream.read_exact(&mut question).await.unwrap();
        if let Some(answer) = answer(&question, &reply) {
            let answer = answer.to_vec().unwrap();
            stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    }
}

fn answer(question: &[u8], reply: &Reply) -> Option<Message> {
    let mut message = Message::from_vec(question).unwrap().into_response();
    message.metadata.recursion_available = true;
    match reply {
        Reply::Silence => return None,
        Reply::Code(code) => message.metadata.response_code = *code,
        Reply::Addresses(addresses) | Reply::TooLong(addresses) => {
            let query = message.queries[0].clone();
            for address in addresses {
                let data = RData::from(*address);
                let v4 = query.query_type() == RecordType::A;
                if address.is_ipv4() == v4 {
                    message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                }
            }
        }
    }
    Some(message)
}
