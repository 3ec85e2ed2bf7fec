#![allow(clippy::unwrap_used)]
use super::*;
use crate::embedded::testing::TempDir;
use crate::kafka::security::Sasl;
use proptest::prelude::*;

/// Writes a file and returns its path.
fn write(dir: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A CA that has signed nothing.
const CA: &str = include_str!("ca.pem");

const SCRAM: &str = r#"
bootstrap.servers=SASL_PLAINTEXT://kafka1:9093, kafka2:9093
client.id=bridge
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
  username="alice" \
  password="hunter2";
acks=all
group.id=readers
"#;

#[test]
fn common_properties_are_read() {
    let read = parse(SCRAM).unwrap();
    assert_eq!(read.bootstrap, ["kafka1:9093", "kafka2:9093"]);
    assert_eq!(read.client_id.as_deref(), Some("bridge"));
    assert_eq!(read.security.describe(), "SASL_PLAINTEXT SCRAM-SHA-512");
    assert_eq!(read.security.principal().as_deref(), Some("User:alice"));
    let [unwise, aside] = &read.notes[..] else { panic!("{:?}", read.notes) };
    assert!(unwise.contains("unencrypted") && aside.ends_with(": acks, group.id"), "{:?}", read.notes);
}

#[test]
fn every_mechanism_is_read_by_both_names() {
    let endpoint = "sasl.oauthbearer.token.endpoint.url";
    let cases = [
        ("PLAIN", r#"sasl.jaas.config=a.PlainLoginModule required username="alice" password="hunter2";"#.to_owned()),
        ("PLAIN", "sasl.username=alice\nsasl.password=hunter2".to_owned()),
        ("SCRAM-SHA-256", "sasl.username=alice\nsasl.password=hunter2".to_owned()),
        ("OAUTHBEARER", format!("{endpoint}=file:///run/token")),
        (
            "OAUTHBEARER",
            format!(
                "{endpoint}=http://127.0.0.1:1/token\nsasl.jaas.config=a.OAuthBearerLoginModule required \
                 clientId=\"alice\" clientSecret=\"hunter2\" scope=\"kafka\" extension_logicalCluster=\"lkc-1\";"
            ),
        ),
        (
            "OAUTHBEARER",
            format!(
                "{endpoint}=http://127.0.0.1:1/token\nsasl.oauthbearer.client.id=alice\n\
                 sasl.oauthbearer.client.secret=hunter2\nsasl.oauthbearer.method=oidc"
            ),
        ),
    ];
    for (mechanism, lines) in cases {
        for name in ["sasl.mechanism", "sasl.mechanisms"] {
            let text = format!("security.protocol=sasl_plaintext\n{name}={mechanism}\n{lines}");
            let read = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(read.security.sasl.as_ref().unwrap().mechanism(), mechanism);
            assert!(!format!("{read:?}").contains("hunter2"), "{read:?}");
        }
    }
}

#[test]
fn extensions_are_sent_with_a_token() {
    let text = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n\
                sasl.oauthbearer.token.endpoint.url=file:/run/token\nsasl.oauthbearer.extensions=a=1\n\
                sasl.jaas.config=OAuthBearerLoginModule required extension_b=\"2\";";
    let security = parse(text).unwrap().security;
    let Some(Sasl::OAuthBearer { extensions, .. }) = security.sasl.as_deref() else { panic!("{security:?}") };
    assert_eq!(extensions, &[("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
}

#[test]
fn a_delegation_token_names_no_user() {
    for is_one in ["true", "TRUE"] {
        let text = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config=ScramLoginModule required \
             username=\"id\" password=\"hunter2\" tokenauth=\"{is_one}\";"
        );
        let security = parse(&text).unwrap().security;
        assert_eq!(security.principal(), None);
        let why = security.sasl.unwrap().rejected(Some("no such token".to_owned()), None).to_string();
        assert!(why.contains("delegation token \"id\"") && !why.contains("User:"), "{why}");
    }
}

#[test]
fn an_unencrypted_token_endpoint_is_noted() {
    let cases = [
        ("http://idp.example/token", true),
        ("http://10.0.0.1:8080/token", true),
        ("http://localhost:8080/token", false),
        ("http://[::1]/token", false),
        ("https://idp.example/token", false),
        ("file:///run/token", false),
    ];
    for (url, is_noted) in cases {
        let text = format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url={url}\n\
             sasl.oauthbearer.client.id=alice\nsasl.oauthbearer.client.secret=hunter2\nssl.truststore.certificates={}",
            CA.trim().replace('\n', " ")
        );
        let notes = parse(&text).unwrap().notes;
        assert_eq!(notes.iter().any(|note| note.contains("go unencrypted")), is_noted, "{url}: {notes:?}");
    }
}

#[test]
fn a_truststore_is_pem_in_a_file_or_a_property() {
    let dir = TempDir::new();
    let file = write(&dir, "ca.pem", CA);
    let blanks = CA.trim().replace('\n', " ");
    let continued = CA.trim().replace('\n', " \\\n  ");
    for lines in [
        format!("ssl.truststore.location={file}\nssl.truststore.type=PEM"),
        format!("ssl.truststore.location={file}\nssl.truststore.password=hunter2"),
        format!("ssl.ca.location={file}"),
        format!("ssl.truststore.certificates={blanks}\nssl.truststore.type=PEM"),
        format!("ssl.truststore.certificates={continued}"),
    ] {
        let read = parse(&format!("security.protocol=SSL\n{lines}")).unwrap_or_else(|e| panic!("{lines}: {e}"));
        assert!(read.security.tls.is_some() && read.notes.is_empty(), "{lines}: {read:?}");
    }
}

#[test]
fn unsupported_properties_are_rejected_with_a_remedy() {
    let dir = TempDir::new();
    let jks = write(&dir, "trust.jks", [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]);
    let pkcs12 = write(&dir, "key.p12", [0x30, 0x82, 4, 1]);
    let der = write(&dir, "nothing.pem", "certificate");
    let sasl = |mechanism: &str, jaas: &str| {
        format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\nsasl.jaas.config={jaas}")
    };
    let plain = "PlainLoginModule required username=\"alice\" password=\"hunter2\";";
    let cases = [
        (format!("security.protocol=SSL\nssl.truststore.location={jks}"), "keytool -list -rfc -keystore"),
        (format!("security.protocol=SSL\nssl.keystore.location={pkcs12}"), "openssl pkcs12 -in"),
        (format!("security.protocol=SSL\nssl.truststore.location={der}"), "holds no PEM"),
        ("security.protocol=SSL\nssl.truststore.location=/no/such/file".to_owned(), "cannot be read"),
        (format!("security.protocol=SSL\nssl.keystore.certificate.chain={}", CA.replace('\n', " ")), "no private key"),
        ("security.protocol=SSL\nssl.endpoint.identification.algorithm=ldaps".to_owned(), "https"),
        ("security.protocol=SSL\nssl.enabled.protocols=TLSv1.1".to_owned(), "TLSv1.3"),
        ("security.protocol=SSL\nenable.ssl.certificate.verification=false".to_owned(), "ssl.ca.location"),
        ("security.protocol=TLS".to_owned(), "SASL_SSL"),
        ("sasl.mechanism=PLAIN".to_owned(), "no security.protocol"),
        (sasl("GSSAPI", "com.sun.security.auth.module.Krb5LoginModule required;"), "Kerberos"),
        (sasl("AWS_MSK_IAM", plain), "SCRAM-SHA-512"),
        (sasl("", plain), "no sasl.mechanism"),
        (sasl("SCRAM-SHA-256", plain), "ScramLoginModule"),
        (sasl("PLAIN", "PlainLoginModule required username=\"alice\";"), "password"),
        (sasl("PLAIN", "PlainLoginModule required username=\"alice\" password=\"hunter2\""), "semicolon"),
        (sasl("OAUTHBEARER", "OAuthBearerLoginModule required;"), "token.endpoint.url"),
        (sasl("OAUTHBEARER", "OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"a\";"), "file:///"),
        ("sasl.mechansim=PLAIN\nsecurity.protocol=PLAINTEXT".to_owned(), "did you mean sasl.mechanism?"),
        ("config.providers=env".to_owned(), "config.providers"),
        ("bootstrap.servers=kafka".to_owned(), "host:port"),
    ];
    for (text, words) in cases {
        let error = parse(&text).err().unwrap_or_else(|| panic!("{text} was accepted")).to_string();
        assert!(error.contains(words) && !error.contains("hunter2"), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn plaintext_ignores_the_properties_of_tls_and_sasl() {
    let read = parse("bootstrap.servers=k:1").unwrap();
    assert!(!read.security.is_on() && read.notes.is_empty());
    let left = "ssl.cipher.suites=x\nssl.truststore.location=/no/such.jks\nssl.keystore.location=/no/such.p12\n\
                sasl.mechanism=PLAIN\nsasl.jaas.config=x";
    let read = parse(&format!("security.protocol=PLAINTEXT\n{left}")).unwrap();
    assert!(!read.security.is_on());
    assert!(read.notes[0].contains("sasl.jaas.config, sasl.mechanism, ssl.cipher.suites, ssl.keystore"), "{read:?}");
    let user = "sasl.username=alice\nsasl.password=hunter2";
    let read = parse(&format!(
        "security.protocol=SASL_PLAINTEXT\nssl.truststore.location=/no/such.jks\n\
                               sasl.mechanism=PLAIN\n{user}"
    ));
    assert!(read.unwrap().security.tls.is_none());
}

#[test]
fn no_client_property_of_kafka_is_considered_misspelt() {
    // The client properties of Kafka 4.4.
    for name in include_str!("of_kafka.txt").lines() {
        let read = parse(&format!("security.protocol=PLAINTEXT\n{name}=x"));
        assert!(read.is_ok() || name == "security.protocol", "{name}: {read:?}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "(security.protocol=|SASL_SSL|PLAIN|sasl.|ssl.|mechanism|jaas.config=|[ -~\n]){0,12}") {
        let _ = parse(&text);
    }
}

#[test]
fn the_request_size_is_read_by_both_names() {
    assert_eq!(parse("").unwrap().max_request_bytes, None);
    for name in ["max.request.size", "message.max.bytes"] {
        let read = parse(&format!("{name}= 5000000 ")).unwrap();
        assert_eq!((read.max_request_bytes, read.notes.len()), (Some(5_000_000), 0), "{name}");
    }
    for wrong in ["0", "-1", "1MiB", "4294967296"] {
        let why = parse(&format!("max.request.size={wrong}")).unwrap_err().to_string();
        assert!(why.contains(wrong) && why.contains("number of bytes"), "{why}");
    }
}
