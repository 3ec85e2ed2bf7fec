//! The dashboard and the alert rules in `integration/monitoring` use only metrics that `/metrics` has.

use crate::support::exposition::Metrics;
use crate::support::memory_broker::MemoryBroker;
use curlew::broker::{Backlog, BrokerError};
use curlew::http::{self, App, routes};
use curlew::hub::{self, Hub};
use curlew::record::TopicName;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Metrics that Prometheus adds.
const OF_PROMETHEUS: [&str; 1] = ["up"];
const LABELS_OF_PROMETHEUS: [&str; 3] = ["job", "instance", "le"];
/// PromQL keywords that are not followed by a brace.
const WORDS: [&str; 8] = ["by", "without", "on", "ignoring", "and", "or", "unless", "offset"];

/// Starts a bridge and causes the events that create optional metrics. Returns all its metrics.
async fn metrics() -> Metrics {
    let broker = MemoryBroker::new();
    let hub = Arc::new(Hub::start(broker.clone(), hub::Settings::default()).unwrap());
    let app = App::new(hub.clone(), http::Settings::default());
    let ask = async |method: &str, path: &str| {
        let routes = routes(app.clone());
        let request = warp::test::request().method(method).path(path).header("host", "localhost");
        request.body("{}").reply(&routes).await
    };
    ask("POST", "/topics/t").await;
    ask("GET", "/topics/t/events?from=earliest&limit=1").await;
    ask("GET", "/nothing").await;
    let mut live = hub.subscribe(subscription()).unwrap();
    std::thread::spawn(move || while live.wait_next().is_some() {});
    let deadline = Instant::now() + Duration::from_secs(10);
    while hub.status().live_lag.is_empty() {
        assert!(Instant::now() < deadline, "no live stream");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    broker.fail_with(Some(BrokerError::Unavailable("away".into())));
    ask("POST", "/topics/t").await;
    let unwritable = Backlog { topic: TopicName::new("t").unwrap(), unwritable: 1, first_deadline: None };
    *broker.backlogs.lock().unwrap() = vec![unwritable];
    Metrics::read(std::str::from_utf8(ask("GET", "/metrics").await.body()).unwrap())
}

fn subscription() -> hub::Subscription {
    hub::Subscription {
        topics: vec![TopicName::new("t").unwrap()],
        selection: curlew::cursor::Selection::All,
        start: hub::Start::Latest,
        filter: hub::Filter::default(),
        missing: hub::Missing::Refuse,
        until: hub::Until::Forever,
        limit: None,
        format: http::event::format(http::event::EventFormat::SseValue),
    }
}

/// A metric and its label matchers: the name of each label and its allowed values.
type Selector = (String, Vec<(String, Vec<String>)>);

/// Returns the selectors of a PromQL query and the labels by which it groups.
fn parse(query: &str) -> (Vec<Selector>, Vec<String>) {
    let (mut selectors, mut groups) = (Vec::new(), Vec::new());
    let mut rest = query;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '[' || c == '"') {
        rest = &rest[start..];
        if let Some(range) = rest.strip_prefix('[') {
            rest = range.split_once(']').unwrap().1;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        assert!(!word.is_empty(), "{query}");
        rest = tail.trim_start();
        if WORDS.contains(&word) {
            if let Some(list) = rest.strip_prefix('(') {
                let (labels, tail) = list.split_once(')').unwrap();
                groups.extend(labels.split(',').map(|label| label.trim().to_owned()));
                rest = tail;
            }
        } else if let Some(inside) = rest.strip_prefix('{') {
            let (matchers, tail) = inside.split_once('}').unwrap();
            selectors.push((word.to_owned(), matchers.split(',').map(matcher).collect()));
            rest = tail;
        } else if !["(", "by ", "without "].iter().any(|next| rest.starts_with(next)) {
            selectors.push((word.to_owned(), Vec::new()));
        }
    }
    (selectors, groups)
}

fn matcher(text: &str) -> (String, Vec<String>) {
    let (label, wanted) = text.split_once('=').unwrap();
    let wanted = wanted.trim_start_matches('~').trim_matches('"');
    (label.trim_end_matches('!').trim().to_owned(), wanted.split('|').map(str::to_owned).collect())
}

fn check(query: &str, metrics: &Metrics) {
    let (selectors, groups) = parse(query);
    assert!(!selectors.is_empty(), "{query} selects no metric");
    let added = |label: &str| LABELS_OF_PROMETHEUS.contains(&label);
    for (name, matchers) in &selectors {
        if OF_PROMETHEUS.contains(&name.as_str()) {
            continue;
        }
        assert!(metrics.names().contains(name.as_str()), "{query}: /metrics has no {name}");
        for (label, texts) in matchers.iter().filter(|(label, _)| !added(label)) {
            for text in texts {
                let pair = format!("{label}=\"{text}\"");
                let has = metrics.samples.keys().any(|series| series.starts_with(name) && series.contains(&pair));
                assert!(has, "{query}: no {name} with {pair}");
            }
        }
    }
    for label in groups.iter().filter(|label| !added(label)) {
        let has = |series: &String| series.contains(&format!("{label}=\""));
        let of = |series: &String| selectors.iter().any(|(name, _)| series.starts_with(&**name));
        assert!(metrics.samples.keys().any(|series| of(series) && has(series)), "{query}: no label {label}");
    }
}

#[test]
fn queries_are_parsed() {
    let query = r#"sum by (le, a) (rate(x_total{a="1",b=~"2|3"}[5m])) / ignoring (c) y > 0.2"#;
    let (selectors, groups) = parse(query);
    let names: Vec<_> = selectors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, groups), (vec!["x_total", "y"], vec!["le".to_owned(), "a".into(), "c".into()]));
    assert_eq!(selectors[0].1, [("a".into(), vec!["1".into()]), ("b".into(), vec!["2".into(), "3".into()])]);
}

#[tokio::test]
async fn every_panel_of_the_dashboard_uses_existing_metrics() {
    let dashboard: Value = serde_json::from_str(include_str!("../../integration/monitoring/dashboard.json")).unwrap();
    let metrics = metrics().await;
    let panels = dashboard["panels"].as_array().unwrap();
    let targets: Vec<_> = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten().collect();
    assert!(targets.len() > 30, "only {} queries", targets.len());
    for target in targets {
        check(target["expr"].as_str().unwrap(), &metrics);
    }
}

#[tokio::test]
async fn every_alert_uses_existing_metrics() {
    let rules = include_str!("../../integration/monitoring/alerts.yml");
    let metrics = metrics().await;
    let queries: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(queries.len(), rules.matches("- alert: ").count());
    assert!(queries.len() > 10);
    queries.iter().for_each(|query| check(query, &metrics));
}

#[tokio::test]
async fn every_curlew_metric_is_on_the_dashboard() {
    let dashboard = include_str!("../../integration/monitoring/dashboard.json");
    let metrics = metrics().await;
    let forgotten: Vec<_> = metrics
        .families
        .iter()
        .filter(|(family, _)| family.starts_with("curlew_") && !dashboard.contains(family.as_str()))
        .filter(|(family, _)| *family != "curlew_streams_max")
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}
