//! The properties of the schema registry, as Confluent's serializers take them.

use super::tls::TlsPropertyError;
use super::{Properties, tls};
use crate::kafka::security::Sasl;
use crate::schemas::registry::{InvalidRegistryUrl, RegistryCredentials, RegistryUrl};
use crate::secret::Secret;
use crate::tls::{TlsIdentity, Trust};
use std::collections::BTreeMap;
use thiserror::Error;

/// The checked properties. All may be missing.
#[derive(Debug)]
pub struct RegistryProperties {
    pub urls: Vec<RegistryUrl>,
    pub credentials: RegistryCredentials,
    pub trust: Option<Trust>,
    pub identity: Option<TlsIdentity>,
    pub tls_files: RegistryTlsProperties,
}

/// Whether the properties `schema.registry.ssl.*` were read. They are not needed with http URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryTlsProperties {
    Absent,
    Read,
    Unread,
}

/// An invalid or unsupported property of the schema registry.
#[derive(Debug, Error)]
pub enum RegistryPropertyError {
    #[error("schema.registry.url: {0}")]
    Url(#[from] InvalidRegistryUrl),
    #[error("basic.auth.user.info must be USER:PASSWORD")]
    UserInfo,
    #[error("basic.auth.credentials.source USER_INFO needs basic.auth.user.info=USER:PASSWORD")]
    MissingUserInfo,
    #[error("basic.auth.credentials.source SASL_INHERIT needs a sasl.mechanism with user and password")]
    MissingSasl,
    #[error("basic.auth.credentials.source is {0:?}; give URL, USER_INFO or SASL_INHERIT")]
    BasicSource(String),
    #[error("bearer.auth.credentials.source STATIC_TOKEN needs bearer.auth.token")]
    MissingToken,
    #[error(
        "bearer.auth.credentials.source {0:?} is not supported; give STATIC_TOKEN with bearer.auth.token, or remove it and \
         give --schema-registry-credentials FILE with a token that another program keeps current"
    )]
    BearerSource(String),
    #[error("bearer.auth.token is not a token")]
    Token,
    #[error("schema.registry.ssl: {0}")]
    Tls(#[from] TlsPropertyError),
}

impl Default for RegistryProperties {
    fn default() -> Self {
        let credentials = RegistryCredentials::Anonymous;
        Self { urls: Vec::new(), credentials, trust: None, identity: None, tls_files: RegistryTlsProperties::Absent }
    }
}

/// Reads the properties. `sasl` is the login to Kafka, which `SASL_INHERIT` uses. Also returns the TLS properties that were not
/// read, without `schema.registry.` before them.
pub fn read(
    properties: &mut Properties,
    sasl: Option<&Sasl>,
) -> Result<(RegistryProperties, BTreeMap<String, String>), RegistryPropertyError> {
    let urls = properties.word("schema.registry.url").unwrap_or_default();
    let urls = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(RegistryUrl::parse);
    let urls: Vec<RegistryUrl> = urls.collect::<Result<_, _>>()?;
    let credentials = match (basic(properties, sasl)?, bearer(properties)?) {
        (Some(basic), _) => basic,
        (None, bearer) => bearer.unwrap_or(RegistryCredentials::Anonymous),
    };
    let mut of_tls = Properties(BTreeMap::new());
    let names: Vec<String> = properties.0.keys().filter(|name| name.starts_with(TLS)).cloned().collect();
    for name in names {
        let value = properties.take(&name).unwrap_or_default();
        of_tls.0.insert(name.trim_start_matches(PREFIX).to_owned(), value);
    }
    // Files that are not needed are not read. --schema-registry may be https.
    let tls_files = match of_tls.0.is_empty() {
        true => RegistryTlsProperties::Absent,
        false if urls.is_empty() || urls.iter().any(RegistryUrl::is_https) => RegistryTlsProperties::Read,
        false => RegistryTlsProperties::Unread,
    };
    if tls_files != RegistryTlsProperties::Read {
        let unused = RegistryProperties { urls, credentials, tls_files, ..RegistryProperties::default() };
        return Ok((unused, BTreeMap::new()));
    }
    let trust = Some(tls::trust(&mut of_tls)?);
    let identity = tls::identity_of_registry(&mut of_tls)?;
    Ok((RegistryProperties { urls, credentials, trust, identity, tls_files }, of_tls.0))
}

const PREFIX: &str = "schema.registry.";
const TLS: &str = "schema.registry.ssl.";

/// Removes a property with or without `schema.registry.` before it.
fn take(properties: &mut Properties, name: &str) -> Option<String> {
    let prefixed = properties.word(&format!("{PREFIX}{name}"));
    let plain = properties.word(name);
    prefixed.or(plain)
}

fn basic(
    properties: &mut Properties,
    sasl: Option<&Sasl>,
) -> Result<Option<RegistryCredentials>, RegistryPropertyError> {
    let source = take(properties, "basic.auth.credentials.source");
    let given = take(properties, "basic.auth.user.info");
    let given = given.map(|given| match given.split_once(':') {
        Some((user, password)) => Ok((user.to_owned(), Secret::new(password))),
        None => Err(RegistryPropertyError::UserInfo),
    });
    let given = given.transpose()?;
    let login = match source.as_deref().map(str::to_uppercase).as_deref() {
        None => given,
        // Each URL has its user.
        Some("URL") => None,
        Some("USER_INFO") => Some(given.ok_or(RegistryPropertyError::MissingUserInfo)?),
        Some("SASL_INHERIT") => match sasl {
            Some(Sasl::Plain { username, password } | Sasl::Scram { username, password, .. }) => {
                Some((username.clone(), password.clone()))
            }
            _ => return Err(RegistryPropertyError::MissingSasl),
        },
        Some(other) => return Err(RegistryPropertyError::BasicSource(other.to_owned())),
    };
    Ok(login.map(|(user, password)| RegistryCredentials::Basic { user, password }))
}

fn bearer(properties: &mut Properties) -> Result<Option<RegistryCredentials>, RegistryPropertyError> {
    let source = take(properties, "bearer.auth.credentials.source");
    let token = take(properties, "bearer.auth.token");
    match (source.as_deref().map(str::to_uppercase).as_deref(), token) {
        (None, None) => Ok(None),
        (None | Some("STATIC_TOKEN"), Some(token)) => match token.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Some(RegistryCredentials::Bearer(Secret::new(token)))),
            false => Err(RegistryPropertyError::Token),
        },
        (Some("STATIC_TOKEN"), None) => Err(RegistryPropertyError::MissingToken),
        (Some(other), _) => Err(RegistryPropertyError::BearerSource(other.to_owned())),
    }
}

#[cfg(test)]
mod tests;
