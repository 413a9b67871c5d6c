//! Flags of every command: which daemon, for whom, and in which form it is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::client::{self, Access, Authority, DEFAULT_SOCKET, Target, Token, Trust};
use crate::failure::Failure;
use crate::output::{Color, Format};

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    // Not clap's `env`: for the daemon, its config file goes between flag and environment.
    /// The daemon's unix socket; $WHARF_SOCKET unless set, or else /run/wharf/wharf.sock
    #[arg(long, global = true, value_name = "PATH", help_heading = GLOBAL)]
    pub(crate) socket: Option<PathBuf>,
    /// The daemon's TCP listener, instead of its socket: https://HOST:PORT with --ca, or http://127.0.0.1:PORT
    #[arg(long, global = true, value_name = "URL", help_heading = GLOBAL)]
    api: Option<Api>,
    /// Certificates of those who may have signed the daemon's, for https; PEM
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    ca: Option<PathBuf>,
    /// Our own certificate, for a daemon that asks for one; PEM
    #[arg(long, global = true, value_name = "FILE", requires = "key", help_heading = GLOBAL)]
    cert: Option<PathBuf>,
    /// Its key; PEM
    #[arg(long, global = true, value_name = "FILE", requires = "cert", help_heading = GLOBAL)]
    key: Option<PathBuf>,
    /// File with the token to bear, which goes before being root; $WHARF_TOKEN has the token itself
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    token_file: Option<PathBuf>,
    /// Act for this tenant, as root at the daemon; $WHARF_TENANT unless set, or else default
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    tenant: Option<String>,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t, hide_possible_values = true, value_name = "table|json", help_heading = GLOBAL)]
    pub(crate) output: Format,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t, hide_possible_values = true, value_name = "auto|always|never", help_heading = GLOBAL)]
    pub(crate) color: Color,
}

const GLOBAL: &str = "Global options";

/// A TCP listener, as a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Api {
    Http(SocketAddr),
    Https(Authority),
}

impl Global {
    /// The daemon to ask, and what it is told about us.
    pub(super) fn access(&self) -> Result<Access, Failure> {
        let tenant = self.tenant.clone().or_else(|| std::env::var("WHARF_TENANT").ok());
        let tenant = tenant.filter(|name| !name.is_empty());
        let token = Token::find(self.token_file.as_deref())?;
        Access::new(self.target()?, tenant.as_deref(), token.as_ref())
    }

    /// The daemon to ask.
    pub(super) fn target(&self) -> Result<Target, Failure> {
        match (&self.api, &self.ca) {
            (Some(Api::Https(authority)), Some(ca)) => {
                let own = self.cert.clone().zip(self.key.clone());
                Ok(Target::Tls(authority.clone(), Trust { ca: ca.clone(), own }.into()))
            }
            (Some(Api::Https(_)), None) => Err(Failure::usage(
                "an https --api needs --ca: nobody is trusted unless you say so",
            )
            .hint("--ca is the file of whoever signed the daemon's certificate; its own, if nobody did")),
            (_, ca) if ca.is_some() || self.cert.is_some() => {
                Err(Failure::usage("--ca, --cert and --key are for an --api of https://HOST:PORT"))
            }
            (Some(Api::Http(address)), _) => Ok(Target::Tcp(*address)),
            (None, _) => {
                let socket = self.socket.clone().or_else(client::socket_of_environment);
                Ok(Target::Unix(socket.unwrap_or_else(|| DEFAULT_SOCKET.into())))
            }
        }
    }
}

impl FromStr for Api {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let url = url.strip_suffix('/').unwrap_or(url);
        if let Some(authority) = url.strip_prefix("https://") {
            return authority.parse().map(Self::Https);
        }
        let authority = url.strip_prefix("http://").ok_or("must begin with https:// or http://")?;
        let authority = authority.replace("localhost", "127.0.0.1");
        let address: SocketAddr =
            authority.parse().map_err(|_| "is not http://ADDRESS:PORT, such as http://127.0.0.1:8080")?;
        if address.ip().is_loopback() {
            Ok(Self::Http(address))
        } else {
            Err("without TLS the API is served on loopback only: use https://")
        }
    }
}
