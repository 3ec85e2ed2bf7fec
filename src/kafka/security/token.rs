//! OAuth tokens for OAUTHBEARER, from a file that another program renews, or from an authorization server by the
//! client-credentials grant (RFC 6749, 4.4).

use super::explain::TlsFailure;
use super::token_error::TokenError;
use crate::broker::BrokerError;
use crate::os::small_file;
use crate::secret::Secret;
use crate::sync::lock;
use crate::tls;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest wait for an authorization server. It delays only the connection attempt that needs the token.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The minimum pause between requests to the authorization server after a failure.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The limit of a response and of a token file.
const MAX_BYTES: u64 = 64 << 10;
/// The part of a token's lifetime after which it is replaced (Kafka's `sasl.login.refresh.window.factor`).
const REFRESH_AT: f64 = 0.8;

/// The source of tokens.
pub enum TokenSource {
    /// Read for each authentication.
    File(PathBuf),
    /// Fetched from an authorization server, and cached.
    Endpoint(Box<TokenClient>),
}

/// A client of an OAuth authorization server.
pub struct TokenClient {
    url: String,
    id: String,
    secret: Secret,
    scope: Option<String>,
    agent: ureq::Agent,
}

/// Caches the token for all connections, and fetches a new one before it expires.
pub struct TokenCache {
    source: TokenSource,
    /// Never locked during a fetch.
    last: Mutex<Option<BearerToken>>,
    /// Locked during a fetch, so that only one thread fetches. Holds the last failure until a fetch succeeds.
    fetching: Mutex<Option<FailedFetch>>,
}

struct BearerToken {
    text: Secret,
    /// When to fetch the next token. `None` stands for never.
    renew_at: Option<Instant>,
    /// When the token expires. `None` stands for never.
    expires_at: Option<Instant>,
}

struct FailedFetch {
    at: Instant,
    why: BrokerError,
}

impl TokenClient {
    /// Creates a client of the server at `url` (http or https). A URL with https requires `tls`.
    pub fn new(
        url: String,
        (id, secret): (String, Secret),
        scope: Option<String>,
        tls: Option<ureq::tls::TlsConfig>,
    ) -> Self {
        // No redirects and no proxy, so that the secret is sent only to the configured server.
        let mut config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
        if let Some(tls) = tls {
            config = config.tls_config(tls);
        }
        Self { url, id, secret, scope, agent: config.build().new_agent() }
    }

    fn fetch(&self, timeout: Duration) -> Result<BearerToken, TokenError> {
        let began = Instant::now();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = &self.scope {
            form.append_pair("scope", scope);
        }
        // RFC 6749, 2.3.1: id and secret are form-encoded first.
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic = STANDARD.encode(format!("{}:{}", encoded(&self.id), encoded(self.secret.reveal())));
        let response = self
            .agent
            .post(&self.url)
            .config()
            .timeout_global(Some(timeout.min(TIMEOUT)))
            .build()
            .header("Authorization", format!("Basic {basic}"))
            .header("Accept", "application/json")
            .content_type("application/x-www-form-urlencoded")
            .send(form.finish());
        let url = || self.url.clone();
        let mut response = response.map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_string();
        let body = body.map_err(|source| TokenError::Request { url: url(), source })?;
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        match (status, text("access_token")) {
            (200, Some(token)) => {
                let announced = json.get("expires_in").and_then(Value::as_u64).map(Duration::from_secs);
                let life = announced.or_else(|| time_left(token)).unwrap_or_default();
                Ok(BearerToken::new(Secret::new(token), began, life))
            }
            (200, None) => Err(TokenError::NoAccessToken { url: url() }),
            (400..=403, _) => {
                let reason = text("error_description").or(text("error")).unwrap_or("without a reason").to_owned();
                Err(TokenError::Rejected { url: url(), client: self.id.clone(), status, reason })
            }
            (status, _) => Err(TokenError::Status { url: url(), status }),
        }
    }

    fn unreachable(&self, error: ureq::Error) -> TokenError {
        let url = self.url.clone();
        match tls::fault_of(&error) {
            Some(fault) => TokenError::Tls(TlsFailure::TokenServer { url, source: fault.clone() }),
            None => TokenError::Request { url, source: error },
        }
    }
}

impl BearerToken {
    /// A token with a lifetime of zero is used once.
    fn new(text: Secret, from: Instant, life: Duration) -> Self {
        // A lifetime that overflows never ends.
        Self { text, renew_at: from.checked_add(life.mul_f64(REFRESH_AT)), expires_at: from.checked_add(life) }
    }
}

fn is_past(at: Option<Instant>) -> bool {
    at.is_some_and(|at| Instant::now() >= at)
}

impl TokenCache {
    /// Creates a cache without a token, which fetches one on first use.
    pub fn new(source: TokenSource) -> Self {
        Self { source, last: Mutex::default(), fetching: Mutex::default() }
    }

    /// Returns a token that has not expired, and fetches one if needed. Blocks for at most `timeout`, or twice that if
    /// another thread is already fetching.
    pub fn get(&self, timeout: Duration) -> Result<Secret, BrokerError> {
        let arrived = Instant::now();
        let client = match &self.source {
            TokenSource::File(path) => return Ok(self.keep(BearerToken::new(read(path)?, arrived, Duration::ZERO))),
            TokenSource::Endpoint(client) => client,
        };
        if let Some(token) = self.cached(|token| !is_past(token.renew_at)) {
            return Ok(token);
        }
        let still_good = || self.cached(|token| !is_past(token.expires_at));
        let mut failure = match self.fetching.try_lock() {
            Ok(failure) => failure,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => match still_good() {
                Some(token) => return Ok(token),
                None => lock(&self.fetching),
            },
        };
        if let Some(token) = self.cached(|token| !is_past(token.renew_at)) {
            return Ok(token);
        }
        // A caller that waited for the failed fetch, or arrives shortly after it, does not fetch again: it gets the
        // cached token if that has not expired, and otherwise the same error.
        if let Some(failure) = &*failure
            && (failure.at >= arrived || failure.at.elapsed() < RETRY_PAUSE)
        {
            return still_good().ok_or_else(|| failure.why.clone());
        }
        match client.fetch(timeout).map_err(BrokerError::from) {
            Ok(token) => {
                *failure = None;
                Ok(self.keep(token))
            }
            Err(why) => {
                let is_first = failure.replace(FailedFetch { at: Instant::now(), why: why.clone() }).is_none();
                let Some(token) = still_good() else { return Err(why) };
                if is_first {
                    log::warn!("cannot fetch a new token, using the cached one until it expires: {why}");
                }
                Ok(token)
            }
        }
    }

    /// Expires the cached token, because a broker rejected it.
    pub fn expire(&self) {
        if let Some(token) = &mut *self.last() {
            token.renew_at = Some(Instant::now());
            token.expires_at = token.renew_at;
        }
    }

    fn cached(&self, is_wanted: impl FnOnce(&BearerToken) -> bool) -> Option<Secret> {
        self.last().as_ref().filter(|token| is_wanted(token)).map(|token| token.text.clone())
    }

    fn keep(&self, token: BearerToken) -> Secret {
        self.last().insert(token).text.clone()
    }

    fn last(&self) -> MutexGuard<'_, Option<BearerToken>> {
        lock(&self.last)
    }

    /// Returns the file or URL of the tokens.
    pub fn describe(&self) -> String {
        match &self.source {
            TokenSource::File(path) => path.display().to_string(),
            TokenSource::Endpoint(client) => client.url.clone(),
        }
    }

    /// Returns the `sub` claim of the cached token.
    pub fn user(&self) -> Option<String> {
        let token = self.cached(|_| true)?;
        claims(token.reveal())?.get("sub")?.as_str().map(str::to_owned)
    }
}

fn read(path: &std::path::Path) -> Result<Secret, TokenError> {
    let text = small_file::read_regular_text(path);
    let text = text.map_err(|source| TokenError::File { file: path.to_owned(), source })?;
    let text = text.trim();
    let fits = !text.is_empty() && text.len() as u64 <= MAX_BYTES && text.bytes().all(|b| b.is_ascii_graphic());
    match fits {
        true => Ok(Secret::new(text)),
        false => Err(TokenError::NotAToken(path.to_owned())),
    }
}

/// Returns the claims of a JWT without verifying it, which is the broker's task.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
}

/// Returns the remaining lifetime of a JWT by its `exp` claim.
fn time_left(token: &str) -> Option<Duration> {
    let expires = Duration::from_secs_f64(claims(token)?.get("exp")?.as_f64().filter(|exp| (0.0..1e11).contains(exp))?);
    Some(expires.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).ok()?))
}

/// Returns why a broker may have rejected the token, if its claims show it.
pub fn rejection_hint(token: &Secret) -> Option<&'static str> {
    (time_left(token.reveal())? == Duration::ZERO).then_some("the token has expired")
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenCache({})", self.describe())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
