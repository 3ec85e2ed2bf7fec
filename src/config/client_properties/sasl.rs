//! The `sasl.*` properties.

use super::Properties;
use super::jaas::{self, JaasEntry, JaasError};
use crate::kafka::security::{Sasl, ScramAccount, ScramHash, TokenCache, TokenClient, TokenSource};
use crate::secret::Secret;
use crate::tls::{Trust, UnsupportedCpu, trust_anchors, ureq_config};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use thiserror::Error;

/// An invalid or unsupported SASL property.
#[derive(Debug, Error)]
pub enum SaslPropertyError {
    #[error("sasl.jaas.config: {0}")]
    Jaas(#[from] JaasError),
    #[error("there is no sasl.mechanism; {MECHANISMS}")]
    MissingMechanism,
    #[error(
        "sasl.mechanism GSSAPI (Kerberos) is not supported; {MECHANISMS}, which a broker can offer on another listener, or \
         on the same one (sasl.enabled.mechanisms)"
    )]
    Kerberos,
    #[error("sasl.mechanism {0:?} is not supported; {MECHANISMS}")]
    UnknownMechanism(String),
    #[error("sasl.jaas.config has {given}, and this sasl.mechanism needs {required}; change one of them")]
    LoginModule { given: String, required: &'static str },
    #[error("sasl.jaas.config has no {0}=\"…\"")]
    MissingOption(&'static str),
    #[error("{0} holds a NUL")]
    NulInOption(&'static str),
    #[error(
        "tokens without a signature (unsecuredLoginStringClaim_…) are not supported; write one into a file and give \
         sasl.oauthbearer.token.endpoint.url=file:///…"
    )]
    UnsignedToken,
    #[error(
        "OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url: the authorization server's, or file:///… of a file with a \
         token"
    )]
    MissingTokenEndpoint,
    #[error("sasl.oauthbearer.token.endpoint.url is {0:?}; give https://…, http://… or file:///…")]
    TokenEndpoint(String),
    #[error("OAUTHBEARER needs {0}=\"…\" in sasl.jaas.config")]
    MissingClientOption(&'static str),
    #[error("SASL extension {0:?} must have a name of letters and a value in ASCII")]
    Extension(String),
    #[error(transparent)]
    UnsupportedCpu(#[from] UnsupportedCpu),
}

/// Returns the URL of the token endpoint without removing it.
pub fn endpoint(properties: &Properties) -> &str {
    properties.0.get(ENDPOINT).map_or("", |url| url.trim())
}

const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";

/// Returns a warning if tokens come from another machine without TLS.
pub fn note(sasl: &Sasl) -> Option<String> {
    let Sasl::OAuthBearer { tokens, .. } = sasl else { return None };
    let url = tokens.describe();
    let uri: ureq::http::Uri = url.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let in_clear = uri.scheme_str() == Some("http") && !is_here;
    in_clear.then(|| format!("{ENDPOINT} is not https: the client's secret and its tokens go unencrypted"))
}

/// Reads the mechanism and its credentials.
pub fn read(properties: &mut Properties, trust: Trust) -> Result<Sasl, SaslPropertyError> {
    let mechanism = properties.take_either("sasl.mechanism", "sasl.mechanisms");
    let login = login(properties)?;
    let tokens = TokenEndpoint::of(properties);
    let mechanism = mechanism.map(|m| m.trim().to_uppercase()).unwrap_or_default();
    let hash = match mechanism.as_str() {
        "PLAIN" => {
            let (username, password) = login.require_module("PlainLoginModule")?.credentials()?;
            return Ok(Sasl::Plain { username, password });
        }
        "OAUTHBEARER" => return tokens.sasl(login.require_module("OAuthBearerLoginModule")?, trust),
        "SCRAM-SHA-256" => ScramHash::Sha256,
        "SCRAM-SHA-512" => ScramHash::Sha512,
        "" => return Err(SaslPropertyError::MissingMechanism),
        "GSSAPI" => return Err(SaslPropertyError::Kerberos),
        other => return Err(SaslPropertyError::UnknownMechanism(other.to_owned())),
    };
    let login = login.require_module("ScramLoginModule")?;
    let is_token = login.options.get("tokenauth").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let account = if is_token { ScramAccount::DelegationToken } else { ScramAccount::User };
    let (username, password) = login.credentials()?;
    Ok(Sasl::Scram { hash, username, password, account })
}

const MECHANISMS: &str = "give PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";

/// Reads the login from `sasl.jaas.config` or librdkafka's properties.
fn login(properties: &mut Properties) -> Result<JaasEntry, JaasError> {
    let mut login = match properties.word("sasl.jaas.config") {
        Some(text) => jaas::parse(&text)?,
        None => JaasEntry { module: String::new(), options: BTreeMap::new() },
    };
    for (name, option) in [("sasl.username", "username"), ("sasl.password", "password")] {
        if let Some(value) = properties.take(name) {
            login.options.insert(option.to_owned(), value);
        }
    }
    Ok(login)
}

impl JaasEntry {
    /// Rejects the login module of another mechanism. The module may be missing.
    fn require_module(self, required: &'static str) -> Result<Self, SaslPropertyError> {
        if self.module.is_empty() || self.module == required {
            Ok(self)
        } else {
            Err(SaslPropertyError::LoginModule { given: self.module, required })
        }
    }

    /// Returns username and password.
    fn credentials(mut self) -> Result<(String, Secret), SaslPropertyError> {
        let mut option = |name: &'static str| {
            let value = self.options.remove(name).filter(|value| !value.is_empty());
            let value = value.ok_or(SaslPropertyError::MissingOption(name))?;
            // PLAIN uses NUL as its separator (RFC 4616).
            if value.contains('\0') { Err(SaslPropertyError::NulInOption(name)) } else { Ok(value) }
        };
        Ok((option("username")?, Secret::new(option("password")?)))
    }
}

/// The properties of the token endpoint. Missing ones may be options in `sasl.jaas.config`.
struct TokenEndpoint {
    url: Option<String>,
    id: Option<String>,
    secret: Option<String>,
    scope: Option<String>,
    extensions: Option<String>,
}

impl TokenEndpoint {
    fn of(properties: &mut Properties) -> Self {
        let client = "sasl.oauthbearer.client.credentials.client";
        Self {
            url: properties.word(ENDPOINT),
            id: properties.take_either(&format!("{client}.id"), "sasl.oauthbearer.client.id"),
            secret: properties.take_either(&format!("{client}.secret"), "sasl.oauthbearer.client.secret"),
            scope: properties.word("sasl.oauthbearer.scope"),
            extensions: properties.word("sasl.oauthbearer.extensions"),
        }
    }

    fn sasl(self, mut login: JaasEntry, trust: Trust) -> Result<Sasl, SaslPropertyError> {
        if login.options.keys().any(|name| name.starts_with("unsecuredLogin")) {
            return Err(SaslPropertyError::UnsignedToken);
        }
        let url = self.url.ok_or(SaslPropertyError::MissingTokenEndpoint)?;
        let extensions = extensions(&login.options, self.extensions.as_deref())?;
        let source = match url.strip_prefix("file:") {
            Some(path) => TokenSource::File(PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
            None if url.starts_with("https://") || url.starts_with("http://") => {
                let mut option = |given: Option<String>, name| given.or_else(|| login.options.remove(name));
                let missing = SaslPropertyError::MissingClientOption;
                let id = option(self.id, "clientId").ok_or(missing("clientId"))?;
                let secret = option(self.secret, "clientSecret").ok_or(missing("clientSecret"))?;
                let scope = option(self.scope, "scope");
                let given = matches!(trust, Trust::Given(_)).then(|| trust_anchors(trust)).unwrap_or_default();
                let anchors = || [given, trust_anchors(Trust::System)].concat();
                let tls = url.starts_with("https://").then(|| ureq_config(&anchors())).transpose()?;
                TokenSource::Endpoint(Box::new(TokenClient::new(url, (id, Secret::new(secret)), scope, tls)))
            }
            None => return Err(SaslPropertyError::TokenEndpoint(url)),
        };
        Ok(Sasl::OAuthBearer { tokens: TokenCache::new(source), extensions })
    }
}

/// Reads the SASL extensions (KIP-342): the JAAS options `extension_NAME`, and librdkafka's list `NAME=VALUE,…`.
fn extensions(
    options: &BTreeMap<String, String>,
    list: Option<&str>,
) -> Result<Vec<(String, String)>, SaslPropertyError> {
    let listed = list.into_iter().flat_map(|list| list.split(',')).filter_map(|pair| pair.trim().split_once('='));
    let of_jaas = options.iter().filter_map(|(name, value)| Some((name.strip_prefix("extension_")?, value.as_str())));
    let all: Vec<(String, String)> = listed.chain(of_jaas).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let fits = |(name, value): &(String, String)| {
        !name.is_empty()
            && name != "auth"
            && name.chars().all(|c| c.is_ascii_alphabetic())
            && value.chars().all(|c| matches!(c, ' '..='~' | '\t' | '\r' | '\n'))
    };
    match all.iter().find(|extension| !fits(extension)) {
        Some((name, _)) => Err(SaslPropertyError::Extension(name.clone())),
        None => Ok(all),
    }
}
