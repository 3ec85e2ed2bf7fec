//! Signing in: `POST /login` to a cookie, `POST /tickets` to what an EventSource carries in its URL.

use super::App;
use super::auth::{permit, permit_for};
use super::origin::RequestOrigin;
use super::peer::PeerScheme;
use super::problem::Problem;
use super::produce::collect;
use super::routes::Request;
use crate::auth::{Credential, HiddenText, OPEN_WITHIN, Permit, Right, TicketUse};
use crate::record::{Timestamp, TopicName, now};
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

/// Of a body that names somebody, or some topics.
const MAX_BODY: usize = 64 << 10;
/// What browsers keep of a cookie: name, value and attributes (RFC 6265, 6.1).
const MAX_COOKIE: usize = 4000;

/// What `POST /login` is sent, as JSON or as a form: `token` is a key, a token, or `NAME:PASSWORD`.
#[derive(Deserialize)]
struct LoginRequest {
    token: HiddenText,
}

/// What `POST /tickets` is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    topics: Vec<String>,
}

/// Whether one has to sign in, and who has.
pub async fn who(app: &Arc<App>, request: &Request, asker: &RequestOrigin) -> Response {
    let permit = permit(app, request, asker).await.ok();
    answer(StatusCode::OK, described(app, permit.as_ref()))
}

pub async fn login<B, D, E>(
    app: &Arc<App>,
    request: &Request,
    asker: &RequestOrigin,
    body: B,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
    E: Display,
{
    if *asker == RequestOrigin::Anybody {
        return Err(Problem::forbidden(
            "pages of any origin may use this bridge, but only its own sign in; name the origin with --cors-origin",
        ));
    }
    let permit = match request.headers.contains_key(header::AUTHORIZATION) {
        true => permit(app, request, asker).await?,
        false => {
            request.check_length()?;
            let body =
                collect(body, MAX_BODY, &app.settings.produce, &request.headers, app.shutdown.end_of_body()).await?;
            let credential = credential(&body, &request.headers)?;
            permit_for(app, request, Some(&credential), TicketUse::First).await?
        }
    };
    let Some((session, ends)) = app.settings.auth.session(&permit)? else {
        return Ok(answer(StatusCode::OK, described(app, Some(&permit))));
    };
    if request.cookie().len() + session.len() > MAX_COOKIE {
        return Err(Problem::unprocessable(
            "the rights in this token are more than a cookie holds; use it as Authorization: Bearer TOKEN",
        ));
    }
    let mut said = described(app, Some(&permit));
    said["expires"] = json!(instant(ends));
    let seconds = ends.saturating_sub(now()).max(0).div_euclid(1000);
    let mut response = answer(StatusCode::OK, said);
    set_cookie(&mut response, &session, seconds, request)?;
    Ok(response)
}

pub fn logout(request: &Request) -> Result<Response, Problem> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, "", 0, request)?;
    Ok(response)
}

/// 201 and a ticket; it is null where nobody has to show anything, and streams take it so.
pub async fn ticket<B, D, E>(app: &Arc<App>, permit: &Permit, request: &Request, body: B) -> Result<Response, Problem>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
    E: Display,
{
    request.check_length()?;
    let body = collect(body, MAX_BODY, &app.settings.produce, &request.headers, app.shutdown.end_of_body()).await?;
    let wanted: Wanted = serde_json::from_slice(&body)
        .map_err(|e| Problem::unprocessable(format!("the body is not such as {{\"topics\":[\"readings\"]}}: {e}")))?;
    let topics: Vec<_> = wanted.topics.iter().map(|topic| TopicName::new(topic)).collect::<Result<_, _>>()?;
    let most = app.limits.settings().topics_per_stream;
    if topics.is_empty() || topics.len() > most {
        let given = topics.len();
        return Err(Problem::unprocessable(format!("{given} topics; a ticket is for 1 to {most}")));
    }
    topics.iter().try_for_each(|topic| permit.may(Right::Consume, topic))?;
    let made = app.settings.auth.ticket(permit, topics)?;
    let (ticket, ends) = made.map_or((None, None), |(ticket, ends)| (Some(ticket), Some(instant(ends))));
    let said = json!({"ticket": ticket, "open_within": OPEN_WITHIN.as_secs(), "expires": ends});
    Ok(answer(StatusCode::CREATED, said))
}

/// A form, as browsers send it by themselves and curl does with `-d`, or JSON.
fn credential(body: &[u8], headers: &HeaderMap) -> Result<Credential, Problem> {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|given| given.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let of_form =
        || form_urlencoded::parse(body).find(|(name, _)| name == "token").map(|(_, token)| token.into_owned());
    let of_json = || serde_json::from_slice::<LoginRequest>(body).ok().map(|login| login.token.reveal().to_owned());
    let token = if is_form { of_form().or_else(of_json) } else { of_json() };
    // What was sent may be a secret: it is not repeated.
    let help = "the body is not such as {\"token\":\"KEY\"}, or token=KEY as a form; a token is a key, a JWT, or NAME:PASSWORD";
    token
        .filter(|token| !token.is_empty())
        .map(|token| Credential::of_text(&token))
        .ok_or_else(|| Problem::unprocessable(help))
}

fn described(app: &App, permit: Option<&Permit>) -> Value {
    let identity = permit.and_then(Permit::identity);
    let rights = permit.and_then(Permit::rights);
    json!({"required": app.settings.auth.is_on(), "name": identity.map(|who| who.name()), "rights": rights})
}

fn set_cookie(response: &mut Response, session: &str, seconds: i64, request: &Request) -> Result<(), Problem> {
    let secure = if is_https(request) { "; Secure" } else { "" };
    let name = request.cookie();
    // Without a Path it is for the folder of the URL as the browser sees it (RFC 6265, 5.1.4): for /curlew/ where a proxy
    // serves the bridge there, and not for another bridge beside it.
    let path = if request.path.ends_with('/') { "; Path=/" } else { "" };
    let cookie = format!("{name}={session}{path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut cookie = HeaderValue::from_str(&cookie).map_err(|_| Problem::internal("a session is no cookie"))?;
    cookie.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(())
}

/// Whether the browser speaks TLS, with us or with what is in front: a lie costs the liar only their own cookie.
fn is_https(request: &Request) -> bool {
    let origin = request.headers.get(header::ORIGIN);
    request.peer.scheme == PeerScheme::Https || origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

fn instant(at: Timestamp) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)).ok()?.format(&Rfc3339).ok()
}

fn answer(status: StatusCode, said: Value) -> Response {
    let mut response = Response::new(format!("{said}\n").into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
