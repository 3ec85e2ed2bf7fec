//! `curlew health`: a health check of the bridge on this machine, for containers without curl.

use super::error::CommandError;
use super::exit;
use crate::config::Health;
use crate::tls;
use std::process::ExitCode;

/// Returns exit code 0 if the bridge is healthy, and 1 with the reason on standard error otherwise.
pub fn health(settings: &Health) -> ExitCode {
    exit(check(settings))
}

fn check(settings: &Health) -> Result<(), CommandError> {
    let url = settings.url();
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(settings.timeout));
    if url.starts_with("https://") {
        // The request goes to this machine and carries no secret. The certificate need not contain the loopback address.
        let tls = ureq::tls::TlsConfig::builder()
            .unversioned_rustls_crypto_provider(tls::provider()?)
            .disable_verification(true)
            .build();
        config = config.tls_config(tls);
    }
    match config.build().new_agent().get(&url).call() {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(CommandError::Unhealthy { url, status: response.status() }),
        // The bridge is listening: it sends this alert with --tls-client-auth=required.
        Err(error) if requires_certificate(&error) => Ok(()),
        Err(source) => Err(CommandError::Unreachable { url, source }),
    }
}

fn requires_certificate(error: &ureq::Error) -> bool {
    use rustls::{AlertDescription, Error};
    matches!(tls::fault_of(error), Some(Error::AlertReceived(AlertDescription::CertificateRequired)))
}
