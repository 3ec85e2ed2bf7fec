//! An HTTP connection to a running bridge, with or without TLS.

use crate::config::{BridgeArgs, BridgeUrl, UrlScheme};
use crate::tls::{ClientTls, NameCheck, PemError, TlsError, TlsVersions, Trust};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of a response body in bytes.
const MAX_RESPONSE: usize = 64 << 20;

/// A request without a complete response.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error(
        "cannot reach a bridge at {url} ({source}); start one with `curlew serve`, give its address with --url, or connect \
         to Kafka directly with --kafka HOST:PORT"
    )]
    Unreachable { url: BridgeUrl, source: Box<dyn Error + Send + Sync> },
    #[error("no trusted connection to {url} ({source}); {}", tls_remedy(.source))]
    Untrusted { url: BridgeUrl, source: io::Error },
    #[error("the request is invalid: {0}")]
    InvalidRequest(#[from] hyper::http::Error),
    #[error("the bridge at {url} closed the connection: {source}")]
    ClosedBeforeRequest { url: BridgeUrl, source: hyper::Error },
    #[error("the bridge at {url} closed the connection: {source}")]
    ClosedBeforeResponse { url: BridgeUrl, source: hyper::Error },
    #[error("the response ended early: {0}")]
    IncompleteResponse(#[source] Box<dyn Error + Send + Sync>),
}

impl ClientError {
    /// Returns whether a part of the request was sent, so that the bridge may have processed it.
    pub fn was_sent(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::InvalidRequest(_)
            | Self::ClosedBeforeRequest { .. } => false,
            Self::ClosedBeforeResponse { .. } | Self::IncompleteResponse(_) => true,
        }
    }
}

/// Returns the remedy for a failed TLS handshake.
fn tls_remedy(error: &io::Error) -> &'static str {
    match crate::tls::fault_in(error) {
        Some(rustls::Error::InvalidCertificate(_)) => "give its CA's certificate, or its own, with --cacert FILE",
        Some(rustls::Error::InvalidMessage(_)) => "if it does not serve HTTPS, use http://",
        _ => "its log may have details",
    }
}

/// Invalid arguments for the connection to a bridge. No text contains the token.
#[derive(Debug, Error)]
pub enum TargetError {
    #[error("the token contains characters that are not allowed in a header")]
    Token,
    #[error("{0} is not a valid server name")]
    ServerName(String),
    /// An error in the file of --cacert.
    #[error(transparent)]
    Cacert(#[from] PemError),
    #[error("{0}; give the one to trust with --cacert FILE")]
    NoTrustAnchors(#[source] TlsError),
    #[error(transparent)]
    Tls(TlsError),
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
    /// Prepares TLS and the `Authorization` header. A token is a key, a JWT, or `NAME:SECRET`.
    pub fn new(bridge: BridgeArgs<'_>) -> Result<Self, TargetError> {
        let authorization = bridge.token.map(|token| {
            let text = match token.reveal().contains(':') {
                true => format!("Basic {}", STANDARD.encode(token.reveal())),
                false => format!("Bearer {}", token.reveal()),
            };
            let mut value = HeaderValue::try_from(text).map_err(|_| TargetError::Token)?;
            value.set_sensitive(true);
            Ok::<_, TargetError>(value)
        });
        let tls = match bridge.url.scheme {
            UrlScheme::Http => None,
            UrlScheme::Https => Some(BridgeTls::new(&bridge.url.authority, bridge.cacert)?),
        };
        Ok(Self { url: bridge.url.clone(), tls, authorization: authorization.transpose()? })
    }
}

impl BridgeTls {
    fn new(authority: &str, cacert: Option<&Path>) -> Result<Self, TargetError> {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| TargetError::ServerName(host.to_owned()))?;
        let trust = match cacert {
            Some(file) => Trust::Given(crate::tls::certificates(file)?),
            None => Trust::System,
        };
        let tls = ClientTls::new(trust, None, NameCheck::Required, TlsVersions::Both).map_err(|error| match error {
            TlsError::NoSystemRoots => TargetError::NoTrustAnchors(error),
            error => TargetError::Tls(error),
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
        let unreachable = |source| ClientError::Unreachable { url: url.clone(), source };
        let connecting = async {
            let tcp = TcpStream::connect(&url.authority).await.map_err(|e| unreachable(e.into()))?;
            let _ = tcp.set_nodelay(true);
            match &bridge.tls {
                None => handshake(tcp).await.map_err(|e| unreachable(e.into())),
                Some(BridgeTls { config, name }) => {
                    let tls = TlsConnector::from(config.clone()).connect(name.clone(), tcp).await;
                    let tls = tls.map_err(|source| ClientError::Untrusted { url: url.clone(), source })?;
                    handshake(tls).await.map_err(|e| unreachable(e.into()))
                }
            }
        };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        let sender = connected.map_err(|e| unreachable(e.into()))??;
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

    pub async fn delete(&mut self, path: &str) -> Result<Response<Incoming>, ClientError> {
        self.send("DELETE", path, &[], Bytes::new()).await
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
        let request = request.body(Full::new(body))?;
        let ready = self.sender.ready().await;
        ready.map_err(|source| ClientError::ClosedBeforeRequest { url: url.clone(), source })?;
        let sent = self.sender.send_request(request).await;
        sent.map_err(|source| ClientError::ClosedBeforeResponse { url: url.clone(), source })
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

/// Reads the complete body of a response, up to [`MAX_RESPONSE`].
pub async fn body(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let limited = http_body_util::Limited::new(response.into_body(), MAX_RESPONSE);
    Ok(limited.collect().await.map_err(ClientError::IncompleteResponse)?.to_bytes())
}

/// An error response, or a `problem` event of a stream.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct BridgeProblem {
    /// `None` in an event without a valid status.
    pub status: Option<StatusCode>,
    message: String,
}

/// The members of a problem (RFC 9457), or of an error of Confluent's REST Proxy.
#[derive(Deserialize, Default)]
struct ProblemBody {
    status: Option<serde_json::Value>,
    detail: Option<String>,
    message: Option<String>,
    title: Option<String>,
}

impl BridgeProblem {
    /// Parses the body of an error response, which need not be JSON.
    pub fn from_response(status: StatusCode, body: &[u8]) -> Self {
        ProblemBody::parse(body).with_status(Some(status))
    }

    /// Parses the data of a `problem` event.
    pub fn from_event(data: &[u8]) -> Self {
        let body = ProblemBody::parse(data);
        let status = body.status.as_ref().and_then(serde_json::Value::as_u64);
        let status = status.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
        body.with_status(status)
    }
}

impl ProblemBody {
    fn parse(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }

    fn with_status(self, status: Option<StatusCode>) -> BridgeProblem {
        let message = self.detail.or(self.message).or(self.title);
        let message = message.unwrap_or_else(|| match status {
            Some(status) => format!("the bridge responded with {status}"),
            None => "the bridge reported a problem without a message".to_owned(),
        });
        BridgeProblem { status, message }
    }
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
        assert!(!bridge("hush\n").unwrap_err().to_string().contains("hush"));
    }
}
