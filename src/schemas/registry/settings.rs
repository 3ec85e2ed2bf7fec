//! Where a schema registry is, and how Curlew logs in.

use crate::os::small_file;
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::Uri;

/// The longest file with credentials.
const MAX_CREDENTIALS: usize = 64 << 10;

/// The settings of the schema registry.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Replicas of one registry. At least one.
    pub urls: Vec<RegistryUrl>,
    /// Credentials for the URLs without a user.
    pub credentials: RegistryCredentials,
    /// Trust anchors and client certificate for https.
    pub tls: Option<ureq::tls::TlsConfig>,
    /// The time limit of a request.
    pub timeout: Duration,
}

/// The URL of a registry with Confluent's API.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryUrl {
    /// Without user, password and final slash.
    base: String,
    login: Option<(String, Secret)>,
}

/// Why a text is not the URL of a registry. The text does not quote the URL, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give the http or https URL of a schema registry, such as https://registry.example:8081, without ? and #")]
pub struct InvalidRegistryUrl;

/// How Curlew logs in to the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryCredentials {
    Anonymous,
    Basic {
        user: String,
        password: Secret,
    },
    Bearer(Secret),
    /// A file with USER:PASSWORD or a bearer token, which never contains a colon (RFC 6750). Read for each request.
    File(PathBuf),
}

/// Why the file with credentials cannot be used. The text does not quote the file.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("the credentials in {} cannot be read: {source}", .file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    #[error("{} holds no credentials; write USER:PASSWORD or a bearer token into it", .0.display())]
    NotCredentials(PathBuf),
}

impl RegistrySettings {
    /// The time limit of a request if no other is configured.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// Returns a warning if credentials are sent to another machine without TLS.
    pub fn note(&self) -> Option<String> {
        let is_exposed = |url: &&RegistryUrl| {
            let has_login = url.login.is_some() || self.credentials != RegistryCredentials::Anonymous;
            has_login && !url.is_https() && !url.is_loopback()
        };
        let exposed = self.urls.iter().find(is_exposed)?;
        Some(format!("the schema registry at {exposed} is not https: credentials for it go unencrypted"))
    }

    /// The value of `Authorization` for `url`.
    pub fn authorization(&self, url: &RegistryUrl) -> Result<Option<Secret>, CredentialsError> {
        if let Some((user, password)) = &url.login {
            return Ok(Some(basic(user, password.reveal())));
        }
        match &self.credentials {
            RegistryCredentials::Anonymous => Ok(None),
            RegistryCredentials::Basic { user, password } => Ok(Some(basic(user, password.reveal()))),
            RegistryCredentials::Bearer(token) => Ok(Some(bearer(token.reveal()))),
            RegistryCredentials::File(file) => read(file).map(Some),
        }
    }
}

fn basic(user: &str, password: &str) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn bearer(token: &str) -> Secret {
    Secret::new(format!("Bearer {token}"))
}

fn read(file: &Path) -> Result<Secret, CredentialsError> {
    let text = small_file::read_regular_text(file);
    let text = text.map_err(|source| CredentialsError::Unreadable { file: file.to_owned(), source })?;
    let text = text.trim_end_matches(['\r', '\n']);
    match text.split_once(':') {
        _ if text.len() > MAX_CREDENTIALS || text.contains(char::is_control) => {}
        Some((user, password)) => return Ok(basic(user, password)),
        None if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) => return Ok(bearer(text)),
        None => {}
    }
    Err(CredentialsError::NotCredentials(file.to_owned()))
}

impl RegistryUrl {
    /// Parses a URL, in which a user and a password may be percent-encoded.
    pub fn parse(text: &str) -> Result<Self, InvalidRegistryUrl> {
        let text = text.trim();
        let uri: Uri = text.parse().map_err(|_| InvalidRegistryUrl)?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or(InvalidRegistryUrl)?;
        let is_web = scheme == "http" || scheme == "https";
        if !is_web || authority.host().is_empty() || uri.query().is_some() || text.contains('#') {
            return Err(InvalidRegistryUrl);
        }
        let (login, host) = match authority.as_str().rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority.as_str()),
        };
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (decoded(user), Secret::new(decoded(password)))
        });
        let path = uri.path().trim_end_matches('/');
        Ok(Self { base: format!("{scheme}://{host}{path}"), login })
    }

    /// Returns a URL with other credentials.
    pub fn without_login(&self) -> Self {
        Self { base: self.base.clone(), login: None }
    }

    pub fn has_login(&self) -> bool {
        self.login.is_some()
    }

    pub fn is_https(&self) -> bool {
        self.base.starts_with("https://")
    }

    fn is_loopback(&self) -> bool {
        let uri: Option<Uri> = self.base.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The base of Confluent's API, which Apicurio serves beside its native one.
    pub fn confluent(&self) -> String {
        match self.apicurio_root() {
            Some((root, "registry")) => format!("{root}/apis/ccompat/v7"),
            _ => self.base.clone(),
        }
    }

    /// The base of Apicurio's native API, if this is an Apicurio.
    pub fn apicurio(&self) -> Option<String> {
        self.apicurio_root().map(|(root, _)| format!("{root}/apis/registry/v3"))
    }

    /// Splits `ROOT/apis/NAME/VERSION` into the root and the name.
    fn apicurio_root(&self) -> Option<(&str, &str)> {
        let (root, api) = self.base.rsplit_once("/apis/")?;
        let (name, _) = api.split_once('/')?;
        matches!(name, "ccompat" | "registry").then_some((root, name))
    }
}

impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(url: &str, credentials: RegistryCredentials) -> RegistrySettings {
        let urls = vec![RegistryUrl::parse(url).unwrap()];
        RegistrySettings { urls, credentials, tls: None, timeout: RegistrySettings::TIMEOUT }
    }

    fn authorization(settings: &RegistrySettings) -> Option<String> {
        settings.authorization(&settings.urls[0]).unwrap().map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn a_url_has_an_optional_login_and_two_apis() {
        let rows = [
            ("http://r:8081", "http://r:8081", None),
            ("https://r/base/", "https://r/base", None),
            ("http://r/apis/ccompat/v7", "http://r/apis/ccompat/v7", Some("http://r/apis/registry/v3")),
            ("http://r/x/apis/registry/v3/", "http://r/x/apis/ccompat/v7", Some("http://r/x/apis/registry/v3")),
            ("http://[::1]:8081/", "http://[::1]:8081", None),
        ];
        for (text, confluent, apicurio) in rows {
            let url = RegistryUrl::parse(text).unwrap();
            assert_eq!((url.confluent().as_str(), url.apicurio().as_deref()), (confluent, apicurio), "{text}");
        }
        for bad in ["", "r:8081", "ftp://r", "http://", "http://r?x=1", "http://r#x", "/subjects", "mock://x"] {
            assert!(RegistryUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let with_login = settings("http://me:s%40cret@r:8081", RegistryCredentials::Anonymous);
        assert_eq!(authorization(&with_login), Some(format!("Basic {}", STANDARD.encode("me:s@cret"))));
        assert!(!format!("{with_login:?} {}", with_login.urls[0]).contains("cret"));
        assert!(with_login.note().unwrap().contains("unencrypted"));
        let password = Secret::new("hush");
        let basic = settings("http://127.0.0.1:8081", RegistryCredentials::Basic { user: "me".to_owned(), password });
        assert_eq!(
            (authorization(&basic), basic.note()),
            (Some(format!("Basic {}", STANDARD.encode("me:hush"))), None)
        );
        assert!(!format!("{basic:?}").contains("hush"));
    }

    #[test]
    fn a_file_with_credentials_is_read_for_each_request() {
        let file = std::env::temp_dir().join(format!("curlew-registry-{}", std::process::id()));
        let with_file = settings("https://r", RegistryCredentials::File(file.clone()));
        for (text, sent) in
            [("a.b.c\n", "Bearer a.b.c".to_owned()), ("u:p:q", format!("Basic {}", STANDARD.encode("u:p:q")))]
        {
            std::fs::write(&file, text).unwrap();
            assert_eq!(authorization(&with_file), Some(sent));
        }
        for bad in ["", "two words", "a:b\r\nc: d"] {
            std::fs::write(&file, bad).unwrap();
            assert!(with_file.authorization(&with_file.urls[0]).is_err(), "{bad}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(with_file.authorization(&with_file.urls[0]).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(https?://)?[a-z:@/\\[\\]%.?#-]{0,20}") {
            let _ = RegistryUrl::parse(&text).map(|url| (url.confluent(), url.apicurio(), url.is_loopback()));
        }
    }
}
