//! Tokens of an identity provider: its key set at a URL, key rotation, and outages.

use curlew::auth::{AuthError, AuthOutcome, Authenticator, Credential, GrantEnd, Permit, Revocation, Right, TicketUse};
use curlew::record::{TopicName, now};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(15);

/// Serves a key set until the test ends. Responds with 500 if the text is empty.
struct Provider {
    url: String,
    text: Arc<Mutex<String>>,
    requests: Arc<Mutex<Vec<Instant>>>,
    /// While true, the provider accepts requests but does not respond.
    is_quiet: Arc<AtomicBool>,
}

impl Provider {
    fn start(text: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let text = Arc::new(Mutex::new(text.to_string()));
        let (requests, is_quiet) = (Arc::<Mutex<Vec<Instant>>>::default(), Arc::<AtomicBool>::default());
        let (response, times, silence) = (text.clone(), requests.clone(), is_quiet.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
                times.lock().unwrap().push(Instant::now());
                while silence.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let body = response.lock().unwrap().clone();
                let status = if body.is_empty() { "500 Oops" } else { "200 OK" };
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes());
            }
        });
        Self { url, text, requests, is_quiet }
    }

    fn set_text(&self, text: &str) {
        *self.text.lock().unwrap() = text.to_owned();
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Waits until it has received `times` requests.
    async fn until_requested(&self, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.requests() < times {
            assert!(Instant::now() < deadline, "the provider received only {} requests", self.requests());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A signing key with its `kid`.
struct Signer(&'static str, EncodingKey, Algorithm);

fn rsa() -> Signer {
    let pem = include_str!("../../src/auth/jwt/testing/rsa.pem");
    Signer("first", EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), Algorithm::RS256)
}

fn ec() -> Signer {
    let pem = include_str!("../../src/auth/jwt/testing/ec.pem");
    Signer("second", EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(), Algorithm::ES256)
}

impl Signer {
    fn token(&self, seconds: i64) -> Credential {
        let header = Header { kid: Some(self.0.to_owned()), ..Header::new(self.2) };
        let exp = (now() / 1000 + seconds).max(0);
        let claims = json!({"sub": "ann", "aud": "curlew", "exp": exp, "curlew": {"consume": ["*"]}});
        Credential::from_text(&encode(&header, &claims, &self.1).unwrap())
    }
}

fn set(signers: &[&Signer]) -> Value {
    let key = |signer: &&Signer| {
        let mut key = serde_json::to_value(Jwk::from_encoding_key(&signer.1, signer.2).unwrap()).unwrap();
        key["kid"] = json!(signer.0);
        key
    };
    json!({"keys": signers.iter().map(key).collect::<Vec<_>>()})
}

struct TempFile(PathBuf);

impl TempFile {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("curlew-tokens-{}-{:x}", std::process::id(), fastrand::u64(..)));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn issuer(keys: &str) -> String {
    format!("[[jwt]]\nname = \"idp\"\naudience = \"curlew\"\nleeway = \"1s\"\n{keys}\n")
}

fn remote(provider: &Provider) -> (TempFile, Authenticator) {
    let file =
        TempFile::new(&issuer(&format!("jwks_url = \"{}\"\njwks_floor = \"1s\"\njwks_refresh = \"1h\"", provider.url)));
    let auth = Authenticator::from_file(&file.0).unwrap();
    (file, auth)
}

async fn permit(auth: &Authenticator, credential: &Credential) -> Result<Permit, AuthError> {
    match auth.authenticate(Some(credential), TicketUse::First).await? {
        AuthOutcome::Permitted(permit) => Ok(permit),
        AuthOutcome::CheckPassword(_) => panic!("a token was taken for a password"),
    }
}

async fn name(auth: &Authenticator, credential: &Credential) -> Result<String, AuthError> {
    permit(auth, credential).await.map(|permit| permit.identity().unwrap().name().to_owned())
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_for_an_unknown_key() {
    let (first, second) = (rsa(), ec());
    let provider = Provider::start(&set(&[&first]));
    let (_file, auth) = remote(&provider);
    assert_eq!(name(&auth, &first.token(60)).await, Ok("idp/ann".into()), "the first token waits for the keys");
    for _ in 0..20 {
        assert!(name(&auth, &first.token(61)).await.is_ok());
    }
    assert_eq!(provider.requests(), 1);
    // Anyone can make tokens with unknown keys, so the requests that they cause are limited.
    let begin = Instant::now();
    for _ in 0..200 {
        assert_eq!(name(&auth, &second.token(60)).await, Err(AuthError::Unknown));
    }
    let most = 2 + begin.elapsed().as_secs() as usize;
    assert!(provider.requests() <= most, "{} times", provider.requests());
    provider.set_text(&set(&[&first, &second]).to_string());
    let deadline = Instant::now() + PATIENCE;
    while name(&auth, &second.token(60)).await.is_err() {
        assert!(Instant::now() < deadline, "the new key is not found");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(name(&auth, &first.token(60)).await.is_ok());
}

#[tokio::test]
async fn a_token_that_arrives_during_a_fetch_waits_for_it_and_causes_no_other() {
    let first = rsa();
    let provider = Provider::start(&set(&[&first]));
    provider.is_quiet.store(true, Ordering::SeqCst);
    let file = issuer(&format!("jwks_url = \"{}\"\njwks_floor = \"2s\"\njwks_refresh = \"2s\"", provider.url));
    let auth = Authenticator::from_file(&TempFile::new(&file).0).unwrap();
    provider.until_requested(1).await;
    let token = first.token(60);
    let mut waiting = Box::pin(name(&auth, &token));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    provider.is_quiet.store(false, Ordering::SeqCst);
    let answered = Instant::now();
    assert_eq!(waiting.await, Ok("idp/ann".into()));
    provider.until_requested(2).await;
    assert!(answered.elapsed() >= Duration::from_secs(2), "the next fetch came too early");
}

#[tokio::test]
async fn a_key_that_gets_another_id_is_found_by_it() {
    let (first, mut renamed) = (rsa(), rsa());
    renamed.0 = "renamed";
    let provider = Provider::start(&set(&[&first]));
    let (_file, auth) = remote(&provider);
    assert!(name(&auth, &first.token(60)).await.is_ok());
    provider.set_text(&set(&[&renamed]).to_string());
    let deadline = Instant::now() + PATIENCE;
    while name(&auth, &renamed.token(60)).await.is_err() {
        assert!(Instant::now() < deadline, "the new id is not known");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn cached_keys_survive_a_changed_setting_while_their_provider_is_down() {
    let first = rsa();
    let provider = Provider::start(&set(&[&first]));
    let (file, auth) = remote(&provider);
    assert!(name(&auth, &first.token(60)).await.is_ok());
    provider.set_text("");
    std::fs::write(&file.0, issuer(&format!("jwks_url = \"{}\"\njwks_refresh = \"2h\"", provider.url))).unwrap();
    auth.reload();
    provider.until_requested(2).await;
    assert_eq!(name(&auth, &first.token(61)).await, Ok("idp/ann".into()));
}

#[tokio::test]
async fn tokens_with_cached_keys_are_accepted_while_the_provider_is_down() {
    let (first, second) = (rsa(), ec());
    let provider = Provider::start(&set(&[&first]));
    let (_file, auth) = remote(&provider);
    assert!(name(&auth, &first.token(60)).await.is_ok());
    for text in ["", "no JSON", "{\"keys\":[]}"] {
        provider.set_text(text);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(name(&auth, &second.token(60)).await, Err(AuthError::Unknown), "the provider responds {text:?}");
        assert!(name(&auth, &first.token(62)).await.is_ok());
    }
    let never = Provider::start(&Value::Null);
    never.set_text("");
    let (_file, auth) = remote(&never);
    assert!(
        matches!(name(&auth, &first.token(60)).await, Err(AuthError::Unavailable(_))),
        "without keys, a token is not wrong but unverifiable"
    );
}

#[tokio::test]
async fn a_redirect_of_a_key_set_is_not_followed() {
    let first = rsa();
    let elsewhere = Provider::start(&set(&[&first]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let location = elsewhere.url.clone();
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let _ = stream.read(&mut [0; 4096]);
            let status = ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"][number % 3];
            let head = format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n");
            let _ = stream.write_all((head + "connection: close\r\n\r\n").as_bytes());
        }
    });
    let redirected = Provider { url, ..Provider::start(&Value::Null) };
    let (_file, auth) = remote(&redirected);
    let rejected = name(&auth, &first.token(60)).await;
    assert!(matches!(rejected, Err(AuthError::Unavailable(_))), "there are no keys: {rejected:?}");
    assert_eq!(elsewhere.requests(), 0);
    // The keys of the other host are fetched if the setting contains its URL.
    let (_file, auth) = remote(&elsewhere);
    assert!(name(&auth, &first.token(60)).await.is_ok());
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires_or_its_key_is_removed() {
    let (first, second) = (rsa(), ec());
    let provider = Provider::start(&set(&[&first]));
    let (_file, auth) = remote(&provider);
    let topic = || vec![TopicName::new("a").unwrap()];
    let over = async |permit: &Permit| {
        let over = auth.revocation(permit, Right::Consume, topic()).unwrap();
        tokio::time::timeout(PATIENCE, over).await.expect("an end before the deadline")
    };
    let short = permit(&auth, &first.token(1)).await.unwrap();
    assert_eq!(over(&short).await, Revocation::Ended(GrantEnd::Expired));
    let token = first.token(600);
    let long = permit(&auth, &token).await.unwrap();
    let (session, ends) = auth.session(&long).unwrap().unwrap();
    assert!(ends <= now() + 601_000, "a session expires with its token");
    let (ticket, _) = auth.ticket(&long, topic()).unwrap().unwrap();
    let session = Credential::from_cookies(format!("s={session}").as_bytes(), "s").remove(0);
    assert_eq!(name(&auth, &session).await, Ok("idp/ann".into()));
    let ticket = Credential::from_ticket(ticket);
    let of_ticket = permit(&auth, &ticket).await.unwrap();
    assert!(of_ticket.may(Right::Consume, &topic()[0]).is_ok());
    // The provider removes its key. The next token with an unknown key causes a fetch, which reveals it.
    provider.set_text(&set(&[&second]).to_string());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(name(&auth, &second.token(60)).await.is_ok());
    for permit in [long, of_ticket] {
        assert_eq!(over(&permit).await, Revocation::Ended(GrantEnd::Revoked));
    }
    assert_eq!(name(&auth, &token).await, Err(AuthError::Unknown));
    assert_eq!(name(&auth, &session).await, Err(AuthError::Expired));
    assert_eq!(name(&auth, &ticket).await, Err(AuthError::Expired));
}

#[tokio::test]
async fn a_changed_key_file_reloads_the_auth_file() {
    let (first, second) = (rsa(), ec());
    let keys = TempFile::new(&set(&[&first]).to_string());
    let file = TempFile::new(&issuer(&format!("jwks_file = {:?}", keys.0.file_name().unwrap())));
    let auth = Authenticator::from_file(&file.0).unwrap();
    assert!(name(&auth, &first.token(60)).await.is_ok() && name(&auth, &second.token(60)).await.is_err());
    assert!(!auth.has_changed());
    std::fs::write(&keys.0, set(&[&second]).to_string()).unwrap();
    assert!(auth.has_changed(), "its path is relative to the auth file's directory");
    auth.reload();
    assert!(!auth.has_changed());
    assert!(name(&auth, &first.token(60)).await.is_err() && name(&auth, &second.token(60)).await.is_ok());
    assert_eq!(name(&auth, &second.token(-60)).await, Err(AuthError::Expired));
}

#[test]
fn errors_about_an_issuer_name_its_line() {
    let secret = "secret = \"0123456789abcdef0123456789abcdef\"";
    let cases = [
        (issuer(""), "line 1: jwt \"idp\": give it one of secret"),
        (issuer("secret = \"short\""), "jwt \"idp\": secret is shorter than 32"),
        (issuer(&format!("{secret}\npublic_key = \"x\"")), "give it one of"),
        (issuer("public_key = \"x\""), "no public key in PEM"),
        (issuer("public_key_file = \"none.pem\""), "cannot read "),
        (issuer("jwks_url = \"idp.example\""), "jwks_url must be a URL"),
        (issuer("jwks_url = \"https://idp.example\"\njwks_floor = \"1ms\""), "jwks_floor must be a duration"),
        (issuer(&format!("{secret}\nleeway = \"1h\"")).replace("leeway = \"1s\"\n", ""), "leeway must be a duration"),
        (issuer(&format!("{secret}\nalgorithm = \"none\"")), "line 6: unknown field `algorithm`"),
    ];
    for (text, expected) in cases {
        let said = Authenticator::from_file(&TempFile::new(&text).0).unwrap_err().to_string();
        assert!(said.contains(expected) && !said.contains('\n'), "{text}\n{said}");
        assert!(!said.contains("0123456789abcdef"), "{said}");
    }
}
