//! Properties that the bridge does not support, and either ignores or rejects.

use super::Protocol;
use super::error::PropertyError;
use std::collections::BTreeMap;

/// Security properties that have no effect on the bridge and are ignored. Many are for brokers, which share the names.
const IGNORED: [&str; 34] = [
    "security.providers",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "sasl.login.connect.timeout.ms",
    "sasl.login.read.timeout.ms",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "sasl.login.retry.backoff.ms",
    "sasl.login.retry.backoff.max.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.oauthbearer.allow.unverified.audience",
    "sasl.oauthbearer.allow.unverified.issuer",
    "sasl.oauthbearer.clock.skew.seconds",
    "sasl.oauthbearer.expected.audience",
    "sasl.oauthbearer.expected.issuer",
    "sasl.oauthbearer.header.urlencode",
    "sasl.oauthbearer.jwks.endpoint.refresh.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
    "sasl.oauthbearer.jwks.endpoint.url",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope.claim.name",
    "sasl.oauthbearer.sub.claim.name",
];

/// A property that restricts TLS or replaces the login. Ignoring it would weaken security.
struct Unsupported {
    name: &'static str,
    /// Prefixes of values that have no effect. The empty value has no effect either.
    harmless: &'static [&'static str],
    reason: &'static str,
}

const fn unsupported(name: &'static str, harmless: &'static [&'static str], reason: &'static str) -> Unsupported {
    Unsupported { name, harmless, reason }
}

const CHOSEN: &str = "TLS negotiates secure parameters itself";
const NO_JAVA: &str = "the bridge does not run Java";
const OTHER_CRYPTOGRAPHY: &str = "the bridge has built-in cryptography";
const OTHER_GRANT: &str =
    "tokens are obtained with clientId and clientSecret, or from a file:///… that another program keeps current";
/// Kafka's classes do the same as the bridge.
const KAFKAS_OWN: &[&str] = &["org.apache.kafka."];

const UNSUPPORTED: [Unsupported; 15] = [
    unsupported("ssl.cipher.suites", &[], CHOSEN),
    unsupported("ssl.curves.list", &[], CHOSEN),
    unsupported("ssl.sigalgs.list", &[], CHOSEN),
    unsupported("ssl.crl.location", &[], "certificate revocation lists are not supported"),
    unsupported("ssl.engine.factory.class", KAFKAS_OWN, NO_JAVA),
    unsupported("ssl.engine.location", &[], OTHER_CRYPTOGRAPHY),
    unsupported("ssl.providers", &[], OTHER_CRYPTOGRAPHY),
    unsupported("sasl.client.callback.handler.class", KAFKAS_OWN, NO_JAVA),
    unsupported("sasl.login.callback.handler.class", KAFKAS_OWN, NO_JAVA),
    unsupported("sasl.login.class", KAFKAS_OWN, NO_JAVA),
    unsupported(
        "sasl.oauthbearer.jwt.retriever.class",
        &[
            "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
            "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever",
            "org.apache.kafka.common.security.oauthbearer.FileJwtRetriever",
        ],
        OTHER_GRANT,
    ),
    unsupported("sasl.oauthbearer.jwt.validator.class", KAFKAS_OWN, NO_JAVA),
    unsupported("sasl.oauthbearer.config", &[], OTHER_GRANT),
    unsupported("sasl.oauthbearer.grant.type", &["client_credentials"], OTHER_GRANT),
    unsupported("sasl.oauthbearer.metadata.authentication.type", &["none"], OTHER_GRANT),
];
/// Properties with this prefix are [`Unsupported`] too.
const ASSERTION: &str = "sasl.oauthbearer.assertion.";

/// Supported properties, which the protocol in use may ignore. Also the suggestions for misspelt names.
const SUPPORTED: [&str; 31] = [
    "security.protocol",
    "ssl.truststore.location",
    "ssl.truststore.certificates",
    "ssl.truststore.type",
    "ssl.truststore.password",
    "ssl.keystore.location",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.type",
    "ssl.keystore.password",
    "ssl.key.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.enabled.protocols",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.jaas.config",
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.extensions",
];

/// Returns a line for the log about ignored properties.
///
/// Rejects unknown security properties, since a misspelt one would leave a connection insecure, and [`Unsupported`] ones.
pub fn check_unread(unread: BTreeMap<String, String>, protocol: Protocol) -> Result<Option<String>, PropertyError> {
    let mut ignored = Vec::new();
    for (name, value) in unread {
        if ["ssl.", "sasl.", "security."].iter().any(|kind| name.starts_with(kind)) {
            check_one(&name, value.trim(), protocol)?;
        }
        ignored.push(name);
    }
    let line = "ignored, since they have no effect on the bridge";
    Ok((!ignored.is_empty()).then(|| format!("{line}: {}", ignored.join(", "))))
}

fn check_one(name: &str, value: &str, protocol: Protocol) -> Result<(), PropertyError> {
    let reason = match UNSUPPORTED.iter().find(|unsupported| unsupported.name == name) {
        Some(unsupported) if unsupported.harmless.iter().any(|harmless| value.starts_with(harmless)) => return Ok(()),
        Some(unsupported) => unsupported.reason,
        None if name.starts_with(ASSERTION) => OTHER_GRANT,
        None if IGNORED.contains(&name) || SUPPORTED.contains(&name) => return Ok(()),
        None => {
            let nearest = SUPPORTED.into_iter().min_by_key(|supported| distance(name, supported));
            let similar = nearest.filter(|nearest| distance(name, nearest) < 4);
            return Err(PropertyError::Unknown { name: name.to_owned(), similar });
        }
    };
    let is_used = if name.starts_with("ssl.") { protocol.has_tls() } else { protocol.has_sasl() };
    match is_used && !value.is_empty() {
        true => Err(PropertyError::Unsupported { name: name.to_owned(), reason }),
        false => Ok(()),
    }
}

/// Returns the Levenshtein distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b, above) in other.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(a != *b)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn checked(names: &[&str]) -> Result<Option<String>, String> {
        let unread = names.iter().map(|&name| (name.to_owned(), "x".to_owned())).collect();
        check_unread(unread, Protocol::SaslSsl).map_err(|error| error.to_string())
    }

    #[test]
    fn ignored_properties_are_listed_in_one_line() {
        assert_eq!(checked(&[]), Ok(None));
        let line = checked(&["acks", "group.id", "sasl.kerberos.service.name", "ssl.protocol"]).unwrap().unwrap();
        assert!(line.ends_with(": acks, group.id, sasl.kerberos.service.name, ssl.protocol"), "{line}");
    }

    #[test]
    fn a_misspelt_security_property_is_rejected_with_a_suggestion() {
        for (wrong, right) in [
            ("sasl.mechansim", "sasl.mechanism"),
            ("ssl.truststore.locaton", "ssl.truststore.location"),
            ("security.protocl", "security.protocol"),
            ("sasl.oauthbearer.scpoe", "sasl.oauthbearer.scope"),
            ("sasl.oauthbearer.token.endpoint.ur1", "sasl.oauthbearer.token.endpoint.url"),
        ] {
            assert_eq!(checked(&[wrong]), Err(format!("there is no property {wrong}; did you mean {right}?")));
        }
        assert_eq!(
            checked(&["ssl.verify.nothing.at.all"]),
            Err("there is no property ssl.verify.nothing.at.all".into())
        );
    }

    #[test]
    fn properties_whose_omission_weakens_security_are_rejected() {
        let kafkas = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";
        let cases = [
            ("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256", Some(Protocol::Ssl)),
            ("ssl.cipher.suites", " ", None),
            ("ssl.engine.factory.class", "com.example.Engine", Some(Protocol::Ssl)),
            ("ssl.engine.factory.class", "org.apache.kafka.common.security.ssl.DefaultSslEngineFactory", None),
            ("sasl.login.callback.handler.class", "com.example.Vault", Some(Protocol::SaslPlaintext)),
            ("sasl.login.callback.handler.class", kafkas, None),
            (
                "sasl.oauthbearer.jwt.retriever.class",
                "org.apache.kafka.common.security.oauthbearer.JwtBearerJwtRetriever",
                Some(Protocol::SaslPlaintext),
            ),
            ("sasl.oauthbearer.assertion.claim.iss", "me", Some(Protocol::SaslPlaintext)),
            ("sasl.oauthbearer.grant.type", "client_credentials", None),
        ];
        for (name, value, rejected_with) in cases {
            let checked = |protocol| check_unread([(name.to_owned(), value.to_owned())].into(), protocol);
            for protocol in [Protocol::Plaintext, Protocol::Ssl, Protocol::SaslPlaintext, Protocol::SaslSsl] {
                let is_rejected = rejected_with.is_some_and(|with| with == protocol || protocol == Protocol::SaslSsl);
                assert_eq!(checked(protocol).is_err(), is_rejected, "{name}={value} with {protocol:?}");
            }
        }
    }

    #[test]
    fn the_distance_counts_edits() {
        for (one, other, count) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(one, other), count, "{one} {other}");
        }
    }
}
