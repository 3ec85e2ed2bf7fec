//! The identity in a client certificate (RFC 5280) and its expiry, after TLS has verified the certificate.

use crate::record::Timestamp;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::{Any, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Tag, Tagged};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::time::Time;

/// id-at-commonName.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// id-ce-subjectAltName.
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// The names in a client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCertificate {
    /// The subject's common name; the last one if there are several.
    pub common_name: Option<String>,
    /// Subject alternative names: e-mail addresses, DNS names and URIs (SPIFFE), in order.
    pub alternative_names: Vec<String>,
    /// `notAfter` in ms since the epoch. TLS checks it only during the handshake, and a connection can stay open longer.
    pub expires: Timestamp,
}

impl ClientCertificate {
    /// Parses a certificate in DER. A malformed one has no names and has expired.
    pub fn parse(der: &[u8]) -> Self {
        try_parse(der).unwrap_or_default()
    }

    /// Returns the common name, or else the first alternative name.
    pub fn identity(&self) -> Option<&str> {
        self.common_name.as_deref().or(self.alternative_names.first().map(String::as_str))
    }
}

fn try_parse(der: &[u8]) -> Option<ClientCertificate> {
    // `Raw` accepts the serial numbers that rustls accepts. Private CAs issue longer ones than RFC 5280 allows.
    let certificate = CertificateInner::<Raw>::from_der(der).ok()?;
    let body = certificate.tbs_certificate();
    let extensions = body.extensions().into_iter().flatten();
    Some(ClientCertificate {
        common_name: common_name(body.subject()),
        alternative_names: alternative_names(extensions).unwrap_or_default(),
        expires: millis(body.validity().not_after),
    })
}

fn millis(time: Time) -> Timestamp {
    Timestamp::try_from(time.to_unix_duration().as_millis()).unwrap_or(Timestamp::MAX)
}

fn common_name(subject: &Name) -> Option<String> {
    // The character set of the type is not checked, because CAs put `_` and `@` into a PrintableString.
    let is_string = |value: &Any| {
        matches!(value.tag(), Tag::Utf8String | Tag::PrintableString | Tag::TeletexString | Tag::Ia5String)
    };
    let attributes = subject.iter().filter(|attribute| attribute.oid == COMMON_NAME && is_string(&attribute.value));
    attributes.filter_map(|attribute| text(attribute.value.value())).last()
}

/// Decodes each name separately, so that one of an unsupported or malformed type does not hide the others.
fn alternative_names<'a>(mut extensions: impl Iterator<Item = &'a Extension>) -> Option<Vec<String>> {
    let extension = extensions.find(|extension| extension.extn_id == SUBJECT_ALT_NAME)?;
    let names = Vec::<Any>::from_der(extension.extn_value.as_bytes()).ok()?;
    let names = names.iter().filter_map(|name| match GeneralName::from_der(&name.to_der().ok()?).ok()? {
        GeneralName::Rfc822Name(name) | GeneralName::DnsName(name) | GeneralName::UniformResourceIdentifier(name) => {
            text(name.as_bytes())
        }
        _ => None,
    });
    Some(names.collect())
}

/// Rejects empty names and control characters: names appear in logs and rules.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use base64::Engine;
    use proptest::prelude::*;

    /// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj "/O=Plant/CN=boiler-7" -addext
    /// subjectAltName=DNS:boiler.plant,URI:spiffe://plant/boiler,email:b@plant,IP:10.0.0.1`
    const BOILER: &str = include_str!("certificate/boiler.txt");

    fn boiler() -> Vec<u8> {
        base64::prelude::BASE64_STANDARD.decode(BOILER.split_whitespace().collect::<String>()).unwrap()
    }

    #[test]
    fn the_names_and_the_expiry_of_a_certificate_are_parsed() {
        let certificate = ClientCertificate::parse(&boiler());
        assert_eq!(certificate.identity(), Some("boiler-7"));
        assert_eq!(certificate.alternative_names, ["boiler.plant", "spiffe://plant/boiler", "b@plant"]);
        assert_eq!(certificate.expires, 4_949_149_506_000);
        let nameless = ClientCertificate { common_name: None, ..certificate };
        assert_eq!(nameless.identity(), Some("boiler.plant"));
    }

    #[test]
    fn the_expiry_is_parsed_in_both_formats() {
        // Tags of DER (X.690, 8.1.2).
        const UTC_TIME: u8 = 0x17;
        const GENERALIZED_TIME: u8 = 0x18;
        const OCTETS: u8 = 0x04;
        let day = 86_400_000;
        let cases: [(u8, &[u8], Option<Timestamp>); 10] = [
            (UTC_TIME, b"700102000001Z", Some(day + 1000)),
            (UTC_TIME, b"491231235959Z", Some(2_524_607_999_000)),
            (GENERALIZED_TIME, b"20500101000000Z", Some(2_524_608_000_000)),
            (GENERALIZED_TIME, b"99991231235959Z", Some(253_402_300_799_000)),
            (UTC_TIME, b"700102000001", None),
            (UTC_TIME, b"7001020000Z", None),
            (UTC_TIME, b"701302000001Z", None),
            (GENERALIZED_TIME, b"700102000001Z", None),
            (GENERALIZED_TIME, b"20500101000000.5Z", None),
            (OCTETS, b"700102000001Z", None),
        ];
        for (tag, text, expected) in cases {
            let der = [&[tag, text.len() as u8], text].concat();
            assert_eq!(Time::from_der(&der).ok().map(millis), expected, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(ClientCertificate::parse(b"none").expires, 0);
    }

    #[test]
    fn names_with_control_characters_are_rejected() {
        assert_eq!(text(b"admin\0.evil"), None);
        assert_eq!(text(b"admin\n"), None);
        assert_eq!(text(b""), None);
        assert_eq!(text(&[0xff]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = ClientCertificate::parse(&bytes);
        }

        #[test]
        fn a_damaged_certificate_causes_no_panic(at in 0..400usize, byte in any::<u8>(), cut in 0..600usize) {
            let mut damaged = boiler();
            let at = at % damaged.len();
            damaged[at] = byte;
            damaged.truncate(cut);
            let _ = ClientCertificate::parse(&damaged);
        }
    }
}
