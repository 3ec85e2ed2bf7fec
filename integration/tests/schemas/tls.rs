//! A schema registry behind TLS that demands a client certificate.

use curlew_integration::apicurio::Apicurio;
use curlew_integration::bridge::{Bridge, run};
use curlew_integration::eventually;
use curlew_integration::kafka::Kafka;
use curlew_integration::secured::make_certificates;
use curlew_integration::tls_front::TlsFront;
use curlew_integration::{fresh_topic, http};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

/// Apicurio behind TLS, and the certificates.
struct Guarded {
    front: TlsFront,
    files: TempDir,
}

impl Guarded {
    fn start(server: &str, version: &'static SupportedProtocolVersion) -> Self {
        let files = tempfile::tempdir().expect("directory");
        make_certificates(files.path());
        let front = TlsFront::start(Apicurio::shared().port, files.path(), server, version);
        Self { front, files }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/apis/ccompat/v7", self.front.port)
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Flags for the registry, with the given CA and client certificate.
    fn flags(&self, ca: &str, certificate: Option<&str>) -> Vec<String> {
        let mut flags =
            vec!["--schema-registry".to_owned(), self.url(), "--schema-registry-ca".to_owned(), self.file(ca)];
        flags.extend(certificate.iter().flat_map(|name| ["--schema-registry-cert".to_owned(), self.file(name)]));
        flags
    }

    /// Writes a file for `--kafka-config` with properties of Kafka and these of the registry.
    fn properties(&self, lines: &[(&str, &str)]) -> String {
        let mut text =
            format!("bootstrap.servers={}\nschema.registry.url={}\n", Kafka::shared().bootstrap(), self.url());
        for (name, file) in lines {
            text += &format!("schema.registry.ssl.{name}={}\n", self.file(file));
        }
        let path = self.file(&format!("{:08x}.properties", fastrand::u32(..)));
        std::fs::write(&path, text).expect("file");
        path
    }
}

/// Registers the schema of a topic's values, without TLS.
fn register(topic: &str) -> u32 {
    let schema = json!({"type": "record", "name": "Reading", "fields": [{"name": "t", "type": "double"}]});
    Apicurio::shared().register_avro(&format!("{topic}-value"), &schema)
}

fn write(bridge: &Bridge, topic: &str) -> http::Response {
    bridge.post(&format!("/topics/{topic}?value_schema=latest"), "application/json", r#"{"t":20.5}"#)
}

fn first(bridge: &Bridge, topic: &str) -> Value {
    let page = bridge.get(&format!("/topics/{topic}/partitions/0/records")).expect(200).json();
    page["records"][0].clone()
}

/// Runs the doctor and returns its line about the registry, and its exit code.
fn doctor(arguments: &[String]) -> (String, Option<i32>) {
    let arguments: Vec<&str> = ["doctor"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let output = run(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("schema-registry")).collect();
    let [line] = lines[..] else { panic!("{output:?}") };
    (line.to_owned(), output.status.code())
}

#[test]
fn schemas_are_fetched_with_a_client_certificate_given_by_flags() {
    for version in [&TLS13, &TLS12] {
        let (guarded, topic) = (Guarded::start("broker", version), fresh_topic("tls"));
        let id = register(&topic);
        let data = tempfile::tempdir().expect("directory");
        let flags = guarded.flags("ca.pem", Some("client.pem"));
        let options: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mut bridge = Bridge::embedded(data.path(), &options);
        write(&bridge, &topic).expect(200);
        // A bridge without schemas in its cache.
        bridge.kill_and_restart();
        let record = first(&bridge, &topic);
        assert_eq!((&record["value"], &record["schema_id"]), (&json!({"t": 20.5}), &json!(id)), "{record}");
        let data = ["--data", data.path().to_str().expect("UTF-8")].map(str::to_owned);
        drop(bridge);
        let (line, code) = doctor(&[&data[..], &flags].concat());
        assert!(line.starts_with("ok") && line.contains("accepts the credentials") && code == Some(0), "{line}");
    }
}

#[test]
fn schemas_are_fetched_with_a_client_certificate_given_by_properties() {
    let (guarded, topic) = (Guarded::start("broker", &TLS13), Kafka::shared().fresh("tls", 1));
    register(&topic);
    let ways: [&[(&str, &str)]; 2] = [
        &[("truststore.location", "ca.pem"), ("keystore.location", "client.pem")],
        &[("ca.location", "ca.pem"), ("certificate.location", "client.crt"), ("key.location", "client.key")],
    ];
    for way in ways {
        let properties = guarded.properties(way);
        let bridge = Bridge::serve(&["--kafka-config", &properties]);
        write(&bridge, &topic).expect(200);
        let record = first(&bridge, &topic);
        assert_eq!(record["value"], json!({"t": 20.5}), "{record}");
        let (line, _) = doctor(&["--kafka-config".to_owned(), properties]);
        assert!(line.starts_with("ok") && line.contains("is Apicurio 3."), "{line}");
    }
}

#[test]
fn a_handshake_that_fails_is_reported_in_one_line() {
    const UNTRUSTED: &str = "its certificate is signed by a CA that is not trusted here";
    for version in [&TLS13, &TLS12] {
        let (guarded, elsewhere) = (Guarded::start("broker", version), Guarded::start("elsewhere", version));
        let topic = fresh_topic("tls");
        register(&topic);
        let rows = [
            (&guarded, "other-ca.pem", Some("client.pem"), UNTRUSTED),
            (&guarded, "ca.pem", None, "it requires a client certificate"),
            (&guarded, "ca.pem", Some("other-ca.both.pem"), "it requires a client certificate that it trusts"),
            (&elsewhere, "ca.pem", Some("client.pem"), "kafka.elsewhere.example"),
        ];
        for (registry, ca, certificate, words) in rows {
            let read = |name: &str| std::fs::read_to_string(registry.file(name)).expect("made before");
            std::fs::write(registry.file("other-ca.both.pem"), read("other-ca.pem") + &read("other-ca.key"))
                .expect("file");
            let data = tempfile::tempdir().expect("directory");
            let flags = registry.flags(ca, certificate);
            let as_data = ["--data", data.path().to_str().expect("UTF-8")].map(str::to_owned);
            let (line, code) = doctor(&[&as_data[..], &flags].concat());
            assert!(line.starts_with("failed") && line.contains(words) && code == Some(1), "{words}: {line}");
            assert!(line.contains("schema-registry-ca and schema-registry-cert"), "{line}");

            let options: Vec<&str> = flags.iter().map(String::as_str).collect();
            let bridge = Bridge::embedded(data.path(), &options);
            let refused = write(&bridge, &topic).expect(503).text();
            assert!(refused.contains(words), "{words}: {refused}");
            bridge.post(&format!("/topics/{topic}"), "application/octet-stream", [0, 0, 0, 0, 9, 1]).expect(200);
            eventually("the reason is shown with the record", SOON, || match first(&bridge, &topic) {
                record if record["schema_error"].as_str().is_some_and(|why| why.contains(words)) => Ok(()),
                record => Err(record.to_string()),
            });
            bridge.get("/ready").expect(200);
            let log = bridge.log();
            let lines: Vec<&str> =
                log.lines().filter(|line| line.contains("[curlew::schemas::registry::client]")).collect();
            assert!(matches!(lines[..], [line] if line.contains(words)), "{words}: {log}");
        }
    }
}
