//! One HTTP connection to a running bridge, with TLS or without.

use crate::config::{BridgeAt, BridgeUrl, UrlScheme};
use crate::tls::{ClientTls, NameCheck, TlsVersions, Trust};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that is read as a whole.
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no answer; in words for a person.
#[derive(Debug)]
pub enum ClientError {
    /// Nothing was sent.
    NotReached(String),
    /// Something may have been sent and understood.
    Cut(String),
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotReached(why) | Self::Cut(why) => f.write_str(why),
        }
    }
}

/// Where a bridge is, and what is shown to it.
#[derive(Debug, Clone)]
pub struct BridgeTarget {
    url: BridgeUrl,
    tls: Option<BridgeTls>,
    authorization: Option<HeaderValue>,
}

#[derive(Clone)]
struct BridgeTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl BridgeTarget {
    /// A token is a key or a JWT, or `NAME:SECRET`. An error does not repeat it.
    pub fn new(at: BridgeAt<'_>) -> Result<Self, String> {
        let authorization = at.token.map(|token| {
            let text = match token.reveal().contains(':') {
                true => format!("Basic {}", STANDARD.encode(token.reveal())),
                false => format!("Bearer {}", token.reveal()),
            };
            let mut value = HeaderValue::try_from(text).map_err(|_| "the token holds characters that no token has")?;
            value.set_sensitive(true);
            Ok::<_, &str>(value)
        });
        let tls = match at.url.scheme {
            UrlScheme::Http => None,
            UrlScheme::Https => Some(BridgeTls::new(&at.url.authority, at.cacert)?),
        };
        Ok(Self { url: at.url.clone(), tls, authorization: authorization.transpose()? })
    }
}

impl BridgeTls {
    fn new(authority: &str, cacert: Option<&Path>) -> Result<Self, String> {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| format!("{host} is no name that a certificate could be for"))?;
        let trust = match cacert {
            Some(file) => Trust::Given(crate::tls::certificates(file)?),
            None => Trust::System,
        };
        let tls = ClientTls::new(trust, None, NameCheck::Required, TlsVersions::Both)?;
        Ok(Self { config: tls.config, name })
    }
}

impl std::fmt::Debug for BridgeTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secured({:?})", self.name)
    }
}

/// A connection that is kept for several requests. Used on a tokio runtime.
pub struct BridgeClient {
    bridge: BridgeTarget,
    sender: SendRequest<Full<Bytes>>,
}

impl BridgeClient {
    pub async fn connect(bridge: &BridgeTarget) -> Result<Self, ClientError> {
        let url = &bridge.url;
        let why = |e: &dyn std::fmt::Display| {
            ClientError::NotReached(format!(
                "no bridge answers at {url} ({e}); start one with `curlew serve`, name one with --url, \
                 or go straight to Kafka with --kafka HOST:PORT"
            ))
        };
        let connecting = async {
            let tcp = TcpStream::connect(&url.authority).await.map_err(|e| why(&e))?;
            let _ = tcp.set_nodelay(true);
            match &bridge.tls {
                None => speak(tcp).await.map_err(|e| why(&e)),
                Some(BridgeTls { config, name }) => {
                    let tls = TlsConnector::from(config.clone()).connect(name.clone(), tcp).await;
                    speak(tls.map_err(|e| refused(url, &e))?).await.map_err(|e| why(&e))
                }
            }
        };
        let sender = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|e| why(&e))??;
        Ok(Self { bridge: bridge.clone(), sender })
    }

    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Response<Incoming>, ClientError> {
        self.send("GET", path, headers, Bytes::new()).await
    }

    pub async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        self.send("POST", path, &[("content-type", content_type)], body).await
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let url = &self.bridge.url;
        let mut request = Request::builder().method(method).uri(path).header("host", &url.authority);
        if let Some(authorization) = &self.bridge.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|e| ClientError::NotReached(e.to_string()))?;
        let went = |e: hyper::Error| format!("the bridge at {url} went away: {e}");
        self.sender.ready().await.map_err(|e| ClientError::NotReached(went(e)))?;
        self.sender.send_request(request).await.map_err(|e| ClientError::Cut(went(e)))
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> hyper::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the connection, and with the runtime at the latest.
    tokio::spawn(connection);
    Ok(sender)
}

/// Why there is no TLS.
fn refused(url: &BridgeUrl, error: &std::io::Error) -> ClientError {
    let remedy = match crate::tls::fault_in(error) {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "give its authority's certificate, or its own, with --cacert FILE"
        }
        Some(rustls::Error::InvalidMessage(_)) => "where it does not speak HTTPS, give http://",
        _ => "its log may say more",
    };
    ClientError::NotReached(format!("no trusted connection to {url} ({error}); {remedy}"))
}

/// The whole body of an answer.
pub async fn body(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let limited = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
    let collected = limited.collect().await.map_err(|e| ClientError::Cut(format!("the answer was cut off: {e}")))?;
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
    use crate::secret::Secret;

    #[test]
    fn a_token_is_shown_as_what_it_is_and_nowhere_else() {
        let url = BridgeUrl { scheme: UrlScheme::Http, authority: "h:1".to_owned() };
        let bridge =
            |token: &str| BridgeTarget::new(BridgeAt { url: &url, cacert: None, token: Some(&Secret::new(token)) });
        let shown = |token: &str| {
            let bridge = bridge(token).unwrap();
            assert!(!format!("{bridge:?}").contains("hush"), "{bridge:?}");
            bridge.authorization.unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(shown("curlew_hush"), "Bearer curlew_hush");
        assert_eq!(shown("ann:hush"), format!("Basic {}", STANDARD.encode("ann:hush")));
        assert!(!bridge("hush\n").unwrap_err().contains("hush"));
    }
}
