//! One HTTP connection to a running bridge, with TLS or without.

use crate::config::{BridgeArgs, BridgeUrl, UrlScheme};
use crate::tls::{ClientTls, NameCheck, TlsError, TlsVersions, Trust};
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
/// Limit of a response body in bytes.
const MAX_RESPONSE: usize = 64 << 20;

/// Why a request has no response, as text.
#[derive(Debug)]
pub enum ClientError {
    /// The request was not sent.
    NotReached(String),
    /// The request was sent, or a part of it, and may have been processed.
    Cut(String),
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotReached(why) | Self::Cut(why) => f.write_str(why),
        }
    }
}

/// The address of a bridge, and the credentials for it.
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
    /// A token is a key, a JWT, or `NAME:SECRET`. Errors do not repeat it.
    pub fn new(at: BridgeArgs<'_>) -> Result<Self, String> {
        let authorization = at.token.map(|token| {
            let text = match token.reveal().contains(':') {
                true => format!("Basic {}", STANDARD.encode(token.reveal())),
                false => format!("Bearer {}", token.reveal()),
            };
            let mut value = HeaderValue::try_from(text)
                .map_err(|_| "the token contains characters that are not allowed in a header")?;
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
            .map_err(|_| format!("{host} is not a valid server name"))?;
        let trust = match cacert {
            Some(file) => Trust::Given(crate::tls::certificates(file)?),
            None => Trust::System,
        };
        let tls = ClientTls::new(trust, None, NameCheck::Required, TlsVersions::Both).map_err(|error| match error {
            TlsError::NoSystemRoots => format!("{error}; give the one to trust with --cacert FILE"),
            error => error.to_string(),
        })?;
        Ok(Self { config: tls.config, name })
    }
}

impl std::fmt::Debug for BridgeTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BridgeTls({:?})", self.name)
    }
}

/// A persistent HTTP/1.1 connection. Requires a tokio runtime.
pub struct BridgeClient {
    bridge: BridgeTarget,
    sender: SendRequest<Full<Bytes>>,
}

impl BridgeClient {
    pub async fn connect(bridge: &BridgeTarget) -> Result<Self, ClientError> {
        let url = &bridge.url;
        let why = |e: &dyn std::fmt::Display| {
            ClientError::NotReached(format!(
                "no bridge answers at {url} ({e}); start one with `curlew serve`, give its address with --url, \
                 or connect to Kafka directly with --kafka HOST:PORT"
            ))
        };
        let connecting = async {
            let tcp = TcpStream::connect(&url.authority).await.map_err(|e| why(&e))?;
            let _ = tcp.set_nodelay(true);
            match &bridge.tls {
                None => handshake(tcp).await.map_err(|e| why(&e)),
                Some(BridgeTls { config, name }) => {
                    let tls = TlsConnector::from(config.clone()).connect(name.clone(), tcp).await;
                    handshake(tls.map_err(|e| tls_error(url, &e))?).await.map_err(|e| why(&e))
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
        let lost = |e: hyper::Error| format!("the bridge at {url} closed the connection: {e}");
        self.sender.ready().await.map_err(|e| ClientError::NotReached(lost(e)))?;
        self.sender.send_request(request).await.map_err(|e| ClientError::Cut(lost(e)))
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> hyper::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The task ends with the connection, or at the latest with the runtime.
    tokio::spawn(connection);
    Ok(sender)
}

/// Explains a failed TLS handshake.
fn tls_error(url: &BridgeUrl, error: &std::io::Error) -> ClientError {
    let remedy = match crate::tls::fault_in(error) {
        Some(rustls::Error::InvalidCertificate(_)) => "give its CA's certificate, or its own, with --cacert FILE",
        Some(rustls::Error::InvalidMessage(_)) => "if it does not serve HTTPS, use http://",
        _ => "its log may have details",
    };
    ClientError::NotReached(format!("no trusted connection to {url} ({error}); {remedy}"))
}

/// Reads the complete body of a response, up to [`MAX_RESPONSE`].
pub async fn body(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let limited = http_body_util::Limited::new(response.into_body(), MAX_RESPONSE);
    let collected = limited.collect().await.map_err(|e| ClientError::Cut(format!("the response ended early: {e}")))?;
    Ok(collected.to_bytes())
}

/// Returns the message of a problem (RFC 9457), of an error of the REST Proxy, or a text with the status.
pub fn problem(status: hyper::StatusCode, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: Option<String>,
        message: Option<String>,
        title: Option<String>,
    }
    let text = serde_json::from_slice::<Problem>(body).ok().and_then(|p| p.detail.or(p.message).or(p.title));
    text.unwrap_or_else(|| format!("the bridge responded with {status}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_token_appears_only_in_the_authorization_header() {
        let url = BridgeUrl { scheme: UrlScheme::Http, authority: "h:1".to_owned() };
        let bridge =
            |token: &str| BridgeTarget::new(BridgeArgs { url: &url, cacert: None, token: Some(&Secret::new(token)) });
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
