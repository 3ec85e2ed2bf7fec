//! One HTTP connection to a running bridge.

use crate::auth::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that is read as a whole.
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no answer; in words for a person.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was sent.
    NotReached(String),
    /// Something may have been sent and understood.
    Cut(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotReached(why) | Self::Cut(why) => f.write_str(why),
        }
    }
}

/// Where a bridge is, and what is shown to it.
#[derive(Debug, Clone)]
pub struct Bridge {
    /// `host:port`
    authority: String,
    authorization: Option<HeaderValue>,
}

impl Bridge {
    /// A token is a key or a JWT, or `NAME:SECRET`. An error does not repeat it.
    pub fn new(authority: &str, token: Option<&Secret>) -> Result<Self, String> {
        let authorization = token.map(|token| {
            let text = match token.reveal().contains(':') {
                true => format!("Basic {}", STANDARD.encode(token.reveal())),
                false => format!("Bearer {}", token.reveal()),
            };
            let mut value = HeaderValue::try_from(text).map_err(|_| "the token holds characters that no token has")?;
            value.set_sensitive(true);
            Ok::<_, &str>(value)
        });
        Ok(Self { authority: authority.to_owned(), authorization: authorization.transpose()? })
    }
}

/// A connection that is kept for several requests. Used on a tokio runtime.
pub struct BridgeClient {
    bridge: Bridge,
    sender: SendRequest<Full<Bytes>>,
}

impl BridgeClient {
    pub async fn connect(bridge: &Bridge) -> Result<Self, Failure> {
        let authority = &bridge.authority;
        let why = |e: &dyn std::fmt::Display| {
            Failure::NotReached(format!(
                "no bridge answers at http://{authority} ({e}); start one with `curlew serve`, name one with --url, \
                 or go straight to Kafka with --kafka HOST:PORT"
            ))
        };
        let tcp = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(authority)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(e)) => return Err(why(&e)),
            Err(e) => return Err(why(&e)),
        };
        let _ = tcp.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await.map_err(|e| why(&e))?;
        // Ends with the connection, and with the runtime at the latest.
        tokio::spawn(connection);
        Ok(Self { bridge: bridge.clone(), sender })
    }

    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Response<Incoming>, Failure> {
        self.send("GET", path, headers, Bytes::new()).await
    }

    pub async fn post(&mut self, path: &str, content_type: &str, body: Bytes) -> Result<Response<Incoming>, Failure> {
        self.send("POST", path, &[("content-type", content_type)], body).await
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.bridge.authority);
        if let Some(authorization) = &self.bridge.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|e| Failure::NotReached(e.to_string()))?;
        let cut =
            |e: hyper::Error| Failure::Cut(format!("the bridge at http://{} went away: {e}", self.bridge.authority));
        self.sender.ready().await.map_err(|e| Failure::NotReached(cut(e).to_string()))?;
        self.sender
            .send_request(request)
            .await
            .map_err(|e| Failure::Cut(format!("the bridge at http://{} went away: {e}", self.bridge.authority)))
    }
}

/// The whole body of an answer.
pub async fn body(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let limited = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
    let collected = limited.collect().await.map_err(|e| Failure::Cut(format!("the answer was cut off: {e}")))?;
    Ok(collected.to_bytes())
}

/// The message of a problem (RFC 9457), or what there is.
pub fn problem(status: hyper::StatusCode, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: Option<String>,
        message: Option<String>,
        title: Option<String>,
    }
    let text = serde_json::from_slice::<Problem>(body).ok().and_then(|p| p.detail.or(p.message).or(p.title));
    text.unwrap_or_else(|| format!("the bridge answers {status}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_as_what_it_is_and_nowhere_else() {
        let shown = |token: &str| {
            let bridge = Bridge::new("h:1", Some(&Secret::new(token))).unwrap();
            assert!(!format!("{bridge:?}").contains("hush"), "{bridge:?}");
            bridge.authorization.unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(shown("curlew_hush"), "Bearer curlew_hush");
        assert_eq!(shown("ann:hush"), format!("Basic {}", STANDARD.encode("ann:hush")));
        assert!(!Bridge::new("h:1", Some(&Secret::new("hush\n"))).unwrap_err().contains("hush"));
    }
}
