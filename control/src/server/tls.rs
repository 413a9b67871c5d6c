//! TLS on TCP: certificates from files, taken anew when the files change.
//!
//! A connection looks at the files first if nobody has for a moment, so that a daemon that nobody calls has nothing to do. Files that
//! cannot be used are logged once, and what was read before stays in force.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Where certificates are. All files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The daemon's certificate, and those between it and one that clients trust.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates of those who sign clients' certificates. If given, nobody without one gets in; a token is needed in any case.
    pub client_ca: Option<PathBuf>,
}

/// Why the files are of no use. What was read before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
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
    /// Certificate and key do not go together, or are none that can be used.
    #[error("cannot use certificate and key: {0}")]
    Unusable(#[from] rustls::Error),
    /// The clients' CA is none that can be used.
    #[error("cannot use the clients' CA: {0}")]
    ClientCa(#[from] VerifierBuilderError),
}

/// The daemon's side of TLS. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: TlsFiles,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// The files as they were when they were last read, with or without success.
    stamps: Stamps,
    looked: Instant,
}

/// What changes when a file does, whoever replaces it in whichever way. `None` for one that is not there.
type Stamps = [Option<(u64, u64, i64, i64)>; 3];

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

impl Tls {
    /// Reads the files.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        // Before they are read: what changes meanwhile is seen at the next look.
        let stamps = files.stamps();
        let config = Arc::new(files.read()?);
        let current = Mutex::new(Current { config, stamps, looked: Instant::now() });
        Ok(Self(Arc::new(Shared { files, current })))
    }

    /// Reads the files again now, whether or not they have changed. They are read in place, and should be small and near.
    pub fn reload(&self) -> Result<(), TlsError> {
        let stamps = self.0.files.stamps();
        let read = self.0.files.read();
        let mut current = self.current();
        current.stamps = stamps;
        current.config = Arc::new(read?);
        Ok(())
    }

    /// Shakes hands with a client.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        if self.is_time_to_look() {
            let tls = self.clone();
            // Disks can be slow.
            _ = tokio::task::spawn_blocking(move || tls.look()).await;
        }
        let config = self.current().config.clone();
        TlsAcceptor::from(config).accept(stream).await
    }

    fn is_time_to_look(&self) -> bool {
        let (mut current, now) = (self.current(), Instant::now());
        let due = now.duration_since(current.looked) >= LOOK;
        if due {
            current.looked = now;
        }
        due
    }

    /// Reads the files if they have changed.
    fn look(&self) {
        if self.0.files.stamps() == self.current().stamps {
            return;
        }
        match self.reload() {
            Ok(()) => tracing::info!("the files of TLS have changed and are in force"),
            Err(error) => {
                tracing::error!(%error, "the files of TLS have changed and are of no use; what was before stays in force");
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TlsFiles {
    fn stamps(&self) -> Stamps {
        let stamp = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        };
        [stamp(&self.certificate), stamp(&self.key), self.client_ca.as_deref().and_then(stamp)]
    }

    fn read(&self) -> Result<ServerConfig, TlsError> {
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(failed("a key", &self.key))?;
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])?;
        let config = match &self.client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build()?)
            }
        };
        let mut config = config.with_single_cert(certificates(&self.certificate)?, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// All certificates of a file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match all {
        Ok(all) if all.is_empty() => Err(failed("certificates", path)(pem::Error::NoItemsFound)),
        all => all.map_err(failed("certificates", path)),
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(pem::Error) -> TlsError {
    move |source| TlsError::File { what, path: path.to_owned(), source }
}
