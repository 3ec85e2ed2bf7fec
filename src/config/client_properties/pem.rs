//! A PEM parser for certificates and keys in the values of properties, where blanks may replace line ends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use thiserror::Error;

/// The sections of a PEM text, in order.
#[derive(Default)]
pub struct Pem {
    pub certificates: Vec<CertificateDer<'static>>,
    pub key: Option<PrivateKeyDer<'static>>,
}

/// An error in the PEM text of a property. It does not quote the text, which may be a private key.
#[derive(Debug, Error)]
#[error("{property}: {fault}")]
pub struct PemPropertyError {
    property: &'static str,
    #[source]
    fault: PemFault,
}

/// An error in a PEM text. Contains the label of the section, such as `CERTIFICATE`.
#[derive(Debug, Error)]
enum PemFault {
    #[error("a PEM's BEGIN line is cut off")]
    IncompleteBegin,
    #[error("{0} has no END line")]
    MissingEnd(String),
    #[error(
        "the private key is encrypted, which is not supported; decrypt it with: openssl pkey -in KEY.pem -out \
         KEY-plain.pem (and let only the bridge's user read it)"
    )]
    EncryptedKey,
    #[error("{0} is damaged: it is not base64")]
    NotBase64(String),
}

/// Parses the PEM text of a property.
pub fn parse(property: &'static str, text: &str) -> Result<Pem, PemPropertyError> {
    sections(text).map_err(|fault| PemPropertyError { property, fault })
}

fn sections(text: &str) -> Result<Pem, PemFault> {
    let mut pem = Pem::default();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once("-----").ok_or(PemFault::IncompleteBegin)?;
        let end = format!("-----END {label}-----");
        let (body, after) = body.split_once(&end).ok_or_else(|| PemFault::MissingEnd(label.to_owned()))?;
        rest = after;
        if label == "ENCRYPTED PRIVATE KEY" || body.contains("ENCRYPTED") {
            return Err(PemFault::EncryptedKey);
        }
        let bytes: String = body.split_whitespace().collect();
        let der = STANDARD.decode(bytes).map_err(|_| PemFault::NotBase64(label.to_owned()))?;
        match label {
            "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => pem.certificates.push(der.into()),
            "PRIVATE KEY" => pem.key = Some(PrivatePkcs8KeyDer::from(der).into()),
            "RSA PRIVATE KEY" => pem.key = Some(PrivatePkcs1KeyDer::from(der).into()),
            "EC PRIVATE KEY" => pem.key = Some(PrivateSec1KeyDer::from(der).into()),
            // For example the parameters that openssl writes before an EC key.
            _ => {}
        }
    }
    Ok(pem)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: &str = "Bag Attributes\n-----BEGIN CERTIFICATE-----\nAAEC\nAwQF\n-----END CERTIFICATE-----\n\
                       -----BEGIN PRIVATE KEY-----\nBgcI\n-----END PRIVATE KEY-----\n";

    #[test]
    fn certificates_and_a_key_are_found_with_any_separators() {
        for text in [TWO.to_owned(), TWO.replace('\n', " "), TWO.replace('\n', "\r\n")] {
            let pem = parse("x", &text).unwrap();
            assert_eq!(pem.certificates, [CertificateDer::from(vec![0, 1, 2, 3, 4, 5])]);
            assert_eq!(pem.key.unwrap().secret_der(), [6, 7, 8]);
        }
    }

    #[test]
    fn errors_start_with_the_name_of_the_property() {
        let cases = [
            ("-----BEGIN CERTIFICATE-----\nAAEC", "no END line"),
            ("-----BEGIN CERTIF", "cut off"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "base64"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA\n-----END ENCRYPTED PRIVATE KEY-----", "openssl pkey"),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAA\n-----END RSA PRIVATE KEY-----", "openssl"),
        ];
        for (text, words) in cases {
            let error = parse("ssl.keystore.key", text).err().unwrap().to_string();
            assert!(error.contains(words) && error.starts_with("ssl.keystore.key: "), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(-----BEGIN |-----END |-----|KEY|\n|[a-zA-Z=]){0,20}") {
            let _ = parse("x", &text);
        }
    }
}
