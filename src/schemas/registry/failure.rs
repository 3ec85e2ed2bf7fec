//! Describes why a request to a registry failed.

use super::settings::RegistryUrl;
use crate::schemas::error_text::shortened;
use crate::tls;
use rustls::{AlertDescription, CertificateError, Error};

/// The longest message of a registry that is passed on, in characters.
const MAX_MESSAGE: usize = 300;

/// Describes a failed request in one line, without credentials.
pub fn describe(url: &RegistryUrl, error: &ureq::Error) -> String {
    let why = match (tls::fault_of(error), error) {
        (Some(fault), _) => of_tls(fault),
        (None, ureq::Error::Io(error)) => one_line(&error.to_string()),
        (None, error) => one_line(&error.to_string()),
    };
    format!("{url}: {why}")
}

fn of_tls(fault: &Error) -> String {
    let why = match fault {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by a CA that is not trusted here"
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => "it requires a client certificate",
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::HandshakeFailure
            | AlertDescription::AccessDenied,
        ) => "it requires a client certificate that it trusts",
        Error::AlertReceived(AlertDescription::CertificateExpired | AlertDescription::CertificateRevoked) => {
            "the client certificate has expired or is revoked"
        }
        Error::InvalidMessage(_) => "it does not answer with TLS",
        other => return format!("TLS failed: {}", one_line(&other.to_string())),
    };
    format!("TLS failed: {why}")
}

/// Returns one line of limited length.
pub fn one_line(text: &str) -> String {
    shortened(text, MAX_MESSAGE).trim().to_owned()
}
