//! Authenticates requests: finds their credentials and turns them into a [`Permit`].

use super::App;
use super::limits::ClientKey;
use super::origin::RequestOrigin;
use super::peer;
use super::problem::{Challenge, Problem};
use super::query;
use super::request::Request;
use super::shutdown::Revoked;
use crate::auth::{
    self, AuthError, AuthOutcome, BadCredential, Credential, Denied, GrantEnd, Permit, Right, TicketUse,
};
use crate::record::TopicName;
use std::sync::Arc;
use warp::http::HeaderMap;
use warp::http::header;

/// Authenticates a request. Everything is permitted if authentication is off.
pub async fn authenticate(app: &Arc<App>, request: &Request, origin: &RequestOrigin) -> Result<Permit, Problem> {
    if !app.settings.auth.is_enabled() {
        return Ok(Permit::unrestricted());
    }
    let permit = authenticate_any(app, request, origin).await;
    permit.iter().for_each(|permit| request.authenticated(permit));
    permit
}

/// Authenticates a request with the first of its credentials that is valid.
async fn authenticate_any(app: &Arc<App>, request: &Request, origin: &RequestOrigin) -> Result<Permit, Problem> {
    let unreadable = |BadCredential| Problem::unauthorized(UNREADABLE, challenge(&request.headers));
    let credentials = credentials(request, origin).map_err(unreadable)?;
    let mut permit = authenticate_with(app, request, credentials.first(), ticket_use(request)).await;
    for credential in credentials.iter().skip(1) {
        if permit.is_ok() {
            break;
        }
        permit = authenticate_with(app, request, Some(credential), ticket_use(request)).await;
    }
    permit
}

/// Authenticates a request with the given credential. Applies the rate limit for password guesses.
pub async fn authenticate_with(
    app: &Arc<App>,
    request: &Request,
    credential: Option<&Credential>,
    ticket_use: TicketUse,
) -> Result<Permit, Problem> {
    let reject = |error: AuthError| {
        let problem = problem(&error, challenge(&request.headers));
        // A request without credentials is no attempt to get in, and the others say nothing about the client.
        if matches!(error, AuthError::Unknown | AuthError::InvalidToken(_) | AuthError::Expired) {
            app.rejected_credentials.report(&format!("credentials from {}: {}", request.peer, problem.detail()));
        }
        problem
    };
    match app.settings.auth.authenticate(credential, ticket_use).await.map_err(reject)? {
        AuthOutcome::Permitted(permit) => Ok(permit),
        AuthOutcome::CheckPassword(check) => {
            let slot = app.limits.check_password(&ClientKey::of(&request.peer))?;
            let permit = check.run().await;
            if !matches!(permit, Err(AuthError::Unknown)) {
                slot.refund();
            }
            permit.map_err(reject)
        }
    }
}

/// Maximum number of session cookies that are tried for a request, and of `Cookie` headers that are searched for them.
const MAX_SESSIONS: usize = 8;
const MAX_COOKIE_HEADERS: usize = 50;

const UNREADABLE: &str = "malformed Authorization header; send `Authorization: Bearer KEY`, or use curl -u NAME:KEY";

/// Checks that a permit includes `right` for `topic`, which must be a valid name.
pub fn check(permit: &Permit, right: Right, topic: &str) -> Result<(), Problem> {
    if permit.identity().is_some() {
        permit.may(right, &TopicName::new(topic)?)?;
    }
    Ok(())
}

/// Like [`check`], and returns a future that completes when the permit no longer includes the right. Long-running
/// requests end with it.
pub fn check_until_revoked(app: &App, permit: &Permit, right: Right, topic: &str) -> Result<Option<Revoked>, Problem> {
    if permit.identity().is_none() {
        return Ok(None);
    }
    let topic = TopicName::new(topic)?;
    permit.may(right, &topic)?;
    Ok(revocation(app, permit, right, &[topic]))
}

/// Returns a future that completes when `permit` no longer includes `right` for all of `topics`, or `None` if it cannot
/// be revoked.
pub fn revocation(app: &App, permit: &Permit, right: Right, topics: &[TopicName]) -> Option<Revoked> {
    let revocation = app.settings.auth.revocation(permit, right, topics.to_vec())?;
    Some(Box::pin(async { revocation.await.into() }))
}

/// Checks that a request may read the metrics: without credentials on a loopback bridge, else with the right `metrics`.
/// A request that a local proxy forwards is not local.
pub async fn check_metrics(app: &Arc<App>, request: &Request, origin: &RequestOrigin) -> Result<(), Problem> {
    if app.origin_policy().is_called_loopback(request.host.as_ref()) && !peer::is_forwarded(&request.headers) {
        return Ok(());
    }
    Ok(authenticate(app, request, origin).await?.may_read_metrics()?)
}

/// Returns the credentials of a request, in order of precedence: the header, a ticket, session cookies, the client
/// certificate. Only cookies can yield several, any of which may be the one that this bridge has set.
fn credentials(request: &Request, origin: &RequestOrigin) -> Result<Vec<Credential>, BadCredential> {
    if let Some(value) = request.headers.get(header::AUTHORIZATION) {
        return Credential::from_authorization(value.as_bytes()).map(|credential| vec![credential]);
    }
    if let Some(ticket) = ticket(request) {
        return Ok(vec![ticket]);
    }
    // Browsers attach cookies and client certificates to requests of any page, so they count only for trusted origins.
    let trusts_ambient = accepts_ambient(&request.headers, origin);
    if !trusts_ambient {
        return Ok(Vec::new());
    }
    let sessions = sessions(request);
    Ok(if sessions.is_empty() { Vec::from_iter(certificate(request)) } else { sessions })
}

/// Returns the ticket of a request. Only streams accept tickets, because `EventSource` cannot set headers.
fn ticket(request: &Request) -> Option<Credential> {
    if !request.is_for_a_stream() || !request.query.contains(query::TICKET) {
        return None;
    }
    query::first(&request.query, query::TICKET).map(Credential::from_ticket)
}

fn certificate(request: &Request) -> Option<Credential> {
    let certificate = request.peer.certificate.as_ref()?;
    certificate.identity().map(|name| Credential::Certificate { name: name.to_owned(), expires: certificate.expires })
}

fn sessions(request: &Request) -> Vec<Credential> {
    let cookie = request.cookie();
    // HTTP/2 may split cookies over several headers (RFC 9113, 8.2.3).
    let headers = request.headers.get_all(header::COOKIE).iter().take(MAX_COOKIE_HEADERS);
    headers.flat_map(|value| Credential::from_cookies(value.as_bytes(), &cookie)).take(MAX_SESSIONS).collect()
}

/// Whether cookies and certificates count: browsers also attach them to requests of pages on another port of the same
/// host (CSRF).
fn accepts_ambient(headers: &HeaderMap, origin: &RequestOrigin) -> bool {
    match origin {
        RequestOrigin::SameOrigin | RequestOrigin::Listed(_) => true,
        RequestOrigin::Any => false,
        // No `Origin`: a page's same-origin GET, a URL typed by the user, or an image in another site's page.
        RequestOrigin::NoPage => {
            let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
            matches!(site, None | Some(b"same-origin" | b"none"))
        }
    }
}

/// Returns the use of the ticket in a request. A stream that reconnects sends the id of its last event.
fn ticket_use(request: &Request) -> TicketUse {
    let header = request.headers.get("last-event-id").is_some_and(|id| !id.is_empty());
    let parameter = || ["last_event_id", "lastEventId"].iter().any(|name| query::first(&request.query, name).is_some());
    if header || parameter() { TicketUse::Resume } else { TicketUse::First }
}

/// Returns the challenge for a client. Browsers are not offered Basic: they would show a password dialog, and then attach the
/// password to every request.
fn challenge(headers: &HeaderMap) -> Challenge {
    let is_browser = ["sec-fetch-mode", "accept-language"].iter().any(|name| headers.contains_key(*name));
    if is_browser { Challenge::Bearer } else { Challenge::BearerOrBasic }
}

fn problem(error: &AuthError, challenge: Challenge) -> Problem {
    match error {
        AuthError::Missing => Problem::unauthorized(
            "missing credentials; send `Authorization: Bearer KEY` (curl -u NAME:KEY), a session (POST /login) or a ticket \
             (POST /tickets)",
            challenge,
        ),
        AuthError::Unknown => Problem::unauthorized("unknown key, token, session or ticket", challenge.of_wrong()),
        AuthError::Expired => Problem::unauthorized(
            "this key, token, session or ticket has expired or was revoked; sign in again, or get a new ticket",
            challenge.of_wrong(),
        ),
        AuthError::InvalidToken(why) => Problem::unauthorized(why, challenge.of_wrong()),
        AuthError::Unavailable(why) => Problem::busy(*why),
        AuthError::Failed => Problem::unserved(),
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::forbidden(denied.to_string())
    }
}

impl From<GrantEnd> for Problem {
    fn from(end: GrantEnd) -> Self {
        let detail = match end {
            GrantEnd::Expired => {
                "the key, token or session behind this request has expired; sign in again, or get a new ticket"
            }
            GrantEnd::Revoked => "the key, token or session behind this request has been revoked",
        };
        Self::unauthorized(detail, Challenge::Bearer.of_wrong())
    }
}

impl From<auth::Revocation> for Problem {
    fn from(revocation: auth::Revocation) -> Self {
        match revocation {
            auth::Revocation::Ended(end) => end.into(),
            auth::Revocation::Denied(denied) => denied.into(),
        }
    }
}
