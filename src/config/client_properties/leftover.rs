//! Properties that nothing here reads.

use super::Protocol;
use std::collections::BTreeMap;

/// Of security, and without a meaning here: either they change nothing, or there is nothing to change. Many are for
/// brokers, which have the same names.
const MEANINGLESS: [&str; 34] = [
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

/// What would narrow TLS, or put another login in the place of ours.
struct Unhonoured {
    name: &'static str,
    /// How values begin that change nothing, besides the empty one.
    harmless: &'static [&'static str],
    why: &'static str,
}

const fn unhonoured(name: &'static str, harmless: &'static [&'static str], why: &'static str) -> Unhonoured {
    Unhonoured { name, harmless, why }
}

const CHOSEN: &str = "TLS chooses among what is held safe";
const NO_JAVA: &str = "no Java is run here";
const OTHER_CRYPTOGRAPHY: &str = "the bridge brings its own cryptography";
const OTHER_GRANT: &str =
    "a token is had by clientId and clientSecret, or from a file:///… that something else keeps fresh";
/// Those of Kafka itself do what is done here.
const KAFKAS_OWN: &[&str] = &["org.apache.kafka."];

const UNHONOURED: [Unhonoured; 15] = [
    unhonoured("ssl.cipher.suites", &[], CHOSEN),
    unhonoured("ssl.curves.list", &[], CHOSEN),
    unhonoured("ssl.sigalgs.list", &[], CHOSEN),
    unhonoured("ssl.crl.location", &[], "lists of revoked certificates are not read"),
    unhonoured("ssl.engine.factory.class", KAFKAS_OWN, NO_JAVA),
    unhonoured("ssl.engine.location", &[], OTHER_CRYPTOGRAPHY),
    unhonoured("ssl.providers", &[], OTHER_CRYPTOGRAPHY),
    unhonoured("sasl.client.callback.handler.class", KAFKAS_OWN, NO_JAVA),
    unhonoured("sasl.login.callback.handler.class", KAFKAS_OWN, NO_JAVA),
    unhonoured("sasl.login.class", KAFKAS_OWN, NO_JAVA),
    unhonoured(
        "sasl.oauthbearer.jwt.retriever.class",
        &[
            "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
            "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever",
            "org.apache.kafka.common.security.oauthbearer.FileJwtRetriever",
        ],
        OTHER_GRANT,
    ),
    unhonoured("sasl.oauthbearer.jwt.validator.class", KAFKAS_OWN, NO_JAVA),
    unhonoured("sasl.oauthbearer.config", &[], OTHER_GRANT),
    unhonoured("sasl.oauthbearer.grant.type", &["client_credentials"], OTHER_GRANT),
    unhonoured("sasl.oauthbearer.metadata.authentication.type", &["none"], OTHER_GRANT),
];
/// Of all that begins with it, as of [`Unhonoured`].
const ASSERTION: &str = "sasl.oauthbearer.assertion.";

/// What is read where it means something; and what a misspelt name should have been.
const READ: [&str; 31] = [
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

/// A line for the log about what is left aside. A name of security that Kafka does not know is an error: misspelt, it
/// would leave something open; and so is what would be left open by not doing it.
pub fn judge(left: BTreeMap<String, String>, protocol: Protocol) -> Result<Option<String>, String> {
    let mut aside = Vec::new();
    for (name, value) in left {
        if ["ssl.", "sasl.", "security."].iter().any(|kind| name.starts_with(kind)) {
            judge_one(&name, value.trim(), protocol)?;
        }
        aside.push(name);
    }
    let line = "left aside, since they mean nothing to the bridge";
    Ok((!aside.is_empty()).then(|| format!("{line}: {}", aside.join(", "))))
}

fn judge_one(name: &str, value: &str, protocol: Protocol) -> Result<(), String> {
    let why = match UNHONOURED.iter().find(|unhonoured| unhonoured.name == name) {
        Some(unhonoured) if unhonoured.harmless.iter().any(|harmless| value.starts_with(harmless)) => return Ok(()),
        Some(unhonoured) => unhonoured.why,
        None if name.starts_with(ASSERTION) => OTHER_GRANT,
        None if MEANINGLESS.contains(&name) || READ.contains(&name) => return Ok(()),
        None => {
            let near = READ.iter().min_by_key(|read| distance(name, read)).filter(|read| distance(name, read) < 4);
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(format!("there is no property {name}{hint}"));
        }
    };
    let means_something = if name.starts_with("ssl.") { protocol.has_tls() } else { protocol.has_sasl() };
    match means_something && !value.is_empty() {
        true => Err(format!("{name} is not done here: {why}; leave it out where that will do")),
        false => Ok(()),
    }
}

/// How many letters must be typed otherwise (Levenshtein).
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

    fn judged(names: &[&str]) -> Result<Option<String>, String> {
        judge(names.iter().map(|&name| (name.to_owned(), "x".to_owned())).collect(), Protocol::SaslSsl)
    }

    #[test]
    fn what_means_nothing_is_named_in_one_line() {
        assert_eq!(judged(&[]), Ok(None));
        let line = judged(&["acks", "group.id", "sasl.kerberos.service.name", "ssl.protocol"]).unwrap().unwrap();
        assert!(line.ends_with(": acks, group.id, sasl.kerberos.service.name, ssl.protocol"), "{line}");
    }

    #[test]
    fn a_misspelt_name_of_security_is_refused_with_the_right_one() {
        for (wrong, right) in [
            ("sasl.mechansim", "sasl.mechanism"),
            ("ssl.truststore.locaton", "ssl.truststore.location"),
            ("security.protocl", "security.protocol"),
            ("sasl.oauthbearer.scpoe", "sasl.oauthbearer.scope"),
            ("sasl.oauthbearer.token.endpoint.ur1", "sasl.oauthbearer.token.endpoint.url"),
        ] {
            assert_eq!(judged(&[wrong]), Err(format!("there is no property {wrong}; did you mean {right}?")));
        }
        assert_eq!(
            judged(&["ssl.verify.nothing.at.all"]),
            Err("there is no property ssl.verify.nothing.at.all".into())
        );
    }

    #[test]
    fn what_would_be_left_open_by_not_doing_it_is_refused() {
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
        for (name, value, refused_with) in cases {
            let judged = |protocol| judge([(name.to_owned(), value.to_owned())].into(), protocol);
            for protocol in [Protocol::Plaintext, Protocol::Ssl, Protocol::SaslPlaintext, Protocol::SaslSsl] {
                let is_refused = refused_with.is_some_and(|with| with == protocol || protocol == Protocol::SaslSsl);
                assert_eq!(judged(protocol).is_err(), is_refused, "{name}={value} with {protocol:?}");
            }
        }
    }

    #[test]
    fn letters_typed_otherwise_are_counted() {
        for (one, other, count) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(one, other), count, "{one} {other}");
        }
    }
}
