//! Settings of how clients reach the bridge: TLS, proxies in between.

use super::values;
use crate::http::{ClientCertificates, Network, TlsFiles, TrustedProxies};
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(next_help_heading = "Listen")]
pub struct Listen {
    /// Certificate for HTTPS in PEM, with the intermediate ones behind it.
    ///
    /// Loaded anew when the file changes; one that cannot be used leaves the one from before in use.
    #[arg(long, env = "CURLEW_TLS_CERT", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Private key of the certificate in PEM, not encrypted.
    ///
    /// Loaded anew when the file changes.
    #[arg(long, env = "CURLEW_TLS_KEY", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Authority of clients' certificates in PEM.
    ///
    /// A client that shows one is known by the common name in it, else by its first subject alternative name.
    #[arg(long, env = "CURLEW_TLS_CLIENT_CA", value_name = "FILE", value_hint = ValueHint::FilePath,
          requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// Whether a client must show a certificate of --tls-client-ca.
    #[arg(long, env = "CURLEW_TLS_CLIENT_AUTH", value_name = "WHETHER", default_value = "requested")]
    tls_client_auth: ClientAuth,

    /// Address or network of proxies in front, such as 10.0.0.0/8. Repeatable.
    ///
    /// They say in X-Forwarded-For and X-Forwarded-Proto, or in Forwarded, whom a request comes from; nobody else is
    /// believed. The variable takes a comma-separated list.
    #[arg(long = "trusted-proxy", env = "CURLEW_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',',
          action = ArgAction::Append, value_parser = values::network)]
    trusted_proxies: Vec<Network>,
}

/// As Kafka's `ssl.client.auth`, whose `none` is to give no authority.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ClientAuth {
    Requested,
    Required,
}

impl Listen {
    /// `None`: plain HTTP.
    pub fn tls(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        let clients = match (self.tls_client_ca.clone(), self.tls_client_auth) {
            (None, _) => ClientCertificates::Anonymous,
            (Some(authority), ClientAuth::Requested) => ClientCertificates::Requested(authority),
            (Some(authority), ClientAuth::Required) => ClientCertificates::Required(authority),
        };
        Some(TlsFiles { certificate, key, clients })
    }

    pub fn proxies(&self) -> TrustedProxies {
        TrustedProxies(self.trusted_proxies.clone())
    }
}
