//! HTTP requests to the replicas of a registry, with a time limit, bounded answers, and a back-off while none answers.

use super::RegistryError;
use super::failure::{describe, one_line};
use super::settings::{CredentialsError, RegistrySettings, RegistryUrl};
use crate::schemas::source::InvalidSchema;
use crate::sync::backoff::Backoff;
use crate::sync::lock;
use crate::sync::watchdog;
use log::{info, warn};
use serde::Deserialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use ureq::http::Response;

/// The largest answer.
pub const MAX_ANSWER: u64 = 4 << 20;
/// The media type of Confluent's API.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json;q=0.9, */*;q=0.1";
/// The first and the longest pause between requests while no replica answers.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A client of a registry, shared by all threads.
#[derive(Debug)]
pub struct RegistryClient {
    settings: RegistrySettings,
    agent: ureq::Agent,
    /// The replica that answered last.
    preferred: AtomicUsize,
    outage: Mutex<Option<RegistryOutage>>,
    /// Whether the credentials could not be read for the last request.
    lacks_credentials: AtomicBool,
    pub counts: RegistryCounts,
}

/// Requests to the registry by their outcome.
#[derive(Debug, Default)]
pub struct RegistryCounts {
    pub answered: AtomicU64,
    pub not_found: AtomicU64,
    pub refused: AtomicU64,
    pub unreachable: AtomicU64,
}

/// No replica answers.
#[derive(Debug)]
struct RegistryOutage {
    why: String,
    /// Until then, requests fail at once. Then one request finds out whether a replica answers.
    retry_at: Instant,
    backoff: Backoff,
}

/// The API that serves a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryApi {
    Confluent,
    /// Apicurio's native API.
    Apicurio,
}

/// A request, the same for all replicas.
#[derive(Debug)]
pub struct RegistryRequest<'a> {
    pub api: RegistryApi,
    pub path: String,
    /// The JSON of a POST; `None` for a GET.
    pub body: Option<&'a str>,
    /// What is looked up, for the error if it is missing.
    pub what: String,
}

/// A successful answer.
#[derive(Debug)]
pub struct RegistryAnswer {
    pub body: String,
    /// Apicurio's name of the format.
    pub artifact_type: Option<String>,
}

/// Why a replica has no answer.
enum AttemptError {
    /// The replica cannot be reached or is overloaded.
    Down(String),
    /// The replica answers, but not to this request.
    Failing(String),
    /// The request was not sent, because its credentials cannot be read.
    Untried(CredentialsError),
    /// The answer is final: another replica would give the same.
    Final(RegistryError),
}

/// The error of Confluent's API, or of Apicurio's.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorAnswer {
    message: Option<String>,
    title: Option<String>,
}

impl RegistryClient {
    pub fn new(settings: RegistrySettings) -> Self {
        // No redirects and no proxy, so that credentials are sent only to the configured hosts.
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
        let config = config.timeout_connect(Some(settings.timeout.min(Duration::from_secs(3))));
        let config = match &settings.tls {
            Some(tls) => config.tls_config(tls.clone()),
            None => config,
        };
        Self {
            agent: config.build().new_agent(),
            settings,
            preferred: AtomicUsize::new(0),
            outage: Mutex::default(),
            lacks_credentials: AtomicBool::new(false),
            counts: RegistryCounts::default(),
        }
    }

    pub fn urls(&self) -> &[RegistryUrl] {
        &self.settings.urls
    }

    /// Sends a request to one replica after the other until one answers, the last good one first. Blocks until `deadline` at
    /// most.
    pub fn call(&self, request: &RegistryRequest<'_>, deadline: Instant) -> Result<RegistryAnswer, RegistryError> {
        let _busy = watchdog::busy();
        self.check_outage()?;
        let urls = self.urls();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        let (mut is_down, mut answers, mut untried) = (false, false, 0);
        for at in (0..urls.len()).map(|i| (first + i) % urls.len().max(1)) {
            let Some(url) = urls.get(at) else { continue };
            let time = deadline.saturating_duration_since(Instant::now());
            if time.is_zero() {
                failures.push("no answer in time".to_owned());
                break;
            }
            match self.attempt(url, request, time) {
                Ok(answer) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    self.end_outage();
                    self.counts.answered.fetch_add(1, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(AttemptError::Final(error)) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    self.end_outage();
                    self.count(&error);
                    return Err(error);
                }
                // A schema with many references may use up the deadline of a registry that answers.
                Err(AttemptError::Down(why)) if time < self.settings.timeout => failures.push(why),
                Err(AttemptError::Down(why)) => {
                    is_down = true;
                    failures.push(why);
                }
                Err(AttemptError::Failing(why)) => {
                    answers = true;
                    failures.push(why);
                }
                Err(AttemptError::Untried(error)) => {
                    untried += 1;
                    self.warn_without_credentials(&error);
                    failures.push(format!("{url}: this bridge cannot read its credentials for it"));
                }
            }
        }
        let why = failures.join("; ");
        if answers {
            self.end_outage();
        } else if is_down {
            self.begin_outage(&why);
        }
        let error = match untried == failures.len() {
            true => RegistryError::Credentials(why),
            false => RegistryError::Unreachable(why),
        };
        self.count(&error);
        Err(error)
    }

    /// Sends a request to `url` alone.
    pub fn ask(&self, url: &RegistryUrl, request: &RegistryRequest<'_>) -> Result<RegistryAnswer, RegistryError> {
        self.attempt(url, request, self.settings.timeout).map_err(|error| match error {
            AttemptError::Down(why) | AttemptError::Failing(why) => RegistryError::Unreachable(why),
            AttemptError::Untried(error) => RegistryError::Credentials(error.to_string()),
            AttemptError::Final(error) => error,
        })
    }

    /// Logs the first of several such errors. They name a file, so clients do not see them.
    fn warn_without_credentials(&self, error: &CredentialsError) {
        if !self.lacks_credentials.swap(true, Ordering::Relaxed) {
            warn!("no request to the schema registry: {error}; records whose schemas are not cached stay undecoded");
        }
    }

    fn count(&self, error: &RegistryError) {
        let counts = &self.counts;
        let counter = match error {
            RegistryError::Unreachable(_) => &counts.unreachable,
            RegistryError::NotFound(_) => &counts.not_found,
            RegistryError::Credentials(_) | RegistryError::Refused(_) => &counts.refused,
            // The latter is decided before a request.
            RegistryError::Invalid(_) | RegistryError::TooManyUnknown { .. } => &counts.answered,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Fails during an outage, except for one request after each pause.
    fn check_outage(&self) -> Result<(), RegistryError> {
        let mut outage = lock(&self.outage);
        let Some(outage) = &mut *outage else { return Ok(()) };
        if Instant::now() < outage.retry_at {
            return Err(RegistryError::Unreachable(outage.why.clone()));
        }
        // Other requests fail until this one ends.
        outage.retry_at = Instant::now() + self.settings.timeout;
        Ok(())
    }

    fn begin_outage(&self, why: &str) {
        let mut outage = lock(&self.outage);
        if outage.is_none() {
            warn!("the schema registry cannot be reached: {why}; records whose schemas are not cached stay undecoded");
        }
        let mut backoff = match outage.take() {
            Some(outage) => outage.backoff,
            None => Backoff::new(PAUSES.0, PAUSES.1),
        };
        let retry_at = Instant::now() + backoff.pause(fastrand::f64());
        *outage = Some(RegistryOutage { why: why.to_owned(), retry_at, backoff });
    }

    fn end_outage(&self) {
        if lock(&self.outage).take().is_some() {
            info!("the schema registry is available again");
        }
    }

    fn attempt(
        &self,
        url: &RegistryUrl,
        request: &RegistryRequest<'_>,
        time: Duration,
    ) -> Result<RegistryAnswer, AttemptError> {
        let base = match request.api {
            RegistryApi::Confluent => url.confluent(),
            RegistryApi::Apicurio => url.apicurio().ok_or_else(|| not_found(&request.what))?,
        };
        let authorization = self.settings.authorization(url);
        let authorization = authorization.map_err(AttemptError::Untried)?;
        self.lacks_credentials.store(false, Ordering::Relaxed);
        let target = format!("{base}{}", request.path);
        let timeout = Some(time.min(self.settings.timeout));
        let headers = authorization.iter().map(|value| ("Authorization", value.reveal()));
        let headers = headers.chain([("Accept", ACCEPT)]);
        let response = match request.body {
            None => {
                let call = self.agent.get(&target).config().timeout_global(timeout).build();
                headers.fold(call, |call, (name, value)| call.header(name, value)).call()
            }
            Some(body) => {
                let call = self.agent.post(&target).config().timeout_global(timeout).build();
                headers.fold(call, |call, (name, value)| call.header(name, value)).content_type(MEDIA_TYPE).send(body)
            }
        };
        let response = response.map_err(|error| AttemptError::Down(describe(url, &error)))?;
        read(url, request, response)
    }
}

fn not_found(what: &str) -> AttemptError {
    AttemptError::Final(RegistryError::NotFound(what.to_owned()))
}

fn read(
    url: &RegistryUrl,
    request: &RegistryRequest<'_>,
    mut response: Response<ureq::Body>,
) -> Result<RegistryAnswer, AttemptError> {
    let status = response.status();
    if status.is_redirection() {
        let to = response.headers().get("Location").and_then(|location| location.to_str().ok());
        let to = to.and_then(|location| location.parse::<ureq::http::Uri>().ok());
        let to = to.as_ref().and_then(ureq::http::Uri::host).map(|host| format!(" to {}", one_line(host)));
        let to = to.unwrap_or_default();
        let why = format!("{url} redirects{to} ({}), which is not followed; give the final URL", status.as_u16());
        return Err(AttemptError::Failing(why));
    }
    let header = response.headers().get("X-Registry-ArtifactType").and_then(|value| value.to_str().ok());
    let artifact_type = header.map(str::to_owned);
    let body = match response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec() {
        Ok(body) => body,
        Err(ureq::Error::BodyExceedsLimit(_)) => {
            let why = format!("the answer of the schema registry is larger than {} MiB", MAX_ANSWER >> 20);
            return Err(AttemptError::Final(InvalidSchema(why).into()));
        }
        Err(error) => return Err(AttemptError::Down(describe(url, &error))),
    };
    if status.is_success() {
        let body = String::from_utf8(body);
        let body = body.map_err(|_| InvalidSchema("the answer of the schema registry is not UTF-8".to_owned()));
        return Ok(RegistryAnswer { body: body.map_err(|why| AttemptError::Final(why.into()))?, artifact_type });
    }
    let said = serde_json::from_slice::<ErrorAnswer>(&body).unwrap_or_default();
    let said = said.message.or(said.title).map(|message| format!(": {}", one_line(&message))).unwrap_or_default();
    let described = format!("{url} answers {}{said}", status.as_u16());
    match status.as_u16() {
        404 => Err(not_found(&request.what)),
        401 | 403 => Err(AttemptError::Final(RegistryError::Credentials(described))),
        429 | 503 => Err(AttemptError::Down(described)),
        500.. => Err(AttemptError::Failing(described)),
        _ => Err(AttemptError::Final(RegistryError::Refused(described))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::settings::RegistryCredentials;
    use super::*;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};

    fn client(address: SocketAddr, credentials: RegistryCredentials) -> RegistryClient {
        let urls = vec![RegistryUrl::parse(&format!("http://{address}")).unwrap()];
        RegistryClient::new(RegistrySettings { urls, credentials, tls: None, timeout: RegistrySettings::TIMEOUT })
    }

    fn request() -> RegistryRequest<'static> {
        RegistryRequest { api: RegistryApi::Confluent, path: "/x".to_owned(), body: None, what: "x".to_owned() }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_deadline_that_passes_is_no_outage() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(listener.local_addr().unwrap(), RegistryCredentials::Anonymous);
        std::thread::spawn(move || {
            let _silent = listener.accept().unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]").unwrap();
        });
        let confluent = request();
        for deadline in [Instant::now() + Duration::from_millis(50), Instant::now()] {
            let error = client.call(&confluent, deadline).unwrap_err();
            assert!(matches!(error, RegistryError::Unreachable(_)), "{error}");
        }
        assert_eq!(client.call(&confluent, soon()).unwrap().body, "[]");
    }

    #[test]
    fn a_request_that_is_not_sent_ends_no_outage() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = client(closed, RegistryCredentials::File("/nonexistent/curlew".into()));
        let error = client.ask(&client.urls()[0], &request()).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/curlew"), "{error}");
        // Clients see this one.
        let error = client.call(&request(), soon()).unwrap_err().to_string();
        assert!(error.contains("cannot read its credentials") && !error.contains("/nonexistent"), "{error}");
        client.begin_outage("no answer");
        lock(&client.outage).as_mut().unwrap().retry_at = Instant::now();
        assert!(client.call(&request(), soon()).is_err());
        assert!(lock(&client.outage).is_some());
    }
}
