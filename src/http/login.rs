//! Signing in: `POST /login` sets a session cookie, `POST /tickets` issues tickets for the URLs of an `EventSource`.

use super::App;
use super::auth::{authenticate, authenticate_with};
use super::origin::RequestOrigin;
use super::peer::PeerScheme;
use super::problem::Problem;
use super::produce::collect;
use super::request::Request;
use crate::auth::{Credential, OPEN_WITHIN, Permit, Right, TicketUse};
use crate::record::{Timestamp, TopicName, now};
use crate::secret::Secret;
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Display;
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use warp::http::header::{self, HeaderValue};
use warp::http::{HeaderMap, StatusCode};
use warp::reply::{Reply, Response};

/// The largest body of `POST /login` and `POST /tickets`, in bytes.
const MAX_BODY: usize = 64 << 10;
/// The largest cookie, in bytes: browsers store at least 4096, including the name and the attributes (RFC 6265, 6.1).
const MAX_COOKIE: usize = 4000;

/// The body of `POST /login`, as JSON or as a form. `token` is a key, a token, or `NAME:PASSWORD`.
#[derive(Deserialize)]
struct LoginRequest {
    token: Secret,
}

/// The body of `POST /tickets`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketRequest {
    topics: Vec<String>,
}

/// `GET /login`: whether clients must sign in, and the identity and rights of a client that has signed in.
pub async fn session_info(app: &Arc<App>, request: &Request, origin: &RequestOrigin) -> Response {
    let permit = authenticate(app, request, origin).await.ok();
    json_response(StatusCode::OK, describe(app, permit.as_ref()))
}

/// `POST /login`: authenticates a client and sets a session cookie.
pub async fn login<B, D, E>(
    app: &Arc<App>,
    request: &Request,
    origin: &RequestOrigin,
    body: B,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
    E: Display,
{
    if *origin == RequestOrigin::Any {
        return Err(Problem::forbidden(
            "this bridge accepts pages of any origin, but only its own pages may sign in; name the origin with --cors-origin",
        ));
    }
    let permit = match request.headers.contains_key(header::AUTHORIZATION) {
        true => authenticate(app, request, origin).await?,
        false => {
            request.check_length()?;
            let body =
                collect(body, MAX_BODY, &app.settings.produce, &request.headers, app.shutdown.end_of_body()).await?;
            let credential = credential(&body, &request.headers)?;
            authenticate_with(app, request, Some(&credential), TicketUse::First).await?
        }
    };
    let Some((session, ends)) = app.settings.auth.session(&permit)? else {
        return Ok(json_response(StatusCode::OK, describe(app, Some(&permit))));
    };
    if request.cookie().len() + session.len() > MAX_COOKIE {
        return Err(Problem::unprocessable(
            "the rights in this token do not fit into a cookie; send `Authorization: Bearer TOKEN` instead",
        ));
    }
    let mut fields = describe(app, Some(&permit));
    fields["expires"] = json!(instant(ends));
    let seconds = ends.saturating_sub(now()).max(0).div_euclid(1000);
    let mut response = json_response(StatusCode::OK, fields);
    set_cookie(&mut response, &session, seconds, request)?;
    Ok(response)
}

/// `POST /logout`: deletes the session cookie.
pub fn logout(request: &Request) -> Result<Response, Problem> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, "", 0, request)?;
    Ok(response)
}

/// `POST /tickets`: issues a ticket. If authentication is off the ticket is `null`, and streams accept `ticket=null`.
pub async fn ticket<B, D, E>(app: &Arc<App>, permit: &Permit, request: &Request, body: B) -> Result<Response, Problem>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
    E: Display,
{
    request.check_length()?;
    let body = collect(body, MAX_BODY, &app.settings.produce, &request.headers, app.shutdown.end_of_body()).await?;
    let requested: TicketRequest = serde_json::from_slice(&body)
        .map_err(|e| Problem::unprocessable(format!("the body must be like {{\"topics\":[\"readings\"]}}: {e}")))?;
    let topics: Vec<_> = requested.topics.iter().map(|topic| TopicName::new(topic)).collect::<Result<_, _>>()?;
    let max = app.limits.settings().topics_per_stream;
    if topics.is_empty() || topics.len() > max {
        let count = topics.len();
        return Err(Problem::unprocessable(format!("{count} topics given; a ticket is for 1 to {max}")));
    }
    topics.iter().try_for_each(|topic| permit.may(Right::Consume, topic))?;
    let issued = app.settings.auth.ticket(permit, topics)?;
    let (ticket, ends) = issued.map_or((None, None), |(ticket, ends)| (Some(ticket), Some(instant(ends))));
    let fields = json!({"ticket": ticket, "open_within": OPEN_WITHIN.as_secs(), "expires": ends});
    Ok(json_response(StatusCode::CREATED, fields))
}

/// Parses a form, which browsers and `curl -d` send by default, or JSON.
fn credential(body: &[u8], headers: &HeaderMap) -> Result<Credential, Problem> {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|given| given.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let of_form =
        || form_urlencoded::parse(body).find(|(name, _)| name == "token").map(|(_, token)| token.into_owned());
    let of_json = || serde_json::from_slice::<LoginRequest>(body).ok().map(|login| login.token.reveal().to_owned());
    let token = if is_form { of_form().or_else(of_json) } else { of_json() };
    // The body may contain a secret, so the error does not quote it.
    let help =
        "the body must be like {\"token\":\"KEY\"}, or token=KEY as a form; a token is a key, a JWT, or NAME:PASSWORD";
    token
        .filter(|token| !token.is_empty())
        .map(|token| Credential::from_text(&token))
        .ok_or_else(|| Problem::unprocessable(help))
}

fn describe(app: &App, permit: Option<&Permit>) -> Value {
    let identity = permit.and_then(Permit::identity);
    let rights = permit.and_then(Permit::rights);
    json!({"required": app.settings.auth.is_enabled(), "name": identity.map(|identity| identity.name()), "rights": rights})
}

fn set_cookie(response: &mut Response, session: &str, seconds: i64, request: &Request) -> Result<(), Problem> {
    let secure = if is_https(request) { "; Secure" } else { "" };
    let name = request.cookie();
    // Without `Path` a cookie is for the directory of the URL that the browser sees (RFC 6265, 5.1.4). Behind a proxy that
    // serves the bridge below /curlew/, it is not sent to another bridge on the same host.
    let path = if request.path.ends_with('/') { "; Path=/" } else { "" };
    let cookie = format!("{name}={session}{path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut cookie =
        HeaderValue::from_str(&cookie).map_err(|_| Problem::internal("a session is not a valid cookie value"))?;
    cookie.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(())
}

/// Whether the browser uses HTTPS, with the bridge or with a proxy. `Origin` need not be trustworthy here: a false one
/// affects only the client's own cookie.
fn is_https(request: &Request) -> bool {
    let origin = request.headers.get(header::ORIGIN);
    request.peer.scheme == PeerScheme::Https || origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

fn instant(at: Timestamp) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)).ok()?.format(&Rfc3339).ok()
}

fn json_response(status: StatusCode, fields: Value) -> Response {
    let mut response = Response::new(format!("{fields}\n").into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
