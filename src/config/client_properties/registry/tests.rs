#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::client_properties::parse;
use crate::schemas::registry::RegistrySettings;

fn registry(text: &str) -> Result<RegistryProperties, String> {
    parse(text).map(|read| read.registry).map_err(|error| error.to_string())
}

/// The values of `Authorization` for the URLs, decoded.
fn authorization(text: &str) -> Vec<Option<String>> {
    let RegistryProperties { urls, credentials, .. } = registry(text).unwrap();
    let settings = RegistrySettings { urls, credentials, tls: None, timeout: RegistrySettings::TIMEOUT };
    let sent = |url| settings.authorization(url).unwrap().map(|secret| secret.reveal().to_owned());
    settings.urls.iter().map(sent).collect()
}

const ME: &str = "Basic bWU6aHVzaA==";
const SASL: &str = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=me\nsasl.password=hush\n";

#[test]
fn the_properties_of_confluents_serializers_are_read() {
    let rows: [(&str, &[Option<&str>]); 7] = [
        ("schema.registry.url=http://a:8081, http://b:8081", &[None, None]),
        ("schema.registry.url=http://a\nbasic.auth.user.info=me:hush", &[Some(ME)]),
        (
            "schema.registry.url=http://a\nbasic.auth.credentials.source=USER_INFO\nschema.registry.basic.auth.user.info=me:hush",
            &[Some(ME)],
        ),
        ("schema.registry.url=http://me:hush@a,http://b\nbasic.auth.credentials.source=URL", &[Some(ME), None]),
        (&format!("{SASL}schema.registry.url=http://a\nbasic.auth.credentials.source=SASL_INHERIT"), &[Some(ME)]),
        ("schema.registry.url=http://a\nbearer.auth.token=t.o.k", &[Some("Bearer t.o.k")]),
        ("bootstrap.servers=kafka:9092", &[]),
    ];
    for (text, sent) in rows {
        let sent: Vec<_> = sent.iter().map(|value| value.map(str::to_owned)).collect();
        assert_eq!(authorization(text), sent, "{text}");
    }
}

#[test]
fn invalid_properties_of_the_registry_are_rejected() {
    let rows = [
        ("schema.registry.url=mock://a", "schema.registry.url: give the http or https URL"),
        ("basic.auth.user.info=hush", "must be USER:PASSWORD"),
        ("basic.auth.credentials.source=USER_INFO", "needs basic.auth.user.info"),
        ("basic.auth.credentials.source=SASL_INHERIT", "needs a sasl.mechanism"),
        ("basic.auth.credentials.source=VAULT", "\"VAULT\"; give URL, USER_INFO or SASL_INHERIT"),
        ("bearer.auth.credentials.source=STATIC_TOKEN", "needs bearer.auth.token"),
        ("bearer.auth.credentials.source=OAUTHBEARER", "--schema-registry-credentials FILE"),
        ("bearer.auth.token=two words", "is not a token"),
        (
            "schema.registry.ssl.truststore.location=/nonexistent",
            "schema.registry.ssl: ssl.truststore.location: /nonexistent",
        ),
        ("schema.registry.ssl.truststore.locaton=x", "did you mean ssl.truststore.location?"),
        ("schema.registry.ssl.endpoint.identification.algorithm=", "is always checked"),
    ];
    for (text, words) in rows {
        let error = registry(text).unwrap_err();
        assert!(error.contains(words) && !error.contains("hush"), "{text}: {error}");
    }
}

#[test]
fn files_for_https_are_read_only_for_https() {
    let ca = include_str!("../ca.pem").replace('\n', " ");
    let text = format!("schema.registry.url=https://a\nschema.registry.ssl.truststore.certificates={ca}");
    assert!(matches!(registry(&text).unwrap().trust, Some(Trust::Given(_))));
    let unused = "schema.registry.url=http://a\nschema.registry.ssl.keystore.location=/nonexistent";
    let unused = registry(unused).unwrap();
    assert!(unused.trust.is_none() && unused.tls_files == RegistryTlsProperties::Unread);
}
