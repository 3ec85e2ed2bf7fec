//! Parses `[[jwt]]`: the issuers whose tokens are accepted.

use super::error::{AuthFileFault, IssuerFault};
use super::{check_name, duration};
use crate::auth::jwt::{IssuerSettings, KeySetUrl};
use crate::auth::rights::{Rights, TopicPattern};
use crate::secret::Secret;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The default and the maximum of `leeway`, the tolerated clock skew.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const MAX_LEEWAY: Duration = Duration::from_secs(600);
/// The default and the maximum of `jwks_refresh`, the interval between fetches of a key set.
const DEFAULT_REFRESH: Duration = Duration::from_secs(300);
const MAX_REFRESH: Duration = Duration::from_secs(86_400);
/// The default of `jwks_floor`, the minimum interval between fetches that are triggered by unknown keys.
const DEFAULT_FLOOR: Duration = Duration::from_secs(10);

/// The source of an issuer's keys. Paths are relative to the directory of the auth file.
#[derive(Debug, Clone)]
pub enum KeySource {
    Secret(Secret),
    Pem(String),
    PemFile(PathBuf),
    JwksFile(PathBuf),
    JwksUrl { location: KeySetUrl, ca_file: Option<PathBuf> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerEntry {
    name: String,
    secret: Option<Secret>,
    public_key: Option<String>,
    public_key_file: Option<PathBuf>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    jwks_ca_file: Option<PathBuf>,
    jwks_refresh: Option<String>,
    jwks_floor: Option<String>,
    issuer: Option<OneOrMany>,
    audience: Option<OneOrMany>,
    leeway: Option<String>,
    identity: Option<String>,
    claim: Option<String>,
    #[serde(default)]
    produce: Vec<TopicPattern>,
    #[serde(default)]
    consume: Vec<TopicPattern>,
    #[serde(default)]
    manage: Vec<TopicPattern>,
    #[serde(default)]
    metrics: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn list(given: Option<Self>) -> Vec<String> {
        match given {
            None => Vec::new(),
            Some(Self::One(text)) => vec![text],
            Some(Self::Many(texts)) => texts,
        }
    }
}

/// Validates a `[[jwt]]` entry.
pub fn validate(entry: IssuerEntry) -> Result<(IssuerSettings, KeySource), AuthFileFault> {
    check_name(&entry.name)?;
    let name = entry.name.clone();
    settings(entry).map_err(|fault| AuthFileFault::Issuer { name, fault })
}

fn settings(entry: IssuerEntry) -> Result<(IssuerSettings, KeySource), IssuerFault> {
    let time = |given: Option<String>, setting: &'static str, default, min: Duration, max: Duration| match given {
        None => Ok(default),
        Some(text) => {
            let time = duration(&text, max).filter(|time| *time >= min);
            time.ok_or(IssuerFault::Duration { setting, min, max })
        }
    };
    let second = Duration::from_secs(1);
    let source = match (entry.secret, entry.public_key, entry.public_key_file, entry.jwks_file, entry.jwks_url) {
        (Some(secret), None, None, None, None) => KeySource::Secret(secret),
        (None, Some(pem), None, None, None) => KeySource::Pem(pem),
        (None, None, Some(file), None, None) => KeySource::PemFile(file),
        (None, None, None, Some(file), None) => KeySource::JwksFile(file),
        (None, None, None, None, Some(url)) => {
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(IssuerFault::Url);
            }
            let location = KeySetUrl {
                url,
                ca_certificates: None,
                interval: time(entry.jwks_refresh, "jwks_refresh", DEFAULT_REFRESH, second, MAX_REFRESH)?,
                min_interval: time(entry.jwks_floor, "jwks_floor", DEFAULT_FLOOR, second, MAX_REFRESH)?,
            };
            KeySource::JwksUrl { location, ca_file: entry.jwks_ca_file }
        }
        _ => return Err(IssuerFault::Source),
    };
    let settings = IssuerSettings {
        name: entry.name,
        issuers: OneOrMany::list(entry.issuer),
        audiences: OneOrMany::list(entry.audience),
        leeway: time(entry.leeway, "leeway", DEFAULT_LEEWAY, second, MAX_LEEWAY)?,
        identity: entry.identity.unwrap_or_else(|| "sub".to_owned()),
        claim: entry.claim.unwrap_or_else(|| "curlew".to_owned()),
        rights: Rights { produce: entry.produce, consume: entry.consume, manage: entry.manage, metrics: entry.metrics },
    };
    Ok((settings, source))
}
