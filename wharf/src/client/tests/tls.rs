//! TLS: who is trusted.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// Asks a server at `https://HOST` whose own certificate, of `localhost`, is the CA that is trusted if `trusted` says so. Gives
/// back what the client makes of it.
fn ask(host: &str, trusted: &dyn Fn(&str) -> String) -> Result<Value, ClientError> {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, trusted(&own.cert.pem())).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..read]);
            assert!(request.contains(&format!("host: {host}:{port}\r\n")), "{request}");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue").await.unwrap();
        };
        let client = async {
            let authority = format!("{host}:{port}").parse().unwrap();
            let target = Target::Tls(authority, Trust { ca, own: None }.into());
            Client::connect(target.into()).await?.get("/v1/vpcs").await
        };
        tokio::join!(client, server).0
    })
}

#[test]
fn only_who_is_signed_by_the_ca_for_that_host_is_trusted() {
    assert_eq!(ask("localhost", &str::to_owned).unwrap(), true);
    let stranger = |_: &str| {
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        other.cert.pem()
    };
    let other_name = ask("127.0.0.1", &str::to_owned).unwrap_err();
    for error in [ask("localhost", &stranger).unwrap_err(), other_name] {
        assert!(matches!(error, ClientError::Untrusted { .. }), "{error}");
        assert_eq!(Failure::from(error).exit(), Exit::Failed);
    }
}

#[test]
fn without_a_ca_nobody_is_asked() {
    let nobody = Trust { ca: Path::new("/nonexistent/ca.pem").to_owned(), own: None };
    let target = Target::Tls("localhost:1".parse().unwrap(), nobody.into());
    let error = block_on(Client::connect(target.into())).err().expect("there is no CA");
    assert_eq!(Failure::from(error).exit(), Exit::Usage);
}
