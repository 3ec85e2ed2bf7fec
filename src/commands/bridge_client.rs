//! One HTTP connection to a running bridge.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
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

/// A connection that is kept for several requests. Used on a tokio runtime.
pub struct BridgeClient {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
}

impl BridgeClient {
    /// `authority`: `host:port`.
    pub async fn connect(authority: &str) -> Result<Self, Failure> {
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
        Ok(Self { authority: authority.to_owned(), sender })
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
        let mut request = Request::builder().method(method).uri(path).header("host", &self.authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|e| Failure::NotReached(e.to_string()))?;
        let cut = |e: hyper::Error| Failure::Cut(format!("the bridge at http://{} went away: {e}", self.authority));
        self.sender.ready().await.map_err(|e| Failure::NotReached(cut(e).to_string()))?;
        self.sender
            .send_request(request)
            .await
            .map_err(|e| Failure::Cut(format!("the bridge at http://{} went away: {e}", self.authority)))
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
