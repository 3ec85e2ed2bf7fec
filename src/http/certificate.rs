//! The names in a client's certificate (RFC 5280) and how long it is good, after TLS has checked that it is one.

use crate::record::Timestamp;
use time::{Date, Month, OffsetDateTime, Time};

/// Tags of DER (X.690, 8.1.2).
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `version` and `extensions` of the certificate's body.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// UTF8String, PrintableString, TeletexString, IA5String: all of them hold ASCII as ASCII.
const STRINGS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];
/// Of a GeneralName: an e-mail address, a DNS name, a URI.
const GENERAL_NAMES: [u8; 3] = [0x81, 0x82, 0x86];

/// id-at-commonName, 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// id-ce-subjectAltName, 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Who a client's certificate says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCertificate {
    /// Of the subject; the last one where there are several.
    pub common_name: Option<String>,
    /// Subject alternative names: e-mail addresses, DNS names and URIs (SPIFFE), in their order.
    pub alternative_names: Vec<String>,
    /// `notAfter`, in ms since the epoch: TLS looks at it once, and a connection may stay open for longer.
    pub expires: Timestamp,
}

impl ClientCertificate {
    /// Of what is no certificate there are none.
    pub fn parse(certificate: &[u8]) -> Self {
        read(certificate).unwrap_or_default()
    }

    /// The name of the identity: the common name, else the first alternative one.
    pub fn identity(&self) -> Option<&str> {
        self.common_name.as_deref().or(self.alternative_names.first().map(String::as_str))
    }
}

fn read(certificate: &[u8]) -> Option<ClientCertificate> {
    let body = inside(inside(certificate, SEQUENCE)?, SEQUENCE)?;
    let mut fields = Elements(body).skip_while(|(tag, _)| *tag == VERSION);
    // serialNumber, signature, issuer, validity, subject
    let (_, validity) = fields.nth(3)?;
    let (_, subject) = fields.next()?;
    let (kind, not_after) = Elements(validity).nth(1)?;
    let extensions = fields.find(|(tag, _)| *tag == EXTENSIONS).and_then(|(_, all)| inside(all, SEQUENCE));
    Some(ClientCertificate {
        common_name: common_name(subject),
        alternative_names: extensions.and_then(alternative_names).unwrap_or_default(),
        expires: instant(kind, not_after)?,
    })
}

/// `YYMMDDhhmmssZ` to 2049, and `YYYYMMDDhhmmssZ` from then on (RFC 5280, 4.1.2.5).
fn instant(kind: u8, text: &[u8]) -> Option<Timestamp> {
    let text =
        std::str::from_utf8(text).ok()?.strip_suffix('Z').filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match kind {
        UTC_TIME => text.split_at_checked(2).map(|(year, rest)| (century(year), rest))?,
        GENERALIZED_TIME => text.split_at_checked(4).map(|(year, rest)| (year.parse().ok(), rest))?,
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year?, Month::try_from(part(0)?).ok()?, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok().filter(|_| rest.len() == 10)?;
    Some(OffsetDateTime::new_utc(date, time).unix_timestamp().saturating_mul(1000))
}

fn century(year: &str) -> Option<i32> {
    let year = year.parse::<i32>().ok()?;
    Some(if year < 50 { 2000 + year } else { 1900 + year })
}

fn common_name(subject: &[u8]) -> Option<String> {
    let attributes = Elements(subject).filter(|(tag, _)| *tag == SET).flat_map(|(_, set)| Elements(set));
    let names = attributes.filter_map(|(_, attribute)| {
        let mut parts = Elements(attribute);
        let (kind, (tag, value)) = (parts.next()?, parts.next()?);
        (kind == (OID, COMMON_NAME) && STRINGS.contains(&tag)).then(|| text(value)).flatten()
    });
    names.last()
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let (_, extension) = Elements(extensions).find(|(_, one)| Elements(one).next() == Some((OID, SUBJECT_ALT_NAME)))?;
    let (_, wrapped) = Elements(extension).find(|(tag, _)| *tag == OCTETS)?;
    let names = Elements(inside(wrapped, SEQUENCE)?).filter(|(tag, _)| GENERAL_NAMES.contains(tag));
    Some(names.filter_map(|(_, name)| text(name)).collect())
}

/// A name that may stand in a log and in a rule.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

fn inside(der: &[u8], wanted: u8) -> Option<&[u8]> {
    Elements(der).next().filter(|(tag, _)| *tag == wanted).map(|(_, contents)| contents)
}

/// Tag and contents of each element, up to the first that is broken.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [tag, length, rest @ ..] = self.0 else { return None };
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
                (bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, contents))
    }
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
    fn names_of_subject_and_alternatives_are_read_and_its_end() {
        let names = ClientCertificate::parse(&boiler());
        assert_eq!(names.identity(), Some("boiler-7"));
        assert_eq!(names.alternative_names, ["boiler.plant", "spiffe://plant/boiler", "b@plant"]);
        assert_eq!(names.expires, 4_949_149_506_000);
        let nameless = ClientCertificate { common_name: None, ..names };
        assert_eq!(nameless.identity(), Some("boiler.plant"));
    }

    #[test]
    fn its_end_is_read_in_both_ways_to_write_it() {
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
        for (kind, text, read) in cases {
            assert_eq!(instant(kind, text), read, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(ClientCertificate::parse(b"none").expires, 0);
    }

    #[test]
    fn a_name_with_control_characters_is_none() {
        assert_eq!(text(b"admin\0.evil"), None);
        assert_eq!(text(b"admin\n"), None);
        assert_eq!(text(b""), None);
        assert_eq!(text(&[0xff]), None);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_it_ends(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = ClientCertificate::parse(&bytes);
        }

        #[test]
        fn a_damaged_certificate_does_no_harm(at in 0..400usize, byte in any::<u8>(), cut in 0..600usize) {
            let mut damaged = boiler();
            let at = at % damaged.len();
            damaged[at] = byte;
            damaged.truncate(cut);
            let _ = ClientCertificate::parse(&damaged);
        }
    }
}
