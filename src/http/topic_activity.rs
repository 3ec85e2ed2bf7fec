//! `GET /topics?last=true&history=true`: what happens in all topics. All clients share what the hub looks up.

use super::App;
use super::event::json::{Encoding, base64_string, embed, string};
use super::problem::Problem;
use super::records::PageBody;
use super::response::as_json;
use super::topic_description::add_description;
use crate::auth::{Permit, Right};
use crate::hub::overview::{Excerpt, Newest, NewestRecord, OverviewNeed, SampledTopic, SampledTopics};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;
use warp::reply::Response;

/// How long a request waits for current offsets.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a request waits for newest records after that. Those that have not been read by then come with a later response.
const NEWEST_PATIENCE: Duration = Duration::from_secs(1);
/// The age up to which offsets are returned if there are no current ones. The response contains the age.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The members that a response has in addition to the descriptions.
#[derive(Debug, Clone, Copy)]
pub struct Activity {
    pub last: bool,
    pub history: bool,
}

/// Returns the topics that the client may see, with the newest record of each topic that it may consume.
pub async fn activity(app: &Arc<App>, permit: &Permit, wanted: Activity) -> Result<Response, Problem> {
    let request = |need| {
        let (ready, is_ready) = oneshot::channel();
        app.hub.overview().request(need, Box::new(move || _ = ready.send(())));
        is_ready
    };
    let newest = wanted.last.then(|| request(OverviewNeed::Newest));
    let _ = timeout(PATIENCE, request(OverviewNeed::Offsets)).await;
    if let Some(newest) = newest {
        let _ = timeout(NEWEST_PATIENCE, newest).await;
    }
    let late = || Problem::busy("the topics were not looked up in time; try again");
    let state = app.hub.overview().latest().ok_or_else(late)??;
    if state.read.elapsed() > MAX_AGE {
        return Err(late());
    }
    let (pages, permit) = (app.settings.memory.pages.clone(), permit.clone());
    let json = app.page(move || {
        let mut out = PageBody::new(&pages)?;
        write(&mut out, &state, &permit, wanted)?;
        out.finish("]\n")
    });
    Ok(as_json(json.await??))
}

fn write(out: &mut PageBody, state: &SampledTopics, permit: &Permit, wanted: Activity) -> Result<(), Problem> {
    let now = Instant::now();
    let age = |at: Instant| now.saturating_duration_since(at).as_millis();
    out.add("[")?;
    let mut comma = "";
    for (topic, newest) in state.iter().filter(|(topic, _)| permit.may_see(&topic.info.name)) {
        out.add(std::mem::replace(&mut comma, ","))?;
        add_description(out, &topic.info, &topic.ends)?;
        out.add(&format!(",\"age\":{}", age(state.began)))?;
        if wanted.last {
            out.add(&format!(",\"last\":{}", last(topic, newest, permit)))?;
        }
        if wanted.history {
            let samples = topic.samples.iter().flat_map(|samples| samples.iter());
            let samples: Vec<_> = samples.map(|(at, written)| format!("[{},{written}]", age(at))).collect();
            out.add(&format!(",\"history\":[{}]", samples.join(",")))?;
        }
        out.add("}")?;
    }
    Ok(())
}

/// Returns the newest record of a topic as JSON, null if the topic is empty, or the reason why it is not known.
fn last(topic: &SampledTopic, newest: &Newest, permit: &Permit) -> String {
    let problem = |text: &str| json!({ "problem": text }).to_string();
    if let Err(denied) = permit.may(Right::Consume, &topic.info.name) {
        return problem(&denied.to_string());
    }
    match newest {
        Newest::Unread => problem("not read yet"),
        Newest::Empty => "null".to_owned(),
        Newest::NotFound => problem("the last offsets have no records"),
        Newest::NoMemory => problem("no memory is left for it (--memory-budget)"),
        Newest::Record(record) => record_json(record),
    }
}

fn record_json(record: &NewestRecord) -> String {
    let mut json = Vec::new();
    let timestamp = (record.timestamp != -1).then_some(record.timestamp);
    let NewestRecord { partition, offset, .. } = record;
    let place = json!({"partition": partition, "offset": offset, "timestamp": timestamp}).to_string();
    json.extend_from_slice(place.trim_end_matches('}').as_bytes());
    add_excerpt(&mut json, record.key.as_ref(), ["key", "key_encoding", "key_bytes", "key_schema_error"]);
    add_excerpt(&mut json, record.value.as_ref(), ["value", "encoding", "value_bytes", "schema_error"]);
    json.push(b'}');
    String::from_utf8(json).unwrap_or_default()
}

/// Appends a key or value as in the envelope of a stream. One that was cut is a string, with the length of the whole in
/// bytes beside it.
fn add_excerpt(
    json: &mut Vec<u8>,
    excerpt: Option<&Excerpt>,
    [name, encoding_name, length_name, error_name]: [&str; 4],
) {
    json.extend_from_slice(format!(",\"{name}\":").as_bytes());
    let bytes = excerpt.map(|excerpt| &*excerpt.bytes);
    let cut = excerpt.filter(|excerpt| excerpt.is_cut());
    let error = excerpt.and_then(|excerpt| excerpt.error.as_deref());
    let encoding = match (bytes, error, cut) {
        (Some(bytes), Some(_), _) => base64_string(json, bytes),
        (_, _, Some(_)) => string(json, bytes),
        _ => embed(json, bytes),
    };
    if encoding == Encoding::Base64 {
        json.extend_from_slice(format!(",\"{encoding_name}\":\"base64\"").as_bytes());
    }
    if let Some(cut) = cut {
        json.extend_from_slice(format!(",\"{length_name}\":{}", cut.length).as_bytes());
    }
    if let Some(error) = error {
        json.extend_from_slice(format!(",\"{error_name}\":").as_bytes());
        string(json, Some(error.as_bytes()));
    }
}
