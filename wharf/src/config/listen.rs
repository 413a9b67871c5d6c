//! The API on TCP: without TLS on loopback only, with TLS anywhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use control::TlsFiles;

/// Where the API is served on TCP, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Not encrypted, for this machine.
    Plain(SocketAddr),
    /// With TLS, for any.
    Tls(SocketAddr, TlsFiles),
}

/// Why the settings of TCP make no sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListenError {
    /// Tokens would be read by whoever is on the way.
    #[error("without TLS the API is served on loopback only, such as 127.0.0.1:8080, and not on {0}")]
    NotLoopback(SocketAddr),
    /// One without the other is of no use.
    #[error("tls-cert and tls-key go together")]
    Half,
    /// There is nothing to ask clients' certificates for.
    #[error("tls-client-ca needs tls-cert and tls-key")]
    OnlyClientCa,
    /// There is nothing to encrypt.
    #[error("tls-cert is of no use without listen")]
    Nowhere,
}

impl Listen {
    /// Joins what was set.
    pub(super) fn resolve(
        address: Option<SocketAddr>,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        client_ca: Option<PathBuf>,
    ) -> Result<Option<Self>, ListenError> {
        let files = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, client_ca }),
            (None, None) if client_ca.is_some() => return Err(ListenError::OnlyClientCa),
            (None, None) => None,
            _ => return Err(ListenError::Half),
        };
        match (address, files) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(ListenError::Nowhere),
            (Some(address), Some(files)) => Ok(Some(Self::Tls(address, files))),
            (Some(address), None) if address.ip().is_loopback() => Ok(Some(Self::Plain(address))),
            (Some(address), None) => Err(ListenError::NotLoopback(address)),
        }
    }

    /// The address alone.
    pub(crate) const fn address(&self) -> SocketAddr {
        match self {
            Self::Plain(address) | Self::Tls(address, _) => *address,
        }
    }
}

impl ListenError {
    /// What to do about it.
    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::NotLoopback(_) => "add --tls-cert FILE and --tls-key FILE, or listen on 127.0.0.1",
            Self::Half | Self::OnlyClientCa => "give both files, or neither",
            Self::Nowhere => "say where with --listen ADDRESS:PORT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(address: Option<&str>, files: [Option<&str>; 3]) -> Result<Option<Listen>, ListenError> {
        let [certificate, key, client_ca] = files.map(|file| file.map(PathBuf::from));
        Listen::resolve(address.map(|text| text.parse().unwrap()), certificate, key, client_ca)
    }

    #[test]
    fn only_loopback_is_listened_on_without_tls() {
        for good in ["127.0.0.1:80", "127.9.9.9:1", "[::1]:80"] {
            let plain = Listen::Plain(good.parse().unwrap());
            assert_eq!(resolve(Some(good), [None; 3]), Ok(Some(plain)));
        }
        for address in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80"] {
            let refused = ListenError::NotLoopback(address.parse().unwrap());
            assert_eq!(resolve(Some(address), [None; 3]), Err(refused));
            let tls = resolve(Some(address), [Some("c"), Some("k"), None]);
            assert!(matches!(tls, Ok(Some(Listen::Tls(..)))), "{address}");
        }
    }

    #[test]
    fn files_without_the_others_are_refused() {
        let address = Some("127.0.0.1:80");
        assert_eq!(resolve(address, [Some("c"), None, None]), Err(ListenError::Half));
        assert_eq!(resolve(address, [None, Some("k"), Some("a")]), Err(ListenError::Half));
        assert_eq!(resolve(address, [None, None, Some("a")]), Err(ListenError::OnlyClientCa));
        assert_eq!(resolve(None, [Some("c"), Some("k"), None]), Err(ListenError::Nowhere));
        assert_eq!(resolve(None, [None; 3]), Ok(None));
    }
}
