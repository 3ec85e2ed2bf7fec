//! `DELETE /topics/{topic}`: a tombstone for a key, or with `records=all` the topic itself.

use super::problem::Problem;
use super::query::Query;
use super::request::Request;
use super::{App, auth, produce};
use crate::auth::{Permit, Right};
use crate::record::TopicName;
use std::sync::Arc;
use warp::http::StatusCode;
use warp::reply::{Reply, Response};

/// Whether clients may delete topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    Allowed,
    /// The default. A key with the right to produce must not be able to destroy the records of others.
    Forbidden,
}

pub async fn delete(app: &Arc<App>, permit: &Permit, topic: &str, request: &Request) -> Result<Response, Problem> {
    let allowed = ["records", "key", "partition", "timestamp", "acks", "key_schema", "key_schema_id"];
    let query = Query::parse(&request.query, &allowed)?;
    match query.one("records")? {
        None => {
            auth::check(permit, Right::Produce, topic)?;
            produce::delete(&app.hub, &app.settings.produce, topic, &request.query, &request.headers).await
        }
        Some("all") => {
            Query::parse(&request.query, &["records"])?;
            auth::check(permit, Right::Manage, topic)?;
            delete_topic(app, request, TopicName::new(topic)?).await
        }
        Some(other) => Err(Problem::bad_request(format!(
            "records is {other:?}; allowed is all, which deletes the topic; a tombstone is DELETE /topics/NAME?key=KEY"
        ))),
    }
}

/// Deletes a topic, and returns 204 once the broker has done so.
async fn delete_topic(app: &Arc<App>, request: &Request, topic: TopicName) -> Result<Response, Problem> {
    if app.settings.deletion == Deletion::Forbidden {
        return Err(Problem::forbidden(
            "topics cannot be deleted through this bridge; start it with --allow-delete to allow it",
        ));
    }
    let hub = app.hub.clone();
    let deleted = topic.clone();
    app.ask(move || hub.broker().delete_topic(&deleted)).await??;
    log::info!("deleted topic {topic} for {}", request.sender());
    Ok(StatusCode::NO_CONTENT.into_response())
}
