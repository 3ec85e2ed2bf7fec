#![allow(clippy::unwrap_used)]

use super::*;
use crate::broker::{AutoCreate, NewTopic};
use crate::kafka::Driver;
use crate::record::TopicName;
use crate::schemas::registry::RegistryCredentials;
use crate::start_position::StartPosition;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

fn consume(line: &str) -> Consume {
    match read_line(line).unwrap() {
        Command::Consume(consume) => consume,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_valid() {
    Cli::command().debug_assert();
}

#[test]
fn plain_curlew_serves() {
    for line in ["curlew --kafka a:1,b:2", "curlew serve --kafka a:1,b:2"] {
        let Ok(Command::Serve(serve)) = read_line(line) else { panic!("{line}") };
        let kafka = serve.kafka().unwrap();
        assert_eq!((kafka.brokers.as_slice(), kafka.driver), (&["a:1".to_owned(), "b:2".to_owned()][..], Driver::Wire));
        assert_eq!(serve.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((serve.max_body, serve.hub(&serve.memory()).queued_bytes), (8 << 20, 64 << 20));
        assert_eq!(serve.auto_create(), AutoCreate::Ask);
    }
}

#[test]
fn a_schema_registry_has_urls_and_files() {
    let line =
        "curlew --schema-registry http://a:8081,https://b --schema-registry http://c --schema-registry-credentials f";
    let Ok(Command::Serve(serve)) = read_line(line) else { panic!("{line}") };
    let registry = serve.schema_registry().unwrap();
    assert_eq!(format!("{:?}", registry.urls), "[http://a:8081, https://b, http://c]");
    assert_eq!(registry.credentials, RegistryCredentials::File("f".into()));
    assert!(registry.tls.is_some());
    let Ok(Command::Serve(serve)) = read_line("curlew --kafka a:1") else { panic!("no registry") };
    assert!(serve.schema_registry().is_none());
}

#[test]
fn errors_are_one_line() {
    let cases = [
        ("curlew --partitions 0", "--partitions"),
        ("curlew --retention-time soon", "such as 12h, 7d or 365d, or forever"),
        ("curlew --retention-bytes much", "or unlimited"),
        ("curlew --kafka nonsense", "invalid value 'nonsense' for '--kafka <HOST:PORT,…>': give host:port"),
        ("curlew --listen here --kafka a:1", "invalid value 'here' for '--listen <ADDR:PORT>': give an IP address"),
        ("curlew --driver best --kafka a:1", "[possible values: wire, crate]"),
        ("curlew --lisen 127.0.0.1:1", "unexpected argument '--lisen' found; a similar argument exists: '--listen'"),
        ("curlew --cors-origin example.org --kafka a:1", "give * or an origin"),
        ("curlew --webhook-origin https://a --kafka a:1", "give * or the name that the sender has"),
        ("curlew --heartbeat 15 --kafka a:1", "give a number and a unit"),
        ("curlew --schema-registry ftp://me:hush@r", "--schema-registry: give the http or https URL"),
        ("curlew --schema-registry http://me:hush@r", "write USER:PASSWORD into a file"),
        ("curlew --schema-registry-credentials f", "give --schema-registry URL"),
        ("curlew --schema-registry http://r --schema-registry-cert c.pem", "no URL of the schema registry is https"),
        ("curlew --schema-registry https://r --schema-registry-ca /nonexistent", "cannot read /nonexistent"),
        ("curlew nonsense", "unrecognized subcommand 'nonsense'"),
        ("curlew consume", "the following required arguments were not provided: <TOPIC>..."),
        ("curlew consume a/b", "contains '/'; allowed are"),
        ("curlew consume t --from 42", "from \"42\" is not a start position"),
        ("curlew consume t --output %q", "%q"),
        ("curlew consume t --limit 0", "--limit"),
        ("curlew produce t --acks 2", "give all, 1 or 0"),
        ("curlew produce t --header x", "give NAME=VALUE"),
        ("curlew topics create", "the following required arguments were not provided: <TOPIC>"),
        ("curlew topics create a/b", "contains '/'; allowed are"),
        ("curlew topics create t --partitions 0", "--partitions"),
        ("curlew topics create t --topic-config x", "give NAME=VALUE, such as retention.ms"),
        ("curlew consume t --url ftp://x", "such as http://127.0.0.1:8080 or https://bridge.example"),
    ];
    for (line, expected) in cases {
        let Err(EarlyExit::Error(error)) = read_line(line) else { panic!("{line} is accepted") };
        assert!(error.contains(expected), "{line}: {error}");
        assert!(!error.contains('\n') && !error.contains("hush"), "{line}: {error}");
    }
}

#[test]
fn without_kafka_topics_are_stored_in_a_directory() {
    let embedded = |line: &str| match read_line(line).unwrap() {
        Command::Serve(serve) if serve.kafka().is_none() => serve.embedded(),
        other => panic!("{other:?}"),
    };
    let plain = embedded("curlew");
    assert_eq!((plain.folder.to_str(), plain.partitions), (Some("./curlew-data"), 1));
    assert_eq!((plain.retention_time, plain.retention_bytes), (Duration::from_secs(7 * 86_400), 1 << 30));
    let other = embedded("curlew --data d --partitions 3 --retention-time forever --retention-bytes unlimited");
    assert_eq!((other.folder.to_str(), other.partitions), (Some("d"), 3));
    assert_eq!((other.retention_time, other.retention_bytes), (Duration::MAX, u64::MAX));
}

#[test]
fn a_token_is_never_printed() {
    let settings = consume("curlew consume t --token hush");
    assert!(
        matches!(settings.target.selected(), ClientTarget::Bridge(BridgeArgs { token: Some(token), .. }) if token.reveal() == "hush")
    );
    assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
    for url in ["http://ann:hush@box:8080", "http://hush@box", "https://ann:hush@box/x"] {
        let Err(EarlyExit::Error(error)) = read_line(&format!("curlew consume t --url {url}")) else { panic!("{url}") };
        assert!(!error.contains("hush") && error.contains("://***@box"), "{error}");
    }
}

#[test]
fn help_and_version_are_not_errors() {
    for line in ["curlew --help", "curlew --version", "curlew -h", "curlew serve --help", "curlew help consume"] {
        assert!(matches!(read_line(line), Err(EarlyExit::Output(_))), "{line}");
    }
}

#[test]
fn a_topic_is_created_with_the_given_settings() {
    let create = |line: &str| match read_line(line).unwrap() {
        Command::Topics(TopicsCommand { action: TopicsAction::Create(create) }) => create,
        other => panic!("{other:?}"),
    };
    let plain = create("curlew topics create t");
    assert!(matches!(plain.target().selected(), ClientTarget::Bridge(_)));
    assert_eq!(plain.topic(), NewTopic::named(TopicName::new("t").unwrap()));
    let given = "--partitions 3 --replication-factor 2 --topic-config a=1 --topic-config b=x=y --topic-config a=2";
    let topic = create(&format!("curlew topics create t --kafka k:1 {given}")).topic();
    assert_eq!((topic.partitions, topic.replication_factor), (Some(3), Some(2)));
    assert_eq!(
        topic.configs,
        [("a", "2"), ("b", "x=y")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    );
}

#[test]
fn consume_reads_from_kafka_or_a_bridge() {
    let settings =
        consume("curlew consume a b --kafka k:1 --driver crate --from -15m --partition 3 --until-end --limit 5");
    assert!(
        matches!(settings.target.selected(), ClientTarget::Kafka(kafka) if kafka.brokers == ["k:1"] && kafka.driver == Driver::Crate)
    );
    assert!(matches!(settings.from, StartPosition::Time(_)));
    assert_eq!((settings.topics.0.len(), settings.partitions, settings.limit), (2, vec![3], NonZeroU64::new(5)));
    let plain = consume("curlew consume a");
    let bridge = |line: &str| match consume(line).target.selected() {
        ClientTarget::Bridge(bridge) => (bridge.url.to_string(), bridge.cacert.map(Path::to_owned)),
        ClientTarget::Kafka(_) => panic!("{line}"),
    };
    assert_eq!(bridge("curlew consume a"), ("http://127.0.0.1:8080".to_owned(), None));
    let secured = "curlew consume a --url https://box/ --cacert ca.pem";
    assert_eq!(bridge(secured), ("https://box:443".to_owned(), Some("ca.pem".into())));
    assert_eq!(plain.from, StartPosition::Latest);
}
