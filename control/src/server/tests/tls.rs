//! TLS: who gets in, whose certificate is shown, and what becomes of those who stall.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};

use super::*;

/// Nothing takes as long as this that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whoever signs certificates.
type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of `localhost`, and its key.
fn identity(ca: &Ca) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.signed_by(&key, ca).unwrap(), key)
}

/// Writes a new certificate and its key where the daemon looks for them.
fn renew(folder: &Path, ca: &Ca) -> CertificateDer<'static> {
    let (certificate, key) = identity(ca);
    for (name, text) in [("key", key.serialize_pem()), ("certificate", certificate.pem())] {
        // As those do who renew certificates: there is no moment at which half of a file is there.
        fs::write(folder.join("new"), text).unwrap();
        fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }
    certificate.der().clone()
}

struct Daemon {
    folder: tempfile::TempDir,
    address: SocketAddr,
    tls: Tls,
    ca: Ca,
    certificate: CertificateDer<'static>,
    task: JoinSet<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Daemon {
    async fn start(settings: Settings, client_ca: Option<&Ca>) -> Self {
        let (folder, ca) = (tempfile::tempdir().unwrap(), ca());
        let certificate = renew(folder.path(), &ca);
        let client_ca = client_ca.map(|ca| {
            fs::write(folder.path().join("clients"), ca.pem()).unwrap();
            folder.path().join("clients")
        });
        let (certificate_file, key) = (folder.path().join("certificate"), folder.path().join("key"));
        let tls = Tls::open(TlsFiles { certificate: certificate_file, key, client_ca }).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let unix = UnixListener::bind(folder.path().join("s")).unwrap();
        let listeners = Listeners { unix, tcp: Some(Tcp::Tls(tcp, tls.clone())) };
        let router = Router::new().route(
            "/",
            get(async |Extension(peer): Extension<Peer>| if peer == Peer::Tls { "tls" } else { "other" }),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let mut task = JoinSet::new();
        task.spawn(run(listeners, router, async { _ = stopped.await }, settings));
        Self { folder, address, tls, ca, certificate, task, stop: Some(stop) }
    }

    async fn connect(&self, client: Client<'_>) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(client.versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match client.signed_by {
            None => config.with_no_client_auth(),
            Some(ca) => {
                let (certificate, key) = identity(ca);
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                config.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// The answer to a request.
    async fn ask(&self, client: Client<'_>) -> io::Result<String> {
        let mut stream = self.connect(client).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: anything.example\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The certificate that a new client sees.
    async fn shown(&self) -> CertificateDer<'static> {
        let stream = self.connect(Client::default()).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

/// All that there are but those that nobody should use.
static ALL: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

#[derive(Clone, Copy)]
struct Client<'a> {
    versions: &'a [&'static SupportedProtocolVersion],
    signed_by: Option<&'a Ca>,
}

impl Default for Client<'_> {
    fn default() -> Self {
        Self { versions: ALL, signed_by: None }
    }
}

#[tokio::test]
async fn both_versions_are_spoken_and_clients_are_told_from_others() {
    let daemon = Daemon::start(Settings::default(), None).await;
    for (version, expected) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let client = Client { versions: &[version], ..Client::default() };
        let stream = daemon.connect(client).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(expected));
        assert_eq!(session.peer_certificates().unwrap(), std::slice::from_ref(&daemon.certificate));
        let answer = daemon.ask(client).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("tls"), "{answer}");
    }
}

#[tokio::test]
async fn who_speaks_no_tls_gets_no_answer_and_harms_nobody() {
    let daemon = Daemon::start(Settings::default(), None).await;
    let mut plain = TcpStream::connect(daemon.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    _ = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(daemon.ask(Client::default()).await.unwrap().ends_with("tls"));
}

#[tokio::test]
async fn without_a_certificate_of_the_clients_ca_nobody_gets_in() {
    let clients = ca();
    let daemon = Daemon::start(Settings::default(), Some(&clients)).await;
    let stranger = ca();
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let client = |signed_by| Client { versions, signed_by };
        for outsider in [client(None), client(Some(&stranger))] {
            // In TLS 1.3 a client learns of it when it reads.
            assert!(daemon.ask(outsider).await.is_err(), "{versions:?}");
        }
        assert!(daemon.ask(client(Some(&clients))).await.unwrap().ends_with("tls"));
    }
}

#[tokio::test]
async fn clients_that_stall_in_the_handshake_stop_nobody_and_lose_their_places() {
    let settings = Settings { connections: 2, header_time: SHORT, ..Settings::default() };
    let daemon = Daemon::start(settings, None).await;
    let mut silent = TcpStream::connect(daemon.address).await.unwrap();
    let mut half = TcpStream::connect(daemon.address).await.unwrap();
    // The beginning of a record of the handshake (RFC 8446 §5.1).
    half.write_all(&[22, 3, 1]).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, daemon.ask(Client::default())).await;
    assert!(answer.expect("their places are free again").unwrap().ends_with("tls"));
    for stalled in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        _ = tokio::time::timeout(PATIENCE, stalled.read_to_end(&mut rest)).await.expect("it is closed");
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[tokio::test]
async fn who_fills_tcp_does_not_keep_the_local_administrator_out() {
    let daemon = Daemon::start(Settings { connections: 1, ..Settings::default() }, None).await;
    let _stalled = TcpStream::connect(daemon.address).await.unwrap();
    for _ in 0..2 {
        let mut local = UnixStream::connect(daemon.folder.path().join("s")).await.unwrap();
        send(&mut local, "/").await;
        assert_eq!(answer_starts(&mut local).await, "HTTP/1.1 200");
    }
}

#[tokio::test]
async fn the_end_does_not_wait_for_handshakes() {
    let mut daemon = Daemon::start(Settings { drain: PATIENCE * 100, ..Settings::default() }, None).await;
    let mut stalled = TcpStream::connect(daemon.address).await.unwrap();
    stalled.write_all(&[22, 3, 1]).await.unwrap();
    // Whoever comes later and is served shows that the first is in its handshake.
    assert!(daemon.ask(Client::default()).await.unwrap().ends_with("tls"));
    daemon.stop.take().unwrap().send(()).unwrap();
    let ended = tokio::time::timeout(PATIENCE, daemon.task.join_next()).await;
    ended.expect("it does not wait").unwrap().unwrap();
}

#[tokio::test]
async fn new_files_are_in_force_for_new_connections_and_broken_ones_never() {
    let daemon = Daemon::start(Settings::default(), None).await;
    let before = daemon.shown().await;
    let mut old = daemon.connect(Client::default()).await.unwrap();

    fs::write(daemon.folder.path().join("certificate"), "-----BEGIN NONSENSE-----").unwrap();
    assert!(matches!(daemon.tls.reload(), Err(TlsError::File { .. })));
    assert_eq!(daemon.shown().await, before, "the old one is kept");
    // A certificate without its key: half of what a renewal writes.
    fs::write(daemon.folder.path().join("certificate"), identity(&daemon.ca).0.pem()).unwrap();
    assert!(matches!(daemon.tls.reload(), Err(TlsError::Unusable(_))));
    assert_eq!(daemon.shown().await, before, "the old one is kept");

    let renewed = renew(daemon.folder.path(), &daemon.ca);
    daemon.tls.reload().unwrap();
    assert_eq!(daemon.shown().await, renewed);
    old.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("tls"), "old connections go on: {answer}");
}

#[tokio::test]
async fn changed_files_are_found_without_being_told() {
    let daemon = Daemon::start(Settings::default(), None).await;
    fs::write(daemon.folder.path().join("key"), "nonsense").unwrap();
    // Looked at and found wanting, perhaps; a change after that has to be found again.
    assert_eq!(daemon.shown().await, daemon.certificate);
    let renewed = renew(daemon.folder.path(), &daemon.ca);
    let found = async { while daemon.shown().await != renewed {} };
    tokio::time::timeout(PATIENCE, found).await.expect("the new certificate is shown");
}

#[test]
fn files_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    renew(folder.path(), &ca());
    let file = |name: &str| folder.path().join(name);
    let files = |certificate, key, client_ca: Option<&str>| TlsFiles {
        certificate: file(certificate),
        key: file(key),
        client_ca: client_ca.map(file),
    };
    for (files, named) in [
        (files("none", "key", None), "none"),
        (files("certificate", "none", None), "none"),
        (files("certificate", "certificate", None), "certificate"),
        (files("key", "key", None), "key"),
        (files("certificate", "key", Some("none")), "none"),
        (files("certificate", "key", Some("key")), "key"),
    ] {
        let said = Tls::open(files).unwrap_err().to_string();
        assert!(said.contains(file(named).to_str().unwrap()), "{said}");
    }
    assert!(Tls::open(files("certificate", "key", None)).is_ok());
}
