//! The routes: the handlers of paths and methods.

use super::handoff::{HandoffSlot, Streaming};
use super::limits::ClientKey;
use super::origin::{OriginPolicy, RequestOrigin};
use super::peer::Peer;
use super::problem::Problem;
use super::request::{BodyLength, Request, segments};
use super::{
    AccessLog, App, api_docs, auth, create_topic, dashboard, delete, health, login, partitions, produce, records,
    series, subscribe, topics, trace,
};
use crate::auth::{Permit, Right};
use crate::logging;
use crate::sync::watchdog;
use futures_util::Stream;
use log::{Level, log, warn};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use warp::http::header::{self, HeaderValue};
use warp::http::uri::Authority;
use warp::http::{Method, StatusCode};
use warp::hyper::body::{Buf, Bytes};
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

/// Returns the filter for all routes. It never rejects a request: every response, errors included, is built here.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    // A malformed Host cannot pass as loopback, so it is replaced by a name that is not loopback.
    let host = warp::host::optional().or(warp::any().map(|| Authority::try_from("malformed").ok())).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(host)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .and(warp::ext::optional())
        .and(warp::ext::optional())
        .and(warp::ext::optional())
        .then(
            move |method,
                  path: warp::path::FullPath,
                  query,
                  host,
                  headers,
                  body,
                  slot: Option<HandoffSlot>,
                  peer: Option<Peer>,
                  length: Option<BodyLength>| {
                let peer = app.settings.proxies.client_behind(peer.unwrap_or_default(), &headers);
                let path = path.as_str().to_owned();
                let length = length.unwrap_or(BodyLength::Given);
                let user = OnceLock::new();
                let request = Request { method, path, query, host, headers, peer, length, user };
                let response = identified(app.clone(), request, body);
                async move {
                    let response = response.await;
                    match slot {
                        Some(slot) if response.extensions().get::<Streaming>().is_some() => slot.put(response).await,
                        _ => response,
                    }
                }
            },
        )
}

/// Serves the public routes, and the other routes to clients with a permit.
async fn dispatch<B, D>(app: &Arc<App>, request: &Request, origin: &RequestOrigin, body: B) -> Result<Response, Problem>
where
    B: Stream<Item = Result<D, warp::Error>> + Send + Sync + Unpin + 'static,
    D: Buf + Send + 'static,
{
    let segments = segments(&request.path)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
    match (segments.as_slice(), method) {
        ([], &Method::GET) => Ok(dashboard::index(request)),
        (["client.js"], &Method::GET) => Ok(dashboard::client(request)),
        (["dashboard", file], &Method::GET) => dashboard::file(file, request),
        (["health"], &Method::GET) => health::health(app),
        (["ready"], &Method::GET) => health::ready(app, request, origin).await,
        (["metrics"], &Method::GET) => {
            auth::check_metrics(app, request, origin).await?;
            app.metrics(request.headers.clone()).await
        }
        (["openapi.json"], &Method::GET) => Ok(api_docs::openapi()),
        (["login"], &Method::GET) => Ok(login::session_info(app, request, origin).await),
        (["login"], &Method::POST) => login::login(app, request, origin, body).await,
        (["logout"], &Method::POST) => login::logout(request),
        (path, method) => {
            let allowed = allowed(path).ok_or_else(|| no_such_path(path, &request.path))?;
            let permit = auth::authenticate(app, request, origin).await?;
            if permit.identity().is_some() {
                let address = ClientKey::of(&request.peer);
                match request.is_for_a_stream() {
                    true => app.limits.refund_stream(&address),
                    false => app.limits.charge_key(&address, &request.caller(&permit))?,
                }
            }
            let response = permitted(app, &permit, (path, method), request, body).await?;
            response.ok_or_else(|| Problem::method_not_allowed(request.method.as_str(), allowed))
        }
    }
}

/// Serves the routes that need a permit. Returns `None` if the path does not have this method.
async fn permitted<B, D>(
    app: &Arc<App>,
    permit: &Permit,
    route: (&[&str], &Method),
    request: &Request,
    body: B,
) -> Result<Option<Response>, Problem>
where
    B: Stream<Item = Result<D, warp::Error>> + Send + Sync + Unpin + 'static,
    D: Buf + Send + 'static,
{
    Ok(Some(match route {
        (["brokers"], &Method::GET) => partitions::brokers(app, request).await?,
        (["topics"], &Method::GET) => topics::topics(app, permit, request).await?,
        (["topics", topic], &Method::GET) => topics::topic(app, permit, topic, request).await?,
        (["topics", topic] | ["topics", topic, "partitions", _], &Method::POST) => {
            let partition = match route.0 {
                [.., "partitions", partition] => Some(records::topic_partition(topic, partition)?.partition),
                _ => None,
            };
            let destination = produce::PathTarget { topic, partition };
            let revoked = auth::check_until_revoked(app, permit, Right::Produce, topic)?;
            request.check_length()?;
            let shutdown = app.clone();
            let lines = Box::pin(async move { shutdown.shutdown.end_of_stream(revoked).await });
            let ends = produce::BodyInterrupts { ndjson: lines, other: app.shutdown.end_of_body() };
            produce::post(&app.hub, &app.settings.produce, destination, &request.query, &request.headers, body, ends)
                .await?
        }
        (["topics", topic, "partitions"], &Method::GET) => partitions::partitions(app, permit, topic, request).await?,
        (["topics", topic, "partitions", partition], &Method::GET) => {
            partitions::partition(app, permit, (topic, partition), request).await?
        }
        (["topics", topic, "partitions", partition, "offsets"], &Method::GET) => {
            partitions::offsets(app, permit, (topic, partition), request).await?
        }
        (["topics", topic], &Method::DELETE) => delete::delete(app, permit, topic, request).await?,
        (["topics", topic, "series"], &Method::GET) => series::series(app, permit, topic, request).await?,
        (["topics", topic, "events"], &Method::GET) => subscribe::topic(app, permit, topic, request).await?,
        (["events"], &Method::GET) => subscribe::topics(app, permit, request).await?,
        (["topics", topic, "partitions", partition, "records"], &Method::GET) => {
            auth::check(permit, Right::Consume, topic)?;
            records::records(app, permit, topic, partition, request).await?
        }
        (["topics", topic, "partitions", partition, "messages"], &Method::GET) => {
            auth::check(permit, Right::Consume, topic)?;
            records::messages(app, (topic, partition), request).await?
        }
        (["admin", "topics"], &Method::POST) => create_topic::create(app, permit, request, body).await?,
        (["tickets"], &Method::POST) => login::ticket(app, permit, request, body).await?,
        _ => return Ok(None),
    }))
}

/// Returns the problem of a path without methods.
fn no_such_path(segments: &[&str], path: &str) -> Problem {
    match segments {
        ["consumers", ..] => Problem::no_consumers(path),
        _ => Problem::not_found(path),
    }
}

/// Returns the methods of a path as in the `Allow` header; `None` if there is no such path.
fn allowed(path: &[&str]) -> Option<&'static str> {
    match path {
        ["topics", _] => Some("GET, HEAD, POST, DELETE, OPTIONS"),
        ["login"] => Some("GET, HEAD, POST, OPTIONS"),
        ["topics", _, "partitions", _] => Some("GET, HEAD, POST, OPTIONS"),
        ["admin", "topics"] | ["logout" | "tickets"] => Some("POST, OPTIONS"),
        []
        | ["health" | "ready" | "metrics" | "openapi.json" | "client.js" | "brokers" | "topics" | "events"]
        | ["dashboard", _]
        | ["topics", _, "events" | "series"]
        | ["topics", _, "partitions"]
        | ["topics", _, "partitions", _, "offsets" | "records" | "messages"] => Some("GET, HEAD, OPTIONS"),
        _ => None,
    }
}

/// Serves a request under its request id, which goes into the log and the response.
async fn identified<B, D>(app: Arc<App>, mut request: Request, body: B) -> Response
where
    B: Stream<Item = Result<D, warp::Error>> + Send + Sync + Unpin + 'static,
    D: Buf + Send + 'static,
{
    let id = trace::identify(&mut request.headers);
    let mut response = logging::while_serving(id.clone(), respond(app, request, body)).await;
    if let Some(id) = trace::value(&id) {
        response.headers_mut().insert(trace::REQUEST_ID, id);
    }
    response
}

async fn respond<B, D>(app: Arc<App>, request: Request, body: B) -> Response
where
    B: Stream<Item = Result<D, warp::Error>> + Send + Sync + Unpin + 'static,
    D: Buf + Send + 'static,
{
    let started = Instant::now();
    let (mut response, origin) =
        match app.origin_policy().admit(request.host.as_ref(), request.peer.scheme, &request.headers) {
            Ok(origin) => (admitted(&app, &request, &origin, body).await, origin),
            Err(problem) => {
                app.rejections.report(problem.detail());
                (problem.response(), RequestOrigin::NoPage)
            }
        };
    OriginPolicy::mark(&origin, response.headers_mut());
    if request.method == Method::HEAD {
        *response.body_mut() = Bytes::new().into();
    }
    app.metrics.requests.count(&request.path, &request.method, response.status());
    let (status, took) = (response.status().as_u16(), started.elapsed().as_millis());
    let (method, path) = (request.method.as_str(), request.path.as_str());
    // The query is not logged, because it may contain a ticket.
    let level = match app.settings.access_log {
        AccessLog::On => Level::Info,
        AccessLog::Off => Level::Debug,
    };
    let (client, user) = (request.peer.address.to_string(), request.user.get().map_or("", String::as_str));
    log!(level, method, path, status, ms = took as u64, client = client.as_str(), user;
        "{method} {path} {status} {took} ms for {}", request.sender());
    response
}

/// Serves a request from an admitted origin.
async fn admitted<B, D>(app: &Arc<App>, request: &Request, origin: &RequestOrigin, body: B) -> Response
where
    B: Stream<Item = Result<D, warp::Error>> + Send + Sync + Unpin + 'static,
    D: Buf + Send + 'static,
{
    if let Err(problem) = within_limits(app, request) {
        return problem.response();
    }
    if request.method == Method::OPTIONS {
        return options(app, request);
    }
    // A panic in one request must not affect others.
    let result = watchdog::caught_in_request(dispatch(app, request, origin, body)).await;
    let result = result.unwrap_or_else(|| Err(Problem::unserved()));
    result.unwrap_or_else(|problem| {
        if problem.is_server_error() {
            warn!("{} {}: {}", request.method, request.path, problem.detail());
        }
        problem.response()
    })
}

fn within_limits(app: &App, request: &Request) -> Result<(), Problem> {
    app.limits.head(request.head_size())?;
    // Health checks are exempt from the rate limit: a busy neighbour at the same address must not make the process look
    // dead.
    match (request.path.as_str(), &request.method) {
        ("/health", &Method::GET | &Method::HEAD) => Ok(()),
        _ => app.limits.request(&ClientKey::of(&request.peer)),
    }
}

/// Responds to OPTIONS for every path, so that an allowed page can read the 404 of an unknown path.
fn options(app: &App, request: &Request) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    OriginPolicy::preflight(&request.headers, headers);
    let Ok(path) = segments(&request.path) else { return response };
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    if let Some(methods) = allowed(&path) {
        headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    if let ["topics", _] = path.as_slice() {
        let rate = app.settings.limits.requests_per_second;
        app.settings.webhook_senders.consent(&request.headers, rate, headers);
    }
    response
}
