//! `wxedge send`: plays WeChat once, over the network, and says what WeChat and the user would have seen.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "commands speak to the person who typed them"
)]

use std::error::Error;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use reqwest::{Certificate, Client, Method, redirect};
use rustls::CertificateError;
use url::Url;

use crate::config::{Account, Config, Listen};

mod message;
mod verdict;

use message::{Moment, Outgoing, Sender};
use verdict::{Answer, Verdict};

/// WeChat waits no longer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Far more than any answer has; what goes on for longer is no answer.
const ANSWER_BYTES: usize = 1 << 20;

/// What to send, and where.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration the edge runs with: its Token and EncodingAESKey sign and encrypt.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The account; may be left out when there is only one.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Where to send to; by default the callback listener and path of the configuration.
    #[arg(long)]
    url: Option<Url>,
    /// Certificate authority to trust besides the system's, a PEM file.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The user it comes from, such as yourself, who then gets late replies; by default one whom nobody has met before.
    #[arg(long, value_parser = openid, conflicts_with = "file")]
    openid: Option<String>,
    /// Send this message, unencrypted XML (or JSON) as in WeChat's documents.
    #[arg(long, value_name = "FILE", conflicts_with = "kind")]
    file: Option<PathBuf>,
    /// What to send: text 你好, image MEDIA_ID, event subscribe, ...
    #[arg(required_unless_present = "file")]
    kind: Option<Kind>,
    /// The text, the media id, "latitude,longitude", the address of a link, or the name of the event.
    value: Option<String>,
    /// The EventKey of an event.
    event_key: Option<String>,
}

impl Arguments {
    /// `--config`.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }
}

/// What can be an openid: WeChat's have 28 of these characters.
fn openid(text: &str) -> Result<String, &'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match text.bytes().all(fits) && (1..=64).contains(&text.len()) {
        true => Ok(text.to_owned()),
        false => Err("an openid is letters, digits, - and _"),
    }
}

/// The messages that WeChat sends when a user does something, and the check of the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A text.
    Text,
    /// An image, by media id.
    Image,
    /// A voice message, by media id.
    Voice,
    /// A video, by media id.
    Video,
    /// A place: "latitude,longitude".
    Location,
    /// A link.
    Link,
    /// An event: subscribe, unsubscribe, SCAN, CLICK, VIEW, ...
    Event,
    /// What WeChat sends when the URL is entered in its console.
    Verify,
}

/// Sends and prints. Exit 0 when WeChat would be content, 1 otherwise.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> ExitCode {
    match exchange(config, arguments) {
        Ok(verdict) => {
            println!("{verdict}");
            if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn exchange(config: &Config, arguments: &Arguments) -> Result<Verdict, String> {
    let account = choose(config, arguments.account.as_deref())?;
    let url = arguments.url.clone().map_or_else(|| default_url(&config.listen, account), Ok)?;
    let mut moment = Moment::now()?;
    if let Some(openid) = &arguments.openid {
        moment.openid.clone_from(openid);
    }
    let sender = Sender::new(account, moment)?;
    let outgoing = match (&arguments.file, arguments.kind) {
        (Some(file), _) => {
            let bytes = fs::read(file)
                .map_err(|error| format!("{} cannot be read ({error})", file.display()))?;
            sender.message(&bytes)?
        }
        (None, Some(Kind::Verify)) => sender.verification(),
        (None, Some(kind)) => {
            let example = "say what is in it, such as: text 你好, image MEDIA_ID, event subscribe";
            let value = arguments.value.as_deref().ok_or(example)?;
            sender.message(sender.xml(kind, value, arguments.event_key.as_deref())?.as_bytes())?
        }
        (None, None) => return Err("say what to send, such as: text 你好".to_owned()),
    };
    println!("-> {} {}", outgoing.method, shown(&url));
    println!("   {}", outgoing.description);
    let (answer, took) = post(&url, &outgoing, arguments.ca.as_deref())?;
    match &answer {
        Answer::Http { status, .. } => println!("<- {status} in {} ms", took.as_millis()),
        Answer::None { .. } => println!("<- nothing in {} ms", took.as_millis()),
    }
    Ok(verdict::judge(&answer, &outgoing, &sender))
}

/// The named account, or the only one.
fn choose<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Account, String> {
    let names = || config.accounts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match (name, config.accounts.len()) {
        (Some(name), _) => config
            .accounts
            .get(name)
            .ok_or_else(|| format!("there is no account {name}; there are: {}", names())),
        (None, 1) => config.accounts.values().next().ok_or_else(names),
        (None, _) => Err(format!("say which account with --account NAME; there are: {}", names())),
    }
    .map(|account| &**account)
}

/// The callback listener as this machine reaches it.
fn default_url(listen: &Listen, account: &Account) -> Result<Url, String> {
    let ip = match listen.callback.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let scheme = if listen.callback_tls.is_some() { "https" } else { "http" };
    let address = SocketAddr::new(ip, listen.callback.port());
    Url::parse(&format!("{scheme}://{address}{}", account.path)).map_err(|error| error.to_string())
}

/// Without what may be secret in it.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// Sends as WeChat does and reads the answer; the time is that of the exchange alone. An error is one of this program,
/// not of the edge.
fn post(url: &Url, outgoing: &Outgoing, ca: Option<&Path>) -> Result<(Answer, Duration), String> {
    let mut url = url.clone();
    url.set_query(Some(&outgoing.query));
    let client = client(ca)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    Ok(runtime.block_on(async {
        let request = client
            .request(outgoing.method.clone(), url)
            .header("user-agent", "Mozilla/4.0")
            .header("accept", "*/*")
            .header("pragma", "no-cache")
            .header("connection", "close");
        let request = if outgoing.method == Method::POST {
            request.header("content-type", "text/xml").body(outgoing.body.clone())
        } else {
            request
        };
        let started = Instant::now();
        let answer = match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => failed(&error),
        };
        (answer, started.elapsed())
    }))
}

async fn read(mut response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES => {
                body.extend_from_slice(&chunk)
            }
            Ok(Some(_)) => {
                return Answer::None { why: "the answer is longer than 1 MiB".to_owned() };
            }
            Ok(None) => return Answer::Http { status, body },
            Err(error) => return failed(&error),
        }
    }
}

/// The innermost cause says what happened; the outer ones repeat the URL with its signature.
fn failed(error: &reqwest::Error) -> Answer {
    if error.is_timeout() {
        return Answer::None { why: "no complete answer within 5 s".to_owned() };
    }
    if let Some(why) = distrust(error) {
        return Answer::None { why: format!("{} ({why})", distrusted(why)) };
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = if error.is_connect() { "no connection" } else { "the answer broke off" };
    Answer::None { why: format!("{what}: {cause}") }
}

/// What is wrong with the server's certificate, if that is why there is no connection.
fn distrust<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
        return Some(why);
    }
    // An I/O error is not the source of what it wraps, it stands for it.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    distrust(wrapped.map_or_else(|| error.source(), |wrapped| Some(wrapped as _))?)
}

fn distrusted(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is made for another name; send to that one with --url"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "the certificate's time is over or has not come; renew it, or set the clock of this machine"
        }
        _ => {
            "the certificate is self-signed or of an authority that this machine does not know; use one of a public \
             authority, or name the authority's PEM file with --ca or in SSL_CERT_FILE (a certificate that is made \
             with openssl's defaults is an authority and no server's: make it with basicConstraints=CA:FALSE)"
        }
    }
}

fn client(ca: Option<&Path>) -> Result<Client, String> {
    // An error says that there is a provider already.
    let _present = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .http1_only();
    if let Some(path) = ca {
        let unusable =
            |error: &dyn std::fmt::Display| format!("{} is of no use ({error})", path.display());
        let pem = fs::read(path).map_err(|error| unusable(&error))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(&error))?;
        builder = builder.tls_certs_merge(authorities);
    }
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
