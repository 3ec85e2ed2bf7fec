//! OAuth tokens for OAUTHBEARER: from a file that something else keeps fresh, or from an
//! authorization server by the client-credentials grant (RFC 6749, 4.4).

use super::Secret;
use crate::broker::BrokerError;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An authorization server that is slower holds up a connection attempt, no more.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of an answer and of a file.
const MAX_BYTES: u64 = 64 << 10;
/// How much of a token's life it is used for new authentications (Kafka's `sasl.login.refresh.window.factor`).
const USED_UP: f64 = 0.8;

/// Where tokens come from.
pub enum Source {
    /// Read anew each time.
    File(PathBuf),
    Endpoint(Box<Client>),
}

/// A client of an authorization server.
pub struct Client {
    url: String,
    id: String,
    secret: Secret,
    scope: Option<String>,
    agent: ureq::Agent,
}

/// Tokens for any number of connections; asks for a new one before the last expires.
pub struct Tokens {
    source: Source,
    /// Held while one is asked for, so that it is asked for once.
    last: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: Secret,
    /// From here on another one is wanted.
    renew_at: Instant,
}

impl Client {
    /// `url`: http or https; the certificates of `trust` count for the latter.
    pub fn new(
        url: String,
        (id, secret): (String, Secret),
        scope: Option<String>,
        trust: &[CertificateDer<'static>],
    ) -> Result<Self, String> {
        let mut config =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).timeout_global(Some(TIMEOUT));
        if url.starts_with("https://") {
            let trust: Vec<_> = trust.iter().map(|der| ureq::tls::Certificate::from_der(der).to_owned()).collect();
            let tls = ureq::tls::TlsConfig::builder()
                .unversioned_rustls_crypto_provider(crate::tls::provider()?)
                .root_certs(ureq::tls::RootCerts::new_with_certs(&trust))
                .build();
            config = config.tls_config(tls);
        }
        Ok(Self { url, id, secret, scope, agent: config.build().new_agent() })
    }

    fn fetch(&self) -> Result<(Secret, Option<Duration>), BrokerError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = &self.scope {
            form.append_pair("scope", scope);
        }
        // RFC 6749, 2.3.1: id and secret are form-encoded first.
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic = STANDARD.encode(format!("{}:{}", encoded(&self.id), encoded(self.secret.reveal())));
        let answer = self
            .agent
            .post(&self.url)
            .header("Authorization", format!("Basic {basic}"))
            .header("Accept", "application/json")
            .content_type("application/x-www-form-urlencoded")
            .send(form.finish());
        let away = |why: String| BrokerError::Unavailable(format!("no token from {}: {why}", self.url));
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(MAX_BYTES).read_to_string();
        let body = body.map_err(|error| away(error.to_string()))?;
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        match (status.as_u16(), text("access_token")) {
            (200, Some(token)) => {
                let lifetime = json.get("expires_in").and_then(Value::as_u64).map(Duration::from_secs);
                Ok((Secret::new(token), lifetime))
            }
            (200, None) => Err(away("the answer holds no access_token".to_owned())),
            (400..=403, _) => {
                let why = text("error_description").or(text("error")).unwrap_or("without a reason");
                Err(BrokerError::Untrusted(format!(
                    "{} gives no token to client {:?} (status {}): {why}; check clientId, clientSecret and scope",
                    self.url,
                    self.id,
                    status.as_u16()
                )))
            }
            (status, _) => Err(away(format!("it answers with status {status}"))),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> BrokerError {
        match error {
            ureq::Error::Rustls(error) => {
                let host = self.url.trim_start_matches("https://").split('/').next().unwrap_or_default();
                BrokerError::Untrusted(format!("no token: {}", super::explain(host, error)))
            }
            other => BrokerError::Unavailable(format!("no token from {}: {other}", self.url)),
        }
    }
}

impl Tokens {
    pub fn new(source: Source) -> Self {
        Self { source, last: Mutex::default() }
    }

    /// A token that has some time to live yet. Blocks for [`TIMEOUT`] at most.
    pub fn get(&self) -> Result<Secret, BrokerError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &*last
            && Instant::now() < token.renew_at
        {
            return Ok(token.text.clone());
        }
        match &self.source {
            Source::File(path) => read(path),
            Source::Endpoint(client) => {
                let (text, told) = client.fetch()?;
                let life = told.or_else(|| time_left(text.reveal())).unwrap_or_default();
                *last = Some(Token { text: text.clone(), renew_at: Instant::now() + life.mul_f64(USED_UP) });
                Ok(text)
            }
        }
    }

    /// The broker did not take it: the next one must be a new one.
    pub fn refused(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Where they come from.
    pub fn describe(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Endpoint(client) => client.url.clone(),
        }
    }

    /// Whose the tokens are, as the last one says (`sub`).
    pub fn user(&self) -> Option<String> {
        let token = match &self.source {
            Source::File(path) => read(path).ok()?,
            Source::Endpoint(_) => self.last.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.text.clone(),
        };
        claims(token.reveal())?.get("sub")?.as_str().map(str::to_owned)
    }
}

fn read(path: &PathBuf) -> Result<Secret, BrokerError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| BrokerError::Unavailable(format!("no token in {}: {error}", path.display())))?;
    let text = text.trim();
    let fits = !text.is_empty() && text.len() as u64 <= MAX_BYTES && text.bytes().all(|b| b.is_ascii_graphic());
    match fits {
        true => Ok(Secret::new(text)),
        false => Err(BrokerError::Untrusted(format!("{} does not hold a token", path.display()))),
    }
}

/// The claims of a JWT. They are the broker's to verify, and only a hint here.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
}

fn time_left(token: &str) -> Option<Duration> {
    let expires = Duration::from_secs_f64(claims(token)?.get("exp")?.as_f64().filter(|exp| (0.0..1e11).contains(exp))?);
    Some(expires.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).ok()?))
}

/// Why the broker refuses a token, as far as the token itself tells.
pub fn look(token: &Secret) -> Option<&'static str> {
    (time_left(token.reveal())? == Duration::ZERO).then_some("the token has expired")
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.describe())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Answers one request after the other with these, then no more.
    fn server(answers: Vec<(u16, String)>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for (status, body) in answers {
                let (mut client, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let head =
                    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                client.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        url
    }

    fn tokens(answers: Vec<(u16, String)>) -> Tokens {
        let credentials = ("bridge".to_owned(), Secret::new("hunter2"));
        Tokens::new(Source::Endpoint(Box::new(Client::new(server(answers), credentials, None, &[]).unwrap())))
    }

    fn given(token: &str, seconds: u64) -> (u16, String) {
        (200, serde_json::json!({"access_token": token, "expires_in": seconds}).to_string())
    }

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn a_token_is_used_until_it_grows_old_or_is_refused() {
        let tokens = tokens(vec![given("short", 0), given("long", 3600), given("new", 3600)]);
        let next = || tokens.get().unwrap().reveal().to_owned();
        assert_eq!([next(), next(), next()], ["short", "long", "long"]);
        tokens.refused();
        assert_eq!(next(), "new");
    }

    #[test]
    fn a_server_that_refuses_is_told_from_one_that_is_away() {
        let refusal = r#"{"error":"invalid_client","error_description":"no such client"}"#.to_owned();
        let cases = [
            ((401, refusal), "Untrusted", "no such client"),
            ((500, String::new()), "Unavailable", "status 500"),
            ((200, "{}".to_owned()), "Unavailable", "no access_token"),
            ((200, "<html>".to_owned()), "Unavailable", "no access_token"),
        ];
        for (answer, kind, words) in cases {
            let error = tokens(vec![answer]).get().err().unwrap();
            let text = format!("{error:?}");
            assert!(text.starts_with(kind) && text.contains(words) && !text.contains("hunter2"), "{text}");
        }
        let error = tokens(Vec::new()).get().err().unwrap();
        assert!(matches!(error, BrokerError::Unavailable(_)), "{error:?}");
    }

    #[test]
    fn what_a_token_says_of_itself_is_read_and_not_believed_blindly() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let left = |claims: Value| time_left(&jwt(&claims)).map(|left| left.as_secs());
        assert!(left(serde_json::json!({"exp": now + 100})).is_some_and(|left| (98..=100).contains(&left)));
        assert_eq!(left(serde_json::json!({"exp": now - 100})), Some(0));
        for claims in [serde_json::json!({}), serde_json::json!({"exp": -1}), serde_json::json!({"exp": 1e300})] {
            assert_eq!(left(claims), None);
        }
        assert_eq!(time_left("opaque"), None);
        assert_eq!(claims(&jwt(&serde_json::json!({"sub": "alice"}))).unwrap()["sub"], "alice");
    }
}
