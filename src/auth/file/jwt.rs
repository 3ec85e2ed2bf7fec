//! Parses `[[jwt]]`: the issuers whose tokens are accepted.

use super::{check_name, duration};
use crate::auth::jwt::{IssuerTerms, KeySetUrl};
use crate::auth::rights::{Rights, TopicPattern};
use crate::auth::secret::HiddenText;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The default and the maximum of `leeway`, the tolerated clock skew.
const LEEWAY: Duration = Duration::from_secs(30);
const MOST_LEEWAY: Duration = Duration::from_secs(600);
/// The default and the maximum of `jwks_refresh`, the interval between fetches of a key set.
const REFRESH: Duration = Duration::from_secs(300);
const MOST_REFRESH: Duration = Duration::from_secs(86_400);
/// The default of `jwks_floor`, the shortest interval between fetches that unknown keys cause.
const FLOOR: Duration = Duration::from_secs(10);

/// Where an issuer's keys come from. Paths are relative to the directory of the auth file.
#[derive(Debug, Clone)]
pub enum KeySource {
    Secret(HiddenText),
    Pem(String),
    PemFile(PathBuf),
    JwksFile(PathBuf),
    JwksUrl { place: KeySetUrl, ca_file: Option<PathBuf> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerEntry {
    name: String,
    secret: Option<HiddenText>,
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

/// Validates one `[[jwt]]`.
pub fn read(written: IssuerEntry) -> Result<(IssuerTerms, KeySource), String> {
    check_name(&written.name)?;
    let name = written.name.clone();
    terms(written).map_err(|what| format!("jwt {name:?}: {what}"))
}

fn terms(written: IssuerEntry) -> Result<(IssuerTerms, KeySource), String> {
    let time = |given: Option<String>, name: &str, default, least: Duration, most: Duration| match given {
        None => Ok(default),
        Some(text) => duration(&text, most).filter(|time| *time >= least).ok_or_else(|| {
            format!("{name} must be a duration such as 30s, from {} s to {} s", least.as_secs(), most.as_secs())
        }),
    };
    let second = Duration::from_secs(1);
    let source =
        match (written.secret, written.public_key, written.public_key_file, written.jwks_file, written.jwks_url) {
            (Some(secret), None, None, None, None) => KeySource::Secret(secret),
            (None, Some(pem), None, None, None) => KeySource::Pem(pem),
            (None, None, Some(file), None, None) => KeySource::PemFile(file),
            (None, None, None, Some(file), None) => KeySource::JwksFile(file),
            (None, None, None, None, Some(url)) => {
                if !url.starts_with("https://") && !url.starts_with("http://") {
                    return Err("jwks_url must be a URL such as https://idp.example/jwks.json".to_owned());
                }
                let place = KeySetUrl {
                    url,
                    authorities: None,
                    refresh: time(written.jwks_refresh, "jwks_refresh", REFRESH, second, MOST_REFRESH)?,
                    floor: time(written.jwks_floor, "jwks_floor", FLOOR, second, MOST_REFRESH)?,
                };
                KeySource::JwksUrl { place, ca_file: written.jwks_ca_file }
            }
            _ => return Err("give it one of secret, public_key, public_key_file, jwks_file and jwks_url".to_owned()),
        };
    let terms = IssuerTerms {
        name: written.name,
        issuers: OneOrMany::list(written.issuer),
        audiences: OneOrMany::list(written.audience),
        leeway: time(written.leeway, "leeway", LEEWAY, second, MOST_LEEWAY)?,
        identity: written.identity.unwrap_or_else(|| "sub".to_owned()),
        claim: written.claim.unwrap_or_else(|| "curlew".to_owned()),
        rights: Rights {
            produce: written.produce,
            consume: written.consume,
            manage: written.manage,
            metrics: written.metrics,
        },
    };
    Ok((terms, source))
}
