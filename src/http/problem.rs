//! Errors as HTTP responses: problem details (RFC 9457). No other file names an error status.

pub use super::challenge::Challenge;
use crate::broker::{BrokerError, Setting, WriteState};
use crate::cel::CompileError;
use crate::cursor::CursorError;
use crate::hub::Rejected;
use crate::record::InvalidTopicName;
use crate::sync::memory_budget::Shortage;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::time::Duration;
use warp::http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use warp::http::{Response, StatusCode};
use warp::hyper::body::Bytes;

/// An error with its status. The detail contains the given value, the allowed values, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    /// The error code of the REST Proxy v2: the status, with two more digits where v2 distinguishes cases.
    code: u32,
    detail: String,
    header: ExtraHeader,
}

/// An additional header of the response.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ExtraHeader {
    None,
    RetryAfter(Duration),
    Allow(&'static str),
    Challenge(Challenge),
    /// The encodings allowed for a request body (RFC 9110, section 12.5.3).
    AcceptEncoding(&'static str),
    /// Closes the connection: the bytes that follow may be a body or another request.
    Close,
}

/// The `Retry-After` when the broker is unavailable or a queue is full.
const SOON: Duration = Duration::from_secs(1);

/// Maximum number of details in one [`Problem::together`]; further ones are only counted.
const MAX_DETAILS: usize = 8;

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, code: status.as_u16().into(), detail: detail.into(), header: ExtraHeader::None }
    }

    /// The request cannot be parsed.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The body ended early. `rest` names the line that was not written.
    pub fn cut(why: &str, rest: &str) -> Self {
        Self::bad_request(format!("the body ended early ({why}); {rest}"))
    }

    /// The request can be parsed but is not valid.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// The credentials are missing or rejected.
    pub fn unauthorized(detail: impl Into<String>, challenge: Challenge) -> Self {
        Self { header: ExtraHeader::Challenge(challenge), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// There is no such path.
    pub fn not_found(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("no such path: {path:?}; GET /openapi.json lists all paths, for example /topics/NAME/events"),
        )
    }

    /// The path is one of the consumer instances of REST proxies.
    pub fn no_consumers(path: &str) -> Self {
        let detail = format!(
            "{path:?}: this bridge has no consumer instances, because no client depends on state in a server here; read with \
             GET /topics/NAME/events (an EventSource, or one record per line with Accept: application/x-ndjson), which \
             resumes exactly at the id of the last event, or a page at a time with GET /topics/NAME/partitions/N/records"
        );
        Self::new(StatusCode::NOT_FOUND, detail).code(40403)
    }

    /// The path does not support the method. `allowed` is the value of the `Allow` header.
    pub fn method_not_allowed(method: &str, allowed: &'static str) -> Self {
        let detail = format!("{method} is not allowed here; allowed: {allowed}");
        Self { header: ExtraHeader::Allow(allowed), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    pub fn not_acceptable(accept: &str) -> Self {
        let allowed =
            "text/event-stream, application/x-ndjson (both also with format=cloudevents), text/csv (with format=csv)";
        Self::new(StatusCode::NOT_ACCEPTABLE, format!("Accept is {accept:?}; allowed for a stream: {allowed}"))
    }

    pub fn no_series_in(accept: &str) -> Self {
        let detail = format!("Accept is {accept:?}; allowed for series: application/json, text/csv, text/event-stream");
        Self::new(StatusCode::NOT_ACCEPTABLE, detail)
    }

    pub fn unsupported_media_type(given: &str, allowed: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Content-Type is {given:?}; allowed: {allowed}"))
    }

    /// The request states neither the length of its body nor that it is chunked (RFC 9110, section 15.5.12).
    pub fn length_required(detail: impl Into<String>) -> Self {
        Self { header: ExtraHeader::Close, ..Self::new(StatusCode::LENGTH_REQUIRED, detail) }
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// The `Content-Encoding` is not supported. `allowed` is the value of the `Accept-Encoding` header.
    pub fn unsupported_encoding(given: &str, allowed: &'static str) -> Self {
        let detail = format!("Content-Encoding is {given:?}; allowed: {allowed}, or none");
        Self { header: ExtraHeader::AcceptEncoding(allowed), ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail) }
    }

    pub fn unsupported_transfer_coding(given: &str) -> Self {
        let detail = format!(
            "Transfer-Encoding has {given:?}; only chunked is allowed (declare compression with Content-Encoding)"
        );
        Self::new(StatusCode::NOT_IMPLEMENTED, detail)
    }

    /// The client took too long to send its request.
    pub fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, detail)
    }

    pub fn header_too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
    }

    pub fn uri_too_long(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::URI_TOO_LONG, detail)
    }

    /// The client has reached one of its limits.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self { header: ExtraHeader::RetryAfter(SOON), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// Sets `Retry-After`.
    pub fn after(self, wait: Duration) -> Self {
        Self { header: ExtraHeader::RetryAfter(wait), ..self }
    }

    /// The request cannot be served at the moment; the client should retry.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self { header: ExtraHeader::RetryAfter(SOON), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// A fault of the bridge itself.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// A request that panicked, or whose task ended without a response.
    pub fn unserved() -> Self {
        Self::internal("the bridge failed to serve this request; please report it")
    }

    /// Merges problems with the same status and code into one that lists their distinct details. Returns `None` if they
    /// differ or there are none.
    pub fn together<'a>(mut problems: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut all = problems.next()?.clone();
        let mut details = vec![all.detail.as_str()];
        let mut more = 0;
        for problem in problems {
            if (problem.status, problem.code) != (all.status, all.code) {
                return None;
            }
            match details.contains(&problem.detail.as_str()) {
                true => {}
                false if details.len() < MAX_DETAILS => details.push(&problem.detail),
                false => more += 1,
            }
        }
        let detail = details.join("; ");
        all.detail = if more == 0 { detail } else { format!("{detail}; and {more} more") };
        Some(all)
    }

    pub fn code(mut self, code: u32) -> Self {
        self.code = code;
        self
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn error_code(&self) -> u32 {
        self.code
    }

    pub fn is_server_error(&self) -> bool {
        self.status.is_server_error()
    }

    /// Returns the problem with another detail.
    pub fn with_detail(&self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self.clone() }
    }

    /// Returns one problem for both. An unknown outcome outranks a server error, which outranks a client error, so that
    /// a client repeats a request only if that can help.
    pub fn or_worse(self, other: Self) -> Self {
        let rank = |status: StatusCode| match status {
            StatusCode::GATEWAY_TIMEOUT => 3,
            status if status.is_server_error() => 2,
            _ => 1,
        };
        match rank(self.status).cmp(&rank(other.status)) {
            Ordering::Greater => self,
            Ordering::Less => other,
            Ordering::Equal if (self.status, self.code) == (other.status, other.code) => self,
            Ordering::Equal if rank(self.status) == 2 => Self::busy(self.detail),
            Ordering::Equal => Self::unprocessable(self.detail),
        }
    }

    /// Returns the members of `application/problem+json` on one line.
    pub fn json(&self) -> String {
        self.members().to_string()
    }

    fn members(&self) -> Value {
        json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "error_code": self.code,
            "message": self.detail,
        })
    }

    pub fn response<B: From<Bytes>>(&self) -> Response<B> {
        self.response_with(Value::Null)
    }

    /// Returns the response with additional members (RFC 9457, section 3.2).
    pub fn response_with<B: From<Bytes>>(&self, more: Value) -> Response<B> {
        let mut members = self.members();
        if let (Value::Object(members), Value::Object(more)) = (&mut members, more) {
            members.extend(more);
        }
        let mut response = Response::new(B::from(Bytes::from(format!("{members}\n"))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.header {
            ExtraHeader::None => {}
            ExtraHeader::Challenge(challenge) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge.as_str()));
            }
            ExtraHeader::RetryAfter(time) => {
                let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
                drop(headers.insert(RETRY_AFTER, seconds.max(1).into()));
            }
            ExtraHeader::AcceptEncoding(allowed) => {
                drop(headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(allowed)))
            }
            ExtraHeader::Close => drop(headers.insert(CONNECTION, HeaderValue::from_static("close"))),
            ExtraHeader::Allow(methods) => drop(headers.insert(ALLOW, HeaderValue::from_static(methods))),
        }
        response
    }
}

impl From<&BrokerError> for Problem {
    fn from(error: &BrokerError) -> Self {
        let text = error.to_string();
        let problem = match error {
            BrokerError::UnknownTopic(topic) | BrokerError::Recreated(topic) => {
                let hint = "produce to it (the broker may create it), or wait for it with";
                let detail = format!("{text}; {hint} /topics/{topic}/events?wait=true");
                Self::new(StatusCode::NOT_FOUND, detail).code(40401)
            }
            BrokerError::UnknownPartition(_) => {
                let hint = "GET /topics/NAME lists the partitions";
                Self::new(StatusCode::NOT_FOUND, format!("{text}; {hint}")).code(40402)
            }
            BrokerError::OffsetOutOfRange(_) | BrokerError::Truncated { .. } => Self::bad_request(text),
            BrokerError::StaleMetadata(_)
            | BrokerError::Unavailable(_)
            | BrokerError::NotCreatedYet(_)
            | BrokerError::NotNow(_)
            | BrokerError::NoCredentials(_)
            | BrokerError::Storage(_)
            | BrokerError::SchemaPending(_)
            | BrokerError::Unwritable(_) => Self::busy(format!("{text}; try again")),
            BrokerError::ShuttingDown | BrokerError::Untrusted(_) => Self::busy(text),
            BrokerError::TimedOut(WriteState::No | WriteState::Maybe)
            | BrokerError::LostTrack
            | BrokerError::CreationUnconfirmed(..) => Self::new(StatusCode::GATEWAY_TIMEOUT, text),
            BrokerError::TooLarge(_) | BrokerError::OverBudget(_) | BrokerError::SnapshotTooLarge { .. } => {
                Self::too_large(with_flag(error))
            }
            BrokerError::BudgetUsedUp => Self::busy(text),
            BrokerError::InvalidRecord(_) | BrokerError::IdTooLong(_) => Self::unprocessable(with_flag(error)),
            BrokerError::TopicExists(_) => Self::new(StatusCode::CONFLICT, text),
            BrokerError::InvalidTopic(_) => Self::unprocessable(text),
            BrokerError::Denied(_) => Self::forbidden(text),
            BrokerError::Unsupported(_) => Self::bad_request(text),
            BrokerError::DiskFull(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, with_flag(error)),
            BrokerError::Damaged(_) | BrokerError::Internal(_) => Self::internal(text),
            BrokerError::Corrupt(_) | BrokerError::Refused { .. } => Self::busy(text),
        };
        // The REST proxies have one code for errors of Kafka that a retry may repair, and one for all others.
        match problem.status {
            StatusCode::SERVICE_UNAVAILABLE => problem.code(50003),
            status if status.is_server_error() => problem.code(50002),
            _ => problem,
        }
    }
}

/// Returns the text of an error, with the flag of the setting that can prevent it.
pub fn with_flag(error: &BrokerError) -> String {
    match error.setting() {
        Some(Setting::ClientProperty(name)) => format!("{error}; {name} is set in the file of --kafka-config"),
        Some(Setting::RetentionBytes) => format!("{error}; lower --retention-bytes to keep less"),
        Some(Setting::MaxHeader) => format!("{error}; raise --max-header (an id may take three quarters of it)"),
        Some(Setting::SnapshotBytes) => format!("{error}; narrow the snapshot (since=-24h), or raise --snapshot-bytes"),
        None => error.to_string(),
    }
}

impl From<BrokerError> for Problem {
    fn from(error: BrokerError) -> Self {
        Self::from(&error)
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        Self::busy(match rejected {
            Rejected::QueueFull => {
                "the producer's queue is full (the limit is --queue-bytes); nothing was written, try again"
            }
            Rejected::TooManyStreams => "too many streams are open (the limit is --max-streams); try again later",
            Rejected::ShuttingDown => "the bridge is shutting down; try again",
        })
    }
}

impl From<Shortage> for Problem {
    fn from(shortage: Shortage) -> Self {
        match shortage {
            Shortage::Now => Self::busy(shortage.to_string()),
            Shortage::Always { .. } => Self::too_large(format!("the response takes {shortage}")),
        }
    }
}

impl From<InvalidTopicName> for Problem {
    fn from(error: InvalidTopicName) -> Self {
        Self::unprocessable(error.to_string())
    }
}

impl From<CompileError> for Problem {
    fn from(error: CompileError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Self {
        Self::bad_request(error.to_string())
    }
}
