//! `GET /topics/{topic}/partitions/{partition}/messages`: a page in the form of the Confluent REST Proxy v1, for its clients.

use super::page_format::{MessageForm, PageFormat};
use super::{MAX_PAGE, PageRequest, find, number, topic_partition};
use crate::http::App;
use crate::http::accept::{accept, preferred};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;
use crate::http::response::as_json;
use crate::http::rest_proxy;
use crate::record::Offset;
use std::sync::Arc;
use warp::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use warp::reply::Response;

const BINARY: &str = "application/vnd.kafka.binary.v1+json";
const JSON: &str = "application/vnd.kafka.json.v1+json";
const AVRO: &str = "application/vnd.kafka.avro.v1+json";

pub async fn messages(
    app: &Arc<App>,
    (topic, partition): (&str, &str),
    request: &Request,
) -> Result<Response, Problem> {
    let query = Query::parse(&request.query, &["offset", "count"])?;
    let offset = number(&query, "offset", i64::MAX as u64)?
        .ok_or_else(|| Problem::bad_request("offset is missing; it is the offset of the first message"))?;
    let (form, media_type) = accepted(&request.headers);
    let page = Arc::new(PageRequest {
        topic_partition: topic_partition(topic, partition)?,
        offset: Some(offset as Offset),
        limit: number(&query, "count", MAX_PAGE as u64)?.map_or(1, |count| count as usize),
        format: PageFormat::Messages(form),
    });
    let mut response = as_json(find(app, &page).await?.json);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// Returns the form and the media type that the client accepts. The default is base64, as in the REST proxy.
fn accepted(headers: &HeaderMap) -> (MessageForm, &'static str) {
    let named = preferred(&accept(headers), |range| match range {
        BINARY => Some((MessageForm::Binary, BINARY)),
        JSON => Some((MessageForm::Json, JSON)),
        AVRO => Some((MessageForm::Json, AVRO)),
        _ => None,
    });
    named.unwrap_or_else(|| (MessageForm::Binary, rest_proxy::media_type(headers)))
}
