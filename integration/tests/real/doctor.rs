//! `curlew doctor` on problems between a client and Kafka.

use crate::bridge;
use curlew_integration::bridge::run;
use curlew_integration::free_port;
use curlew_integration::kafka::{Kafka, Options};
use curlew_integration::proxy::CountingProxy;
use curlew_integration::secured::{BOB, Listener, Secured};
use serde_json::Value;
use std::net::TcpListener;

/// The findings and the exit code.
struct DoctorRun {
    lines: Vec<String>,
    code: Option<i32>,
}

impl DoctorRun {
    fn new(arguments: &[&str]) -> Self {
        let output = run(&[&["doctor", "--timeout", "3s"], arguments].concat());
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        Self { lines: text.lines().map(str::to_owned).collect(), code: output.status.code() }
    }

    /// Returns the first line of `step`.
    #[track_caller]
    fn line(&self, step: &str) -> &str {
        let line = self.lines.iter().find(|line| line.split_whitespace().nth(1) == Some(step));
        line.unwrap_or_else(|| panic!("nothing about {step} in\n{}", self.lines.join("\n")))
    }

    /// Asserts that `step` failed first, and that the steps that depend on it were skipped.
    #[track_caller]
    fn fails_at(&self, step: &str, words: &[&str]) {
        let first = self.lines.iter().find(|line| line.starts_with("failed")).map(String::as_str);
        assert_eq!(first, Some(self.line(step)), "{}", self.lines.join("\n"));
        for word in words {
            assert!(self.line(step).contains(word), "{word} is not in {}", self.line(step));
        }
        assert_eq!(self.code, Some(1));
    }
}

#[test]
fn a_working_cluster_has_no_failed_step() {
    for kafka in [Kafka::shared(), Kafka::shared_old()] {
        let topic = kafka.fresh("doctor", 1);
        let doctor = DoctorRun::new(&["--kafka", &kafka.bootstrap(), "--topic", &topic]);
        assert_eq!(doctor.code, Some(0), "{}", doctor.lines.join("\n"));
        let all: Vec<&str> = doctor.lines.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
        let expected = [
            "name",
            "tcp",
            "tls",
            "api-versions",
            "sasl",
            "metadata",
            "advertised-listeners",
            "topics",
            "producing",
            "auto-creation",
            "producer-expiry",
            "clock",
        ];
        assert_eq!(all, expected);
        for (step, words) in [
            ("api-versions", "driver wire"),
            ("topics", "all may be read and written"),
            ("auto-creation", "auto.create.topics.enable=true"),
            ("producer-expiry", "longer than any retry"),
            ("clock", "the controller (±"),
        ] {
            assert!(doctor.line(step).starts_with("ok") && doctor.line(step).contains(words), "{}", doctor.line(step));
        }
    }
}

#[test]
fn the_json_output_says_the_same() {
    let output = run(&["doctor", "--json", "--kafka", &Kafka::shared().bootstrap(), "--topic", "no-such-topic"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["ok"], false);
    let topics = report["findings"].as_array().expect("list").iter().find(|f| f["step"] == "topics").expect("topics");
    assert_eq!(topics["outcome"], "failed");
    assert!(topics["remedy"].as_str().expect("text").contains("kafka-topics --create"), "{topics}");
}

#[test]
fn an_unreachable_advertised_listener_is_named_with_the_setting_to_change() {
    let kafka = Kafka::start(Options { proxied: true, id: "b3RoZXItY2x1c3Rlci0xMg", ..Options::default() });
    let proxied = kafka.proxied()[0];
    let upstream = format!("127.0.0.1:{}", proxied.upstream);
    let nowhere = DoctorRun::new(&["--kafka", &upstream]);
    nowhere.fails_at(
        "advertised-listeners",
        &[
            &format!("broker 1 sends clients to 127.0.0.1:{}", proxied.listen),
            "refused",
            &format!("set advertised.listeners=PLAINTEXT://{upstream}"),
        ],
    );
    // A worse form of the classic mistake: another server listens there.
    let own = Kafka::shared().bootstrap();
    let port = own.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let _proxy = CountingProxy::start(proxied.listen, port);
    let elsewhere = DoctorRun::new(&["--kafka", &upstream]);
    elsewhere.fails_at("advertised-listeners", &["another cluster answers"]);
}

#[test]
fn a_server_that_is_not_kafka_fails_at_the_step_that_detects_it() {
    let closed = format!("127.0.0.1:{}", free_port());
    DoctorRun::new(&["--kafka", &closed]).fails_at("tcp", &["refused", "nothing listens there"]);
    let http = format!("127.0.0.1:{}", bridge().port);
    DoctorRun::new(&["--kafka", &http]).fails_at("api-versions", &["speaks HTTP", "9092"]);
    DoctorRun::new(&["--kafka", "no-such-host.invalid:9092"]).fails_at("name", &["cannot be resolved", "DNS"]);
    // The system accepts connections for it, but nothing responds.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("address").to_string();
    DoctorRun::new(&["--kafka", &address]).fails_at("api-versions", &["no answer in time", "TLS"]);
}

#[test]
fn one_reachable_address_of_several_is_enough() {
    let closed = format!("127.0.0.1:{}", free_port());
    let doctor = DoctorRun::new(&["--kafka", &format!("{closed},{}", Kafka::shared().bootstrap())]);
    doctor.fails_at("tcp", &[&closed]);
    assert!(doctor.line("metadata").starts_with("ok"), "{}", doctor.lines.join("\n"));
}

#[test]
fn an_unsuitable_driver_is_reported() {
    let kafka = Kafka::shared().bootstrap();
    DoctorRun::new(&["--kafka", &kafka, "--driver", "crate"]).fails_at("api-versions", &["only what is older"]);
    let old = DoctorRun::new(&["--kafka", &Kafka::shared_old().bootstrap(), "--driver", "crate"]);
    assert_eq!(old.code, Some(0), "{}", old.lines.join("\n"));
    assert!(old.line("metadata").contains("by the old protocol"), "{}", old.line("metadata"));
}

#[test]
fn tls_credentials_and_acls_each_fail_at_a_separate_step() {
    let kafka = Secured::start();
    let (mine, others) = (kafka.fresh("mine", 1), kafka.fresh("others", 1));
    kafka.allow("User:bob", "READ", &mine);
    kafka.allow("User:bob", "WRITE", &mine);
    kafka.allow("User:bob", "READ", &others);
    let doctor = |config: &str, topic: &str| DoctorRun::new(&["--kafka-config", config, "--topic", topic]);

    let bob = kafka.client_of(Listener::SaslTls, "SCRAM-SHA-512", BOB);
    let fine = doctor(&bob, &mine);
    for (step, words) in [("tls", "is trusted"), ("sasl", "SCRAM-SHA-512 as User:bob"), ("topics", "read and written")]
    {
        assert!(fine.line(step).starts_with("ok") && fine.line(step).contains(words), "{}", fine.lines.join("\n"));
    }
    assert_eq!(fine.code, Some(0), "{}", fine.lines.join("\n"));
    let rule = format!("--allow-principal User:bob --operation Write --topic {others}");
    doctor(&bob, &others).fails_at("topics", &["may not be written", &rule]);

    let stranger = kafka.client_of(Listener::SaslTls, "SCRAM-SHA-512", ("bob", "wrong"));
    doctor(&stranger, &mine).fails_at("sasl", &["sasl.jaas.config"]);
    let other_ca = format!("ssl.truststore.location={}", kafka.file("other-ca.pem"));
    let distrusts = kafka.client(Listener::Tls, &["ssl.truststore.type=PEM", &other_ca]);
    doctor(&distrusts, &mine).fails_at("tls", &["ssl.truststore.location"]);
    doctor(&kafka.client(Listener::Elsewhere, &[]), &mine).fails_at("tls", &["127.0.0.1"]);
    doctor(&kafka.client(Listener::Mutual, &[]), &mine).fails_at("tls", &["ssl.keystore"]);
    // The settings do not say that the listener uses TLS.
    DoctorRun::new(&["--kafka", &kafka.address(Listener::Tls)]).fails_at("api-versions", &["TLS"]);
}
