//! A PEM parser for certificates and keys. In property values, line ends may have become blanks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

/// The content of a PEM text, in order.
#[derive(Default)]
pub struct Pem {
    pub certificates: Vec<CertificateDer<'static>>,
    pub key: Option<PrivateKeyDer<'static>>,
}

/// `what` names the property in errors, which never quote the text.
pub fn parse(what: &str, text: &str) -> Result<Pem, String> {
    let mut pem = Pem::default();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once("-----").ok_or(format!("{what}: a PEM's BEGIN line is cut off"))?;
        let (body, after) =
            body.split_once(&format!("-----END {label}-----")).ok_or(format!("{what}: {label} has no END line"))?;
        rest = after;
        if label == "ENCRYPTED PRIVATE KEY" || body.contains("ENCRYPTED") {
            return Err(format!(
                "{what}: the private key is encrypted, which is not supported; decrypt it with: \
                 openssl pkey -in KEY.pem -out KEY-plain.pem (and let only the bridge's user read it)"
            ));
        }
        let bytes: String = body.split_whitespace().collect();
        let der = STANDARD.decode(bytes).map_err(|_| format!("{what}: {label} is damaged: it is not base64"))?;
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
    fn what_cannot_be_read_is_said_with_the_propertys_name() {
        let cases = [
            ("-----BEGIN CERTIFICATE-----\nAAEC", "no END line"),
            ("-----BEGIN CERTIF", "cut off"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "base64"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA\n-----END ENCRYPTED PRIVATE KEY-----", "openssl pkey"),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAA\n-----END RSA PRIVATE KEY-----", "openssl"),
        ];
        for (text, words) in cases {
            let error = parse("ssl.keystore.key", text).err().unwrap();
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
