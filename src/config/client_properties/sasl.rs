//! The `sasl.*` properties.

use super::Properties;
use super::jaas::{self, JaasEntry};
use crate::kafka::security::{Sasl, ScramAccount, ScramHash, TokenCache, TokenClient, TokenSource};
use crate::secret::Secret;
use crate::tls::{Trust, trust_anchors, ureq_config};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Returns the URL of the token endpoint without removing it.
pub fn endpoint(properties: &Properties) -> &str {
    properties.0.get(ENDPOINT).map_or("", |url| url.trim())
}

const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";

/// Returns a note about an insecure setting.
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
pub fn read(properties: &mut Properties, trust: Trust) -> Result<Sasl, String> {
    let mechanism = properties.take_either("sasl.mechanism", "sasl.mechanisms");
    let login = login(properties)?;
    let tokens = Endpoint::of(properties);
    let mechanism = mechanism.map(|m| m.trim().to_uppercase()).unwrap_or_default();
    let hash = match mechanism.as_str() {
        "PLAIN" => {
            let (username, password) = login.require_module("PlainLoginModule")?.credentials()?;
            return Ok(Sasl::Plain { username, password });
        }
        "OAUTHBEARER" => return tokens.sasl(login.require_module("OAuthBearerLoginModule")?, trust),
        "SCRAM-SHA-256" => ScramHash::Sha256,
        "SCRAM-SHA-512" => ScramHash::Sha512,
        "" => return Err(format!("there is no sasl.mechanism; {MECHANISMS}")),
        "GSSAPI" => {
            return Err(format!(
                "sasl.mechanism GSSAPI (Kerberos) is not supported; {MECHANISMS}, which a broker can offer \
                                on another listener, or on the same one (sasl.enabled.mechanisms)"
            ));
        }
        other => return Err(format!("sasl.mechanism {other:?} is not supported; {MECHANISMS}")),
    };
    let login = login.require_module("ScramLoginModule")?;
    let is_token = login.options.get("tokenauth").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let account = if is_token { ScramAccount::DelegationToken } else { ScramAccount::User };
    let (username, password) = login.credentials()?;
    Ok(Sasl::Scram { hash, username, password, account })
}

const MECHANISMS: &str = "give PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";

/// Reads the login from `sasl.jaas.config` or librdkafka's properties.
fn login(properties: &mut Properties) -> Result<JaasEntry, String> {
    let mut login = match properties.word("sasl.jaas.config") {
        Some(text) => jaas::parse(&text).map_err(|why| format!("sasl.jaas.config: {why}"))?,
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
    /// Checks that the login module, if given, is that of the mechanism.
    fn require_module(self, module: &str) -> Result<Self, String> {
        if self.module.is_empty() || self.module == module {
            return Ok(self);
        }
        let given = &self.module;
        Err(format!("sasl.jaas.config has {given}, and this sasl.mechanism needs {module}; change one of them"))
    }

    /// Removes username and password.
    fn credentials(mut self) -> Result<(String, Secret), String> {
        let mut option = |name: &str| {
            let value = self.options.remove(name).filter(|value| !value.is_empty());
            let value = value.ok_or(format!("sasl.jaas.config has no {name}=\"…\""))?;
            // PLAIN uses NUL as its separator (RFC 4616).
            if value.contains('\0') { Err(format!("{name} holds a NUL")) } else { Ok(value) }
        };
        Ok((option("username")?, Secret::new(option("password")?)))
    }
}

/// The token endpoint by properties. Missing values may be JAAS options.
struct Endpoint {
    url: Option<String>,
    id: Option<String>,
    secret: Option<String>,
    scope: Option<String>,
    extensions: Option<String>,
}

impl Endpoint {
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

    fn sasl(self, mut login: JaasEntry, trust: Trust) -> Result<Sasl, String> {
        if login.options.keys().any(|name| name.starts_with("unsecuredLogin")) {
            return Err(
                "tokens without a signature (unsecuredLoginStringClaim_…) are not supported; write one into a \
                        file and give sasl.oauthbearer.token.endpoint.url=file:///…"
                    .to_owned(),
            );
        }
        let url = self.url.ok_or(
            "OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url: the authorization server's, or file:///… of a file \
             with a token",
        )?;
        let extensions = extensions(&login.options, self.extensions.as_deref())?;
        let source = match url.strip_prefix("file:") {
            Some(path) => TokenSource::File(PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
            None if url.starts_with("https://") || url.starts_with("http://") => {
                let mut option = |given: Option<String>, name: &str| given.or_else(|| login.options.remove(name));
                let needed = |value: Option<String>, name: &str| {
                    value.ok_or(format!("OAUTHBEARER needs {name}=\"…\" in sasl.jaas.config"))
                };
                let id = needed(option(self.id, "clientId"), "clientId")?;
                let secret = needed(option(self.secret, "clientSecret"), "clientSecret")?;
                let scope = option(self.scope, "scope");
                let given = matches!(trust, Trust::Given(_)).then(|| trust_anchors(trust)).unwrap_or_default();
                let anchors = || [given, trust_anchors(Trust::System)].concat();
                let tls = url.starts_with("https://").then(|| ureq_config(&anchors()).map_err(|e| e.to_string()));
                let client = TokenClient::new(url, (id, Secret::new(secret)), scope, tls.transpose()?);
                TokenSource::Endpoint(Box::new(client))
            }
            None => {
                return Err(format!(
                    "sasl.oauthbearer.token.endpoint.url is {url:?}; give https://…, http://… or file:///…"
                ));
            }
        };
        Ok(Sasl::OAuthBearer { tokens: TokenCache::new(source), extensions })
    }
}

/// KIP-342: `extension_NAME` of JAAS, or librdkafka's `NAME=VALUE,…`.
fn extensions(options: &BTreeMap<String, String>, list: Option<&str>) -> Result<Vec<(String, String)>, String> {
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
        Some((name, _)) => Err(format!("SASL extension {name:?} must have a name of letters and a value in ASCII")),
        None => Ok(all),
    }
}
