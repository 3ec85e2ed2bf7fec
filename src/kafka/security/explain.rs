//! Turns TLS errors into messages that say what to change.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// A TLS error between the bridge and a broker or authorization server.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// A connection to a broker failed.
    #[error("{}", explain(address, source))]
    Connection {
        /// The broker, as `host:port`.
        address: String,
        /// The error of the TLS library.
        source: Error,
    },
    /// The broker's listener requires TLS, and the bridge does not use it.
    #[error("{0} requires TLS: set security.protocol to SSL or SASL_SSL in the file of the setting kafka-config")]
    Required(String),
    /// The host of a broker's address cannot be compared with a certificate.
    #[error("{0:?} is not a host name that a certificate can contain")]
    HostName(String),
    /// A connection to an authorization server failed.
    #[error("no token: {}", of_https(url, source))]
    TokenServer {
        /// The URL of the token endpoint.
        url: String,
        /// The error of the TLS library.
        source: Error,
    },
}

/// Describes the TLS error of a connection to the broker at `address` (`host:port`).
fn explain(address: &str, error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => certificate(address, why),
        Error::InvalidMessage(_) => format!(
            "{address} does not answer with TLS; if its listener is PLAINTEXT or SASL_PLAINTEXT, set security.protocol \
             to that"
        ),
        Error::AlertReceived(alert) => rejected(address, *alert),
        Error::PeerIncompatible(why) => incompatible(address, why),
        other => format!("TLS with {address} failed: {other}"),
    }
}

/// Describes the TLS error of a request to `url`, which is not a broker but an authorization server.
fn of_https(url: &str, error: &Error) -> String {
    let address = url.trim_start_matches("https://").split('/').next().unwrap_or_default();
    match error {
        Error::InvalidCertificate(
            why @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
        ) => format!("the certificate of {url} is for another name; use that name in the URL: {why}"),
        Error::InvalidCertificate(why) => certificate(address, why),
        other => format!("TLS with {address} failed: {other}"),
    }
}

fn certificate(address: &str, error: &CertificateError) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match error {
        CertificateError::UnknownIssuer => format!(
            "the certificate of {address} is signed by a CA that is not trusted here: give that CA's certificate as PEM \
             with ssl.truststore.location"
        ),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => format!(
            "the certificate of {address} names no host: it needs {host:?} as a subjectAltName; \
             or disable the name check with ssl.endpoint.identification.algorithm= (nothing after the =)"
        ),
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the certificate of {address} is not for {host:?} but for {}: use one of these names in bootstrap.servers \
             and advertised.listeners, or disable the name check with ssl.endpoint.identification.algorithm= (nothing \
             after the =)",
            presented.iter().map(|name| readable(name)).collect::<Vec<_>>().join(", ")
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {address} has expired; renew it, or correct this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {address} is not valid yet; check this machine's clock")
        }
        CertificateError::BadSignature => format!(
            "the certificate of {address} is not signed by the CA of that name in the truststore; the CA may have been \
             recreated: give its current certificate with ssl.truststore.location"
        ),
        other => format!("the certificate of {address} cannot be trusted: {other}"),
    }
}

/// Returns `kafka.example` for rustls's `DnsName("kafka.example")`.
fn readable(presented: &str) -> &str {
    presented.split_once('"').and_then(|(_, rest)| rest.strip_suffix("\")")).unwrap_or(presented)
}

fn rejected(address: &str, alert: AlertDescription) -> String {
    let what_to_do = match alert {
        AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => {
            "it may require a client certificate: give one with ssl.keystore.location, or with \
             ssl.keystore.certificate.chain and ssl.keystore.key"
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => {
            "it requires a client certificate signed by a CA in its truststore: give one with \
             ssl.keystore.location"
        }
        AlertDescription::CertificateExpired | AlertDescription::CertificateRevoked => {
            "the client certificate in ssl.keystore.* has expired or is revoked: give a new one"
        }
        AlertDescription::ProtocolVersion => "it supports none of the TLS versions in ssl.enabled.protocols",
        AlertDescription::UnrecognisedName => "it does not recognize the requested host name",
        _ => "its log may say why",
    };
    format!("{address} rejects the TLS connection ({alert:?}): {what_to_do}")
}

fn incompatible(address: &str, why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            format!(
                "{address} supports none of the bridge's TLS versions, which are 1.2 and 1.3, or those in ssl.enabled.protocols"
            )
        }
        other => format!("{address} and the bridge have no TLS parameters in common: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;

    #[test]
    fn each_failure_says_what_to_do() {
        let not_for = |presented: &[&str]| {
            Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("kafka")
                    .map(|n| n.to_owned())
                    .unwrap_or(ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]))),
                presented: presented.iter().map(|&name| name.to_owned()).collect(),
            })
        };
        let cases = [
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "ssl.truststore.location"),
            (not_for(&["DnsName(\"a.example\")", "DnsName(\"b.example\")"]), "but for a.example, b.example:"),
            (not_for(&[]), "subjectAltName"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "ssl.keystore.location"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "ssl.keystore.location"),
            (Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "PLAINTEXT"),
            (Error::DecryptError, "cannot decrypt"),
        ];
        for (error, words) in cases {
            let text = explain("kafka:9093", &error);
            assert!(text.contains(words) && text.contains("kafka:9093"), "{text}");
        }
    }
}
