//! Checks that RFC 9112 requires and hyper omits. They run before the routes see the request, because warp panics on a
//! target without a path (seanmonstar/warp#1166).

use crate::http::handoff::HeadOnly;
use crate::http::problem::Problem;
use crate::http::trace;
use crate::sync::watchdog;
use std::convert::Infallible;
use std::future::Future;
use warp::http::header::{CONNECTION, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use warp::http::uri::Authority;
use warp::http::{Method, Request, Version};
use warp::reply::Response;

/// Returns the response of `service`, or a problem if the request is malformed. A panic in `service` becomes a 500, and
/// the connection stays open.
pub async fn respond<B, F>(
    request: Request<B>,
    service: impl FnOnce(Request<B>) -> F + Send,
) -> Result<Response, Infallible>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    let method = request.method().clone();
    let mut response = checked(request, service).await;
    if let Ok(response) = &mut response
        && method == Method::HEAD
    {
        response.extensions_mut().insert(HeadOnly);
    }
    response
}

async fn checked<B, F>(
    request: Request<B>,
    service: impl FnOnce(Request<B>) -> F + Send,
) -> Result<Response, Infallible>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    if let Err(problem) = check(&request) {
        let mut response: Response = problem.response();
        trace::identify(response.headers_mut());
        // After a malformed head the end of the body is uncertain. HTTP/2 delimits bodies by frames, and forbids the
        // header.
        if request.version() <= Version::HTTP_11 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        return Ok(response);
    }
    // Boxed, because hyper reserves space for the whole future on every connection, even before a request.
    let response = match watchdog::caught_in_poll(|| Box::pin(service(request))) {
        Some(response) => watchdog::caught_in_request(response).await,
        None => None,
    };
    response.unwrap_or_else(|| Ok(Problem::unserved().response()))
}

/// Maximum number of headers that hyper accepts.
const MAX_HEADERS: usize = 100;

/// Returns the problem of a request that hyper cannot parse. `unread` starts with the request's head, unless only the
/// value of a header was invalid.
pub fn unparsable(error: &hyper::Error, unread: &[u8], max_head: usize) -> Problem {
    if error.is_parse_too_large() {
        let lines = unread.iter().filter(|byte| **byte == b'\n').take(MAX_HEADERS + 1).count();
        return if error.to_string().contains("URI") {
            Problem::uri_too_long("the request target is longer than 65,534 bytes")
        } else if unread.len() >= max_head || lines > MAX_HEADERS {
            Problem::header_too_large(format!(
                "the request head is larger than {max_head} bytes or has more than {MAX_HEADERS} headers"
            ))
        } else {
            Problem::too_large("Content-Length exceeds the largest allowed body (the limit is --max-body)")
        };
    }
    let line = unread.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let hint = if line.iter().filter(|byte| **byte == b' ').count() > 2 {
        "; write a space in a URL as %20 (curl does it for `-G --data-urlencode NAME=VALUE`)"
    } else {
        ""
    };
    Problem::bad_request(format!(
        "this is not an HTTP/1.1 request (RFC 9112): {error}; expected METHOD /PATH HTTP/1.1 with a percent-encoded path, \
         then headers{hint}"
    ))
}

fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    if request.method() == Method::CONNECT {
        return Err(Problem::bad_request("CONNECT is for proxies; this server is not a proxy"));
    }
    // `a` and `a:1` parse as an authority without a path.
    if request.uri().path_and_query().is_none() {
        let detail = format!("the request target {:?} has no path; it must start with /", request.uri().to_string());
        return Err(Problem::bad_request(detail));
    }
    match request.version() {
        Version::HTTP_11 => {
            check_host(request.headers())?;
            check_transfer_encoding(request.headers())
        }
        _ => Ok(()),
    }
}

/// Requires exactly one valid Host header, which may be empty (RFC 9112, 3.2).
fn check_host(headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        let number = headers.get_all(HOST).iter().count();
        return Err(Problem::bad_request(format!(
            "the request has {number} Host headers; HTTP/1.1 requires exactly one (RFC 9112, 3.2)"
        )));
    };
    if host.is_empty() || Authority::try_from(host.as_bytes()).is_ok() {
        return Ok(());
    }
    let given = String::from_utf8_lossy(host.as_bytes());
    Err(Problem::bad_request(format!("Host is {given:?}; a host name with or without a port is expected")))
}

/// Rejects unknown transfer codings with 501 (RFC 9112, 6.1). hyper checks that `chunked` is the last one.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    for value in headers.get_all(TRANSFER_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        for coding in value.split(',').map(str::trim).filter(|coding| !coding.is_empty()) {
            if !coding.eq_ignore_ascii_case("chunked") {
                return Err(Problem::unsupported_transfer_coding(coding));
            }
        }
    }
    Ok(())
}
