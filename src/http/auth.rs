//! Who asks, and what they may do: from a request to a [`Permit`].

use super::App;
use super::limits::ClientKey;
use super::origin::RequestOrigin;
use super::peer;
use super::problem::{Challenge, Problem};
use super::produce::Revoked;
use super::query;
use super::routes::Request;
use crate::auth::{
    self, AuthError, AuthOutcome, BadCredential, Credential, Denied, GrantEnd, Permit, Right, TicketUse,
};
use crate::record::TopicName;
use std::sync::Arc;
use warp::http::HeaderMap;
use warp::http::header;

/// What the request may do. Where nobody has to say who they are, that is everything.
pub async fn permit(app: &Arc<App>, request: &Request, asker: &RequestOrigin) -> Result<Permit, Problem> {
    if !app.settings.auth.is_on() {
        return Ok(Permit::everything());
    }
    let unreadable = |BadCredential| Problem::unauthorized(UNREADABLE, challenge(&request.headers));
    let credentials = credentials(request, asker).map_err(unreadable)?;
    let mut permit = permit_for(app, request, credentials.first(), arrival(request)).await;
    for credential in credentials.iter().skip(1) {
        if permit.is_ok() {
            break;
        }
        permit = permit_for(app, request, Some(credential), arrival(request)).await;
    }
    permit
}

/// What the request may do with this.
pub async fn permit_for(
    app: &Arc<App>,
    request: &Request,
    credential: Option<&Credential>,
    arrival: TicketUse,
) -> Result<Permit, Problem> {
    let refuse = |refused| problem(&refused, challenge(&request.headers));
    match app.settings.auth.answer(credential, arrival).await.map_err(refuse)? {
        AuthOutcome::Permitted(permit) => Ok(permit),
        AuthOutcome::Guessed(guess) => {
            let guessing = app.limits.guess(&ClientKey::of(&request.peer))?;
            let permit = guess.permit().await;
            if !matches!(permit, Err(AuthError::Wrong)) {
                guessing.was_no_mistake();
            }
            permit.map_err(refuse)
        }
    }
}

/// Cookies of a request that may be the session, and headers that are searched for them.
const MAX_SESSIONS: usize = 8;
const MAX_COOKIE_HEADERS: usize = 50;

const UNREADABLE: &str = "Authorization cannot be read; give Authorization: Bearer KEY, or curl -u NAME:KEY";

/// That a topic may be used so; its name must be one, too.
pub fn check(permit: &Permit, right: Right, topic: &str) -> Result<(), Problem> {
    if permit.identity().is_some() {
        permit.may(right, &TopicName::new(topic)?)?;
    }
    Ok(())
}

/// Likewise, with the end of what may go on for long.
pub fn check_to_the_end(app: &App, permit: &Permit, right: Right, topic: &str) -> Result<Option<Revoked>, Problem> {
    if permit.identity().is_none() {
        return Ok(None);
    }
    let topic = TopicName::new(topic)?;
    permit.may(right, &topic)?;
    Ok(over(app, permit, right, &[topic]))
}

/// The end of what goes on as long as the permit does; `None`: it has none.
pub fn over(app: &App, permit: &Permit, right: Right, topics: &[TopicName]) -> Option<Revoked> {
    let over = app.settings.auth.over(permit, right, topics.to_vec())?;
    Some(Box::pin(async { over.await.into() }))
}

/// Metrics are for everybody on this machine's own bridge, else for who has the right to them. What a proxy on this machine
/// hands on is from elsewhere.
pub async fn check_metrics(app: &Arc<App>, request: &Request, asker: &RequestOrigin) -> Result<(), Problem> {
    if app.guard().is_called_loopback(request.host.as_ref()) && !peer::is_forwarded(&request.headers) {
        return Ok(());
    }
    Ok(permit(app, request, asker).await?.may_read_metrics()?)
}

/// The header wins over the ticket, that over the cookie, and that over the certificate. Several are only cookies, of which
/// any may be the one that this bridge has set.
fn credentials(request: &Request, asker: &RequestOrigin) -> Result<Vec<Credential>, BadCredential> {
    if let Some(value) = request.headers.get(header::AUTHORIZATION) {
        return Credential::of_authorization(value.as_bytes()).map(|shown| vec![shown]);
    }
    if let Some(ticket) = ticket(request) {
        return Ok(vec![ticket]);
    }
    // Browsers send certificates by themselves, as they do cookies.
    let ours = is_ours(&request.headers, asker);
    if !ours {
        return Ok(Vec::new());
    }
    let sessions = sessions(request);
    Ok(if sessions.is_empty() { Vec::from_iter(certificate(request)) } else { sessions })
}

/// Streams alone take one: EventSource cannot set headers.
fn ticket(request: &Request) -> Option<Credential> {
    if !request.is_for_a_stream() || !request.query.contains(query::TICKET) {
        return None;
    }
    query::first(&request.query, query::TICKET).map(Credential::of_ticket)
}

fn certificate(request: &Request) -> Option<Credential> {
    let names = request.peer.certificate.as_ref()?;
    names.identity().map(|name| Credential::Certificate { name: name.to_owned(), ends: names.ends })
}

fn sessions(request: &Request) -> Vec<Credential> {
    let cookie = request.cookie();
    // HTTP/2 may send one header for each cookie.
    let headers = request.headers.get_all(header::COOKIE).iter().take(MAX_COOKIE_HEADERS);
    headers.flat_map(|value| Credential::of_cookies(value.as_bytes(), &cookie)).take(MAX_SESSIONS).collect()
}

/// Whether a cookie counts: browsers send it by themselves, also for a page of another port of the same host.
fn is_ours(headers: &HeaderMap, asker: &RequestOrigin) -> bool {
    match asker {
        RequestOrigin::Own | RequestOrigin::Listed(_) => true,
        RequestOrigin::Anybody => false,
        // No Origin: a page's own GET, somebody who typed the address, or a picture in another page.
        RequestOrigin::NoPage => {
            let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
            matches!(site, None | Some(b"same-origin" | b"none"))
        }
    }
}

/// A stream that was cut comes back with the id of its last event.
fn arrival(request: &Request) -> TicketUse {
    let header = request.headers.get("last-event-id").is_some_and(|id| !id.is_empty());
    let parameter = || ["last_event_id", "lastEventId"].iter().any(|name| query::first(&request.query, name).is_some());
    if header || parameter() { TicketUse::Again } else { TicketUse::First }
}

/// Browsers answer a challenge to Basic with a window of their own, and from then on send the password by themselves: they
/// are not asked for it.
fn challenge(headers: &HeaderMap) -> Challenge {
    let of_browser = ["sec-fetch-mode", "accept-language"].iter().any(|name| headers.contains_key(*name));
    if of_browser { Challenge::Bearer } else { Challenge::BearerOrBasic }
}

fn problem(refused: &AuthError, challenge: Challenge) -> Problem {
    match refused {
        AuthError::Missing => Problem::unauthorized(
            "who asks? give Authorization: Bearer KEY, curl -u NAME:KEY, a session (POST /login) or a ticket (POST /tickets)",
            challenge,
        ),
        AuthError::Wrong => {
            Problem::unauthorized("this key, token, session or ticket is not known here", challenge.of_wrong())
        }
        AuthError::Expired => Problem::unauthorized(
            "this key, token, session or ticket was good and is not any more; sign in again, or get a new ticket",
            challenge.of_wrong(),
        ),
        AuthError::Bad(why) => Problem::unauthorized(why, challenge.of_wrong()),
        AuthError::Busy(why) => Problem::busy(*why),
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::forbidden(denied.to_string())
    }
}

impl From<GrantEnd> for Problem {
    fn from(ended: GrantEnd) -> Self {
        let detail = match ended {
            GrantEnd::Expired => {
                "the key, token or session that this began with has ended; sign in again, or get a new ticket"
            }
            GrantEnd::Revoked => "the key, token or session that this began with has been revoked",
        };
        Self::unauthorized(detail, Challenge::Bearer.of_wrong())
    }
}

impl From<auth::Revocation> for Problem {
    fn from(over: auth::Revocation) -> Self {
        match over {
            auth::Revocation::Ended(ended) => ended.into(),
            auth::Revocation::Denied(denied) => denied.into(),
        }
    }
}
