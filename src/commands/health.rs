//! `curlew health`: whether the bridge on this machine is well, for containers that hold no curl.

use super::exit;
use crate::config::Health;
use crate::tls;
use std::process::ExitCode;

/// Exit code 0 where it says that it is, else 1 and why on standard error.
pub fn health(settings: &Health) -> ExitCode {
    exit(ask(settings))
}

fn ask(settings: &Health) -> Result<(), String> {
    let url = settings.url();
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(settings.timeout));
    if url.starts_with("https://") {
        // It is this machine that is asked, by an address for which no certificate is made; nothing secret is sent.
        let tls = ureq::tls::TlsConfig::builder()
            .unversioned_rustls_crypto_provider(tls::provider()?)
            .disable_verification(true)
            .build();
        config = config.tls_config(tls);
    }
    match config.build().new_agent().get(&url).call() {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("{url} answers {}", answer.status())),
        // --tls-client-auth required: whoever says so listens.
        Err(error) if wants_a_certificate(&error) => Ok(()),
        Err(error) => Err(format!("{url} does not answer: {error}")),
    }
}

fn wants_a_certificate(error: &ureq::Error) -> bool {
    use rustls::{AlertDescription, Error};
    matches!(tls::fault_of(error), Some(Error::AlertReceived(AlertDescription::CertificateRequired)))
}
