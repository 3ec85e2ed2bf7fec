//! Settings of the listener: TLS, client certificates, trusted proxies.

use super::values;
use crate::http::{ClientCertificates, Network, TlsFiles, TrustedProxies};
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Certificate for HTTPS in PEM, followed by intermediate certificates.
    ///
    /// Reloaded when the file changes; if the new one is invalid, the previous one stays in use.
    #[arg(long, help_heading = "Listen", env = "CURLEW_TLS_CERT", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Private key of the certificate in PEM, not encrypted.
    ///
    /// Reloaded when the file changes.
    #[arg(long, help_heading = "Listen", env = "CURLEW_TLS_KEY", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// CA of client certificates in PEM.
    ///
    /// The common name of its certificate identifies a client; without one, the first subject alternative name does.
    #[arg(long, help_heading = "Listen", env = "CURLEW_TLS_CLIENT_CA", value_name = "FILE", value_hint = ValueHint::FilePath,
          requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// Whether clients must present a certificate of --tls-client-ca.
    #[arg(
        long,
        help_heading = "Listen",
        env = "CURLEW_TLS_CLIENT_AUTH",
        value_name = "MODE",
        default_value = "requested"
    )]
    tls_client_auth: ClientAuth,

    /// Address or network of trusted reverse proxies, such as 10.0.0.0/8. Repeatable.
    ///
    /// Only their X-Forwarded-For and X-Forwarded-Proto, or Forwarded, headers are used to identify a client. The variable
    /// takes a comma-separated list.
    #[arg(long = "trusted-proxy", help_heading = "Listen", env = "CURLEW_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',',
          action = ArgAction::Append, value_parser = values::network)]
    trusted_proxies: Vec<Network>,
}

/// The values of Kafka's `ssl.client.auth`, except `none`, which is the same as no --tls-client-ca.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ClientAuth {
    Requested,
    Required,
}

impl ListenArgs {
    /// The TLS files, or `None` for plain HTTP.
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
