//! Kafka with TLS, SASL and ACLs.

use crate::SOON;
use curlew_integration::bridge::{Bridge, run, run_with_input};
use curlew_integration::follow::{Follower, Numbered};
use curlew_integration::process::Process;
use curlew_integration::secured::{ALICE, BOB, Listener, REAUTHENTICATE, Secured, token};
use curlew_integration::{eventually, file, http};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

fn kafka() -> &'static Secured {
    static SHARED: OnceLock<Secured> = OnceLock::new();
    SHARED.get_or_init(Secured::start)
}

fn bridge(config: &str) -> Bridge {
    Bridge::serve(&["--kafka-config", config])
}

/// Writes a record and reads it back.
#[track_caller]
fn write_and_read(bridge: &Bridge, topic: &str, value: &str) {
    bridge.post(&format!("/topics/{topic}"), "text/plain", value).expect(200);
    let page = bridge.get(&format!("/topics/{topic}/partitions/0/records")).expect(200).json();
    let records = page["records"].as_array().expect("records");
    assert!(records.iter().any(|record| record["value"] == value), "{page}");
}

/// An authorization server that issues `token` to alice, `times` times.
fn authorization_server(token: String, times: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/token", listener.local_addr().expect("address"));
    let serving = std::thread::spawn(move || {
        let answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).to_string();
        let mut requests = Vec::new();
        for mut client in listener.incoming().take(times).map(|client| client.expect("a client")) {
            let mut reader = BufReader::new(client.try_clone().expect("clone"));
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
                if line.trim().is_empty() {
                    break;
                }
                head += &line;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            requests.push(head + &String::from_utf8_lossy(&body));
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}", answer.len());
            write!(client, "{head}\r\nConnection: close\r\n\r\n{answer}").expect("answer");
        }
        requests
    });
    (url, serving)
}

#[test]
fn records_are_written_and_read_with_each_authentication_method() {
    let kafka = kafka();
    let topic = kafka.fresh("ways", 1);
    let token_file = kafka.write("alice.token", &token("alice", 600));
    let by_token =
        |url: &str| vec!["sasl.mechanism=OAUTHBEARER".to_owned(), format!("sasl.oauthbearer.token.endpoint.url={url}")];
    let (url, serving) = authorization_server(token("alice", 3600), 1);
    let mut of_server = by_token(&url);
    of_server.push(
        "sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
         clientId=\"alice\" clientSecret=\"alice-secret\" scope=\"kafka all\";"
            .to_owned(),
    );
    let lines = |lines: &[String]| lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    let client_certificate = format!("ssl.keystore.type=PEM\nssl.keystore.location={}", kafka.file("client.pem"));
    let ways = [
        ("SSL", kafka.client(Listener::Tls, &["acks=all"])),
        ("SSL, both certificates", kafka.client(Listener::Mutual, &[&client_certificate])),
        ("PLAIN", kafka.client_of(Listener::SaslPlain, "PLAIN", ALICE)),
        ("PLAIN, SSL", kafka.client_of(Listener::SaslTls, "PLAIN", ALICE)),
        ("SCRAM-SHA-256, SSL", kafka.client_of(Listener::SaslTls, "SCRAM-SHA-256", ALICE)),
        ("SCRAM-SHA-512", kafka.client_of(Listener::SaslPlain, "SCRAM-SHA-512", ALICE)),
        ("SCRAM-SHA-512, SSL", kafka.client_of(Listener::SaslTls, "SCRAM-SHA-512", ALICE)),
        ("a token from a file", kafka.client(Listener::SaslTls, &[&lines(&by_token(&format!("file://{token_file}")))])),
        ("a token from a server", kafka.client(Listener::SaslTls, &[&lines(&of_server)])),
    ];
    for (name, config) in &ways {
        let bridge = bridge(config);
        write_and_read(&bridge, &topic, name);
        let log = bridge.log();
        assert!(!log.contains("alice-secret"), "{log}");
    }
    let requests = serving.join().expect("the server");
    assert!(requests[0].contains("authorization: Basic YWxpY2U6YWxpY2Utc2VjcmV0"), "{requests:?}");
    assert!(requests[0].ends_with("grant_type=client_credentials&scope=kafka+all"), "{requests:?}");

    // The terminal commands authenticate the same way.
    let config = &ways[6].1;
    let sent = run_with_input(&["produce", &topic, "--kafka-config", config], b"by hand\n");
    assert!(sent.status.success(), "{sent:?}");
    let read = run(&["consume", &topic, "--kafka-config", config, "--from", "earliest", "--until-end"]);
    let read = String::from_utf8_lossy(&read.stdout).into_owned();
    let expected: Vec<String> = ways.iter().map(|(name, _)| format!("Message: {name}\n")).collect();
    assert_eq!(read, expected.concat() + "Message: by hand\n");
}

#[test]
fn tokens_are_fetched_over_tls_once_the_certificate_is_trusted() {
    let kafka = kafka();
    let topic = kafka.fresh("https", 1);
    let start = |certificate: &str| {
        let mut node = Command::new("node");
        node.arg(file("clients/token_server.mjs"))
            .args(["crt", "key"].map(|kind| kafka.file(&format!("{certificate}.{kind}"))))
            .arg(token("alice", 600))
            .stdout(Stdio::piped());
        let log = PathBuf::from(kafka.file("token_server.log"));
        let mut process = Process::start_with_stdio("the token server", node, &log);
        let mut port = String::new();
        let stdout = process.child().stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut port).expect("its port");
        (process, format!("https://127.0.0.1:{}/token", port.trim()))
    };
    let client = |url: &str, ca: &str| {
        let lines = [
            "sasl.mechanism=OAUTHBEARER".to_owned(),
            format!("sasl.oauthbearer.token.endpoint.url={url}"),
            "sasl.oauthbearer.client.id=alice\nsasl.oauthbearer.client.secret=alice-secret".to_owned(),
            format!("ssl.truststore.location={}", kafka.file(ca)),
        ];
        kafka.client(Listener::SaslPlain, &lines.each_ref().map(String::as_str))
    };
    let (_server, url) = start("broker");
    write_and_read(&bridge(&client(&url, "ca.pem")), &topic, "a token over TLS");
    let reason = error_of(&client(&url, "other-ca.pem"));
    assert!(reason.contains("signed by a CA that is not trusted here") && reason.contains("127.0.0.1"), "{reason}");
    let (_server, url) = start("elsewhere");
    let reason = error_of(&client(&url, "ca.pem"));
    assert!(reason.contains("is for another name") && reason.contains("kafka.elsewhere.example"), "{reason}");
}

/// Returns the reason why a bridge with this file is not ready. `/ready`, a producer and a stream all get a 503.
fn error_of(config: &str) -> String {
    let bridge = bridge(config);
    let ready = bridge.get("/ready").expect(503).json()["detail"].as_str().expect("detail").to_owned();
    let sent = bridge.post("/topics/any", "text/plain", "x").expect(503);
    let detail = sent.json()["detail"].as_str().expect("detail").to_owned();
    assert!(detail.contains("do not accept each other") || detail.contains("no broker answers"), "{detail}");
    assert!(sent.header("retry-after").is_some());
    let mut stream = bridge.events("/topics/any/events?wait=true");
    let problem = stream.next_within(SOON).unwrap_or_else(|e| panic!("{config}: no event: {e:?}"));
    assert_eq!(problem.kind, "problem", "{problem:?}");
    assert_eq!(problem.json()["status"], 503);
    let log = bridge.log();
    assert!(!log.contains("-secret") && !ready.contains("-secret") && !detail.contains("-secret"), "{ready}\n{log}");
    ready
}

#[test]
fn rejected_credentials_are_reported_with_the_reason_and_the_remedy() {
    let kafka = kafka();
    let other_ca = format!("ssl.truststore.location={}", kafka.file("other-ca.pem"));
    let expired = kafka.write("expired.token", &token("alice", -30));
    let expired = format!("sasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=file://{expired}");
    let at = |listener, protocol: &str| {
        kafka.write(
            &format!("at-{:08x}", fastrand::u32(..)),
            &format!("bootstrap.servers={}\nsecurity.protocol={protocol}\n", kafka.address(listener)),
        )
    };
    let wrong = |listener, mechanism| kafka.client_of(listener, mechanism, ("alice", "guessed-secret"));
    let cases = [
        (wrong(Listener::SaslPlain, "PLAIN"), "User:alice by PLAIN"),
        (wrong(Listener::SaslTls, "SCRAM-SHA-512"), "User:alice by SCRAM-SHA-512"),
        (kafka.client(Listener::SaslTls, &[&expired]), "the token has expired"),
        (kafka.client(Listener::Tls, &[&other_ca]), "ssl.truststore.location"),
        (kafka.client(Listener::Elsewhere, &[]), "is not for \"127.0.0.1\" but for kafka.elsewhere.example"),
        (kafka.client(Listener::Mutual, &[]), "ssl.keystore.location"),
        (at(Listener::Tls, "PLAINTEXT"), "requires TLS"),
    ];
    for (config, words) in cases {
        let reason = error_of(&config);
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[test]
fn a_listener_with_another_protocol_is_distinguished_from_an_unreachable_one() {
    let kafka = kafka();
    let plain = kafka.bootstrap();
    let ca = format!("ssl.truststore.location={}", kafka.file("ca.pem"));
    let user = "sasl.mechanism=PLAIN\nsasl.username=alice\nsasl.password=alice-secret";
    let cases = [
        (format!("bootstrap.servers={plain}\nsecurity.protocol=SSL\n{ca}"), "its listener is PLAINTEXT"),
        (format!("bootstrap.servers={plain}\nsecurity.protocol=SASL_PLAINTEXT\n{user}"), "does not use SASL"),
        (
            format!("bootstrap.servers={}\nsecurity.protocol=PLAINTEXT", kafka.address(Listener::SaslPlain)),
            "SASL_PLAINTEXT",
        ),
    ];
    for (text, words) in cases {
        let config = kafka.write(&format!("kind-{:08x}", fastrand::u32(..)), &text);
        let bridge = bridge(&config);
        let reason = bridge.get("/ready").expect(503).text();
        assert!(reason.contains(words), "{words}: {reason}");
    }
    // A host name that is not checked cannot mismatch.
    let unchecked = kafka.client(Listener::Elsewhere, &["ssl.endpoint.identification.algorithm="]);
    let bridge = bridge(&unchecked);
    bridge.get("/ready").expect(200);
    assert!(bridge.log().contains("ssl.endpoint.identification.algorithm is empty"), "{}", bridge.log());
}

#[test]
fn a_request_that_acls_forbid_is_a_403_with_the_acl_to_add() {
    let kafka = kafka();
    let bridge = bridge(&kafka.client_of(Listener::SaslTls, "SCRAM-SHA-512", BOB));
    let (topic, other) = (kafka.fresh("rules", 1), kafka.fresh("others", 1));
    let events = format!("/topics/{topic}/events?from=earliest");
    #[track_caller]
    fn denied(answer: http::Response, operation: &str, topic: &str) {
        let detail = answer.expect(403).json()["detail"].as_str().expect("detail").to_owned();
        for words in ["User:bob", &format!("--operation {operation}"), &format!("--topic {topic}"), "kafka-acls"] {
            assert!(detail.contains(words), "{words}: {detail}");
        }
    }
    denied(bridge.post(&format!("/topics/{topic}"), "text/plain", "x"), "Write", &topic);
    denied(bridge.get(&format!("/topics/{topic}")), "Read", &topic);
    denied(bridge.get(&format!("/topics/{topic}/partitions/0/records")), "Read", &topic);
    denied(bridge.get(&events), "Read", &topic);
    denied(bridge.get(&format!("/events?topic={topic}&topic={other}")), "Read", &topic);
    assert_eq!(bridge.get("/topics").expect(200).json(), json!([]), "topics without a permission are not listed");

    // Reading and writing are permitted separately.
    kafka.allow("User:bob", "READ", &topic);
    let follower = eventually("bob may read", SOON, || match bridge.get(&format!("/topics/{topic}")).status {
        200 => Ok(Follower::start(bridge.port, &events)),
        other => Err(other.to_string()),
    });
    kafka.produce(&topic, json!([{"value": "1"}]));
    follower.seen.wait_for_records(1, SOON);
    denied(bridge.post(&format!("/topics/{topic}"), "text/plain", "x"), "Write", &topic);
    let envelope = json!({"records": [{"value": 1}, {"value": 2}]}).to_string();
    denied(bridge.post(&format!("/topics/{topic}"), "application/vnd.kafka.json.v2+json", envelope), "Write", &topic);

    kafka.allow("User:bob", "WRITE", &topic);
    eventually("bob may write", SOON, || match bridge.post(&format!("/topics/{topic}"), "text/plain", "2") {
        answer if answer.status == 200 => Ok(()),
        other => Err(other.text()),
    });
    follower.seen.wait_for_records(2, SOON);

    // Revoking an ACL ends open streams, with a reason.
    kafka.revoke("User:bob", &topic);
    eventually("the stream ends", SOON, || match follower.seen.of_kind("problem") {
        problems if problems.is_empty() => Err("no problem yet".to_owned()),
        problems => {
            let problem = problems[0].json();
            assert_eq!(problem["status"], 403, "{problem}");
            assert!(problem["detail"].as_str().expect("detail").contains("User:bob"), "{problem}");
            Ok(())
        }
    });
}

#[test]
fn a_session_is_renewed_under_load_without_loss_or_duplicates() {
    let kafka = kafka();
    let topic = kafka.fresh("renewed", 4);
    let config = kafka.client_of(Listener::SaslTls, "SCRAM-SHA-256", ALICE);
    let bridge = Bridge::serve(&["--kafka-config", &config, "--log-level", "debug"]);
    let follower = Follower::start(bridge.port, &format!("/topics/{topic}/events"));
    follower.wait_for_id();
    let mut numbered = Numbered::default();
    let began = Instant::now();
    while began.elapsed() < REAUTHENTICATE * 3 {
        let mut records = numbered.records(&[0, 1, 2, 3], 25);
        for record in records.as_array_mut().expect("a list") {
            record["value"] = serde_json::from_str(record["value"].as_str().expect("text")).expect("JSON");
        }
        let body = json!({"records": records}).to_string();
        bridge.post(&format!("/topics/{topic}"), "application/vnd.kafka.json.v2+json", body).expect(200);
    }
    follower.seen.wait_for_records(numbered.total(), SOON);
    numbered.assert_exactly_once(&follower.seen);
    assert_eq!(kafka.consume(&topic).len(), numbered.total(), "nothing was written twice");
    let log = bridge.log();
    let renewed = log.lines().filter(|line| line.contains("credentials again")).count();
    assert!(renewed >= 3, "{renewed} renewals");
    let is_warning = |line: &&str| line.contains(" WARN ") && !line.contains("limit of open files");
    let warnings: Vec<&str> = log.lines().filter(is_warning).collect();
    assert!(warnings.is_empty(), "no connection was lost: {warnings:?}");
}

#[test]
fn pages_of_records_log_in_at_most_once() {
    let kafka = kafka();
    let topic = kafka.fresh("pages", 1);
    let config = kafka.client_of(Listener::SaslPlain, "PLAIN", ALICE);
    let bridge = Bridge::serve(&["--kafka-config", &config, "--log-level", "debug"]);
    let logins = || bridge.log().lines().filter(|line| line.contains("accepted the credentials")).count();
    write_and_read(&bridge, &topic, "one");
    let page = |wait: &str| drop(bridge.get(&format!("/topics/{topic}/partitions/0/records{wait}")).expect(200));
    let before = logins();
    // A waiting page is woken by the live reader, which logs in when it starts.
    page("?timeout=50&offset=1");
    eventually("the live flow logs in", SOON, || (logins() > before).then_some(()).ok_or_else(|| bridge.log()));
    for wait in ["", "?timeout=50", "?timeout=50&offset=1", "?timeout=50&offset=1", ""].iter().cycle().take(20) {
        page(wait);
    }
    assert!(before > 0 && logins() == before + 1, "{before}, then {}\n{}", logins(), bridge.log());
}

#[test]
fn a_restart_of_a_broker_with_tls_and_sasl_loses_nothing() {
    let mut kafka = Secured::start();
    let bridge = bridge(&kafka.client_of(Listener::SaslTls, "SCRAM-SHA-512", ALICE));
    kafka.create("restart", 2);
    let follower = Follower::start(bridge.port, "/topics/restart/events");
    follower.wait_for_id();
    let mut numbered = Numbered::default();
    kafka.produce("restart", numbered.records(&[0, 1], 20));
    follower.seen.wait_for_records(numbered.total(), SOON);
    kafka.kill(1);
    kafka.restart(1);
    kafka.produce("restart", numbered.records(&[0, 1], 20));
    follower.seen.wait_for_records(numbered.total(), SOON);
    let value = numbered.record(0)["value"].as_str().expect("text").to_owned();
    bridge.post("/topics/restart?partition=0", "application/json", value).expect(200);
    follower.seen.wait_for_records(numbered.total(), SOON);
    numbered.assert_exactly_once(&follower.seen);
    assert_eq!(follower.connections(), 1, "the stream stays open meanwhile");
}

#[test]
fn unsupported_settings_are_rejected_at_startup_with_the_remedy() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let write = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let jks = write("trust.jks", &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]);
    let jks = write("jks.properties", format!("security.protocol=SSL\nssl.truststore.location={jks}").as_bytes());
    let user = "sasl.mechanism=PLAIN\nsasl.username=alice\nsasl.password=alice-secret\nbootstrap.servers=127.0.0.1:9";
    let sasl = write("sasl.properties", format!("security.protocol=SASL_PLAINTEXT\n{user}").as_bytes());
    let nowhere = write("nowhere.properties", b"security.protocol=PLAINTEXT");
    let missing = directory.path().join("missing").to_str().expect("UTF-8").to_owned();
    let cases: [(&[&str], &str); 4] = [
        (&["serve", "--kafka-config", &jks], "keytool -list -rfc -keystore"),
        (&["consume", "t", "--kafka-config", &sasl, "--driver", "crate"], "SASL_PLAINTEXT PLAIN"),
        (&["serve", "--kafka-config", &nowhere], "bootstrap.servers"),
        (&["serve", "--kafka-config", &missing], "cannot be read"),
    ];
    for (arguments, words) in cases {
        let output = run(arguments);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {printed}");
        assert!(printed.contains(words) && printed.trim().lines().count() == 1, "{arguments:?}: {printed}");
    }
}
