//! Where a daemon is, and how to get there: a unix socket, TCP on loopback, or TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP on loopback.
    Tcp(SocketAddr),
    /// TLS, to anywhere.
    Tls(Authority, Box<Trust>),
}

/// A host and a port, as a URL writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    /// A name or an address, without brackets.
    host: String,
    port: u16,
}

/// Whom to trust, and who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Certificates of those who may have signed the daemon's.
    pub(crate) ca: PathBuf,
    /// Our own certificate and its key, for a daemon that asks for one.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
}

/// Why the files for TLS are of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// A file cannot be read, or has nothing of what it should have.
    #[error("cannot take {what} from {path}: {source}")]
    File {
        /// What it should have.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// What the files have is not usable.
    #[error("cannot use the certificates: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Nobody listens there, or we may not connect.
    Unreachable(io::Error),
    /// Somebody listens, and is not trusted or speaks no TLS.
    Untrusted(io::Error),
    /// Our own files.
    Trust(TrustError),
}

/// A byte stream to a daemon.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Target {
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, ConnectError> {
        let unreachable = ConnectError::Unreachable;
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(unreachable)?),
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await.map_err(unreachable)?),
            Self::Tls(authority, trust) => {
                let connector = TlsConnector::from(trust.config().map_err(ConnectError::Trust)?);
                let name = ServerName::try_from(authority.host.clone()).expect("checked as it was read");
                let stream = TcpStream::connect((&*authority.host, authority.port)).await;
                let stream = stream.map_err(unreachable)?;
                Box::new(connector.connect(name, stream).await.map_err(ConnectError::Untrusted)?)
            }
        })
    }

    /// The host that requests name.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Unix(_) | Self::Tcp(_) => "localhost".to_owned(),
            Self::Tls(authority, _) => authority.to_string(),
        }
    }
}

impl Trust {
    fn config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match &self.own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let own = PrivateKeyDer::from_pem_file(key).map_err(failed("a key", key))?;
                config.with_client_auth_cert(certificates(certificate)?, own)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let failed = failed("certificates", path);
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match all {
        Ok(all) => {
            Some(all).filter(|all: &Vec<_>| !all.is_empty()).ok_or_else(|| failed(pem::Error::NoItemsFound))
        }
        Err(source) => Err(failed(source)),
    }
}

fn failed(what: &'static str, path: &Path) -> impl Fn(pem::Error) -> TrustError {
    move |source| TrustError::File { what, path: path.to_owned(), source }
}

impl FromStr for Authority {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str =
            "is not https://HOST:PORT, such as https://wharf.example:8443 or https://[fd00::1]:8443";
        let (host, port) = text.rsplit_once(':').ok_or(WRONG)?;
        let port = port.parse().ok().filter(|&port| port > 0).ok_or(WRONG)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) if v6.contains(':') => v6,
            None if !host.contains([':', '[', ']']) => host,
            _ => return Err(WRONG),
        };
        ServerName::try_from(host).map_err(|_| WRONG)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Tls(authority, _) => write!(f, "https://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        for good in ["wharf.example:8443", "localhost:1", "10.0.0.1:443", "[fd00::1]:443"] {
            assert_eq!(good.parse::<Authority>().expect(good).to_string(), good);
        }
        for wrong in
            ["", "wharf", ":80", "wharf:", "wharf:0", "wharf:65536", "fd00::1:443", "[10.0.0.1]:443", "a b:1"]
        {
            assert!(wrong.parse::<Authority>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_without_certificates_are_named() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let trust = Trust { ca: empty.path().to_owned(), own: None };
        let said = trust.config().unwrap_err().to_string();
        assert!(said.contains(empty.path().to_str().unwrap()), "{said}");
        let missing = Trust { ca: "/nonexistent/ca.pem".into(), own: None };
        assert!(missing.config().is_err());
    }
}
