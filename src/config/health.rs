//! The settings of `curlew health`, which finds the address of `serve` in its settings.

use super::file::ConfigFile;
use super::values;
use clap::{Args, ValueHint};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct Health {
    #[command(flatten)]
    file: ConfigFile,

    /// Address of the bridge.
    #[arg(long, env = "CURLEW_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8080",
          value_parser = values::listen)]
    listen: SocketAddr,

    /// The bridge's certificate; if given, the check uses HTTPS.
    #[arg(long, env = "CURLEW_TLS_CERT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,

    /// Check the connection to the broker too.
    #[arg(long)]
    ready: bool,

    /// Timeout for the response.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    pub timeout: Duration,
}

impl Health {
    /// The URL of the check.
    pub fn url(&self) -> String {
        // A bridge on all addresses also listens on loopback.
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        let path = if self.ready { "ready" } else { "health" };
        format!("{scheme}://{}/{path}", SocketAddr::new(ip, self.listen.port()))
    }
}
