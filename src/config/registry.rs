//! Settings of the schema registry.

use super::client_properties::{RegistryProperties, RegistryTlsProperties};
use crate::schemas::registry::{InvalidRegistryUrl, RegistryCredentials, RegistrySettings, RegistryUrl};
use crate::tls::{self, ClientTls, NameCheck, PemError, TlsError, TlsIdentity, TlsVersions, Trust, trust_anchors};
use clap::{ArgAction, Args, ValueHint};
use std::convert::Infallible;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// URL of a schema registry, by which keys and values with a schema id are shown as JSON. Repeatable, for replicas.
    ///
    /// Such as http://127.0.0.1:8081, or http://127.0.0.1:8080/apis/ccompat/v7 of Apicurio. The variable takes a
    /// comma-separated list. The file of --kafka-config may have schema.registry.url instead.
    #[arg(long, help_heading = "Schemas", env = "CURLEW_SCHEMA_REGISTRY", value_name = "URL", value_delimiter = ',', action = ArgAction::Append,
          value_parser = |text: &str| Ok::<_, Infallible>(GivenUrl(RegistryUrl::parse(text))))]
    schema_registry: Vec<GivenUrl>,

    /// File with USER:PASSWORD or a bearer token for the schema registry.
    ///
    /// Read for each request, so that another program can renew it.
    #[arg(long, help_heading = "Schemas", env = "CURLEW_SCHEMA_REGISTRY_CREDENTIALS", value_name = "FILE", value_hint = ValueHint::FilePath)]
    schema_registry_credentials: Option<PathBuf>,

    /// CA of the schema registry's certificate in PEM, instead of the system's CAs.
    #[arg(long, help_heading = "Schemas", env = "CURLEW_SCHEMA_REGISTRY_CA", value_name = "FILE", value_hint = ValueHint::FilePath)]
    schema_registry_ca: Option<PathBuf>,

    /// Client certificate for the schema registry in PEM, with its private key in the same file.
    #[arg(long, help_heading = "Schemas", env = "CURLEW_SCHEMA_REGISTRY_CERT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    schema_registry_cert: Option<PathBuf>,

    #[arg(skip)]
    settings: Option<RegistrySettings>,
}

/// A URL as it was given. It is checked later, because clap's error would quote a password in it.
#[derive(Debug, Clone)]
struct GivenUrl(Result<RegistryUrl, InvalidRegistryUrl>);

/// Invalid settings of the schema registry.
#[derive(Debug, Error)]
pub enum RegistrySettingsError {
    #[error("--schema-registry: {0}")]
    Url(#[from] InvalidRegistryUrl),
    #[error(
        "--schema-registry holds a user, which others can see; write USER:PASSWORD into a file and give it as \
         --schema-registry-credentials FILE"
    )]
    LoginInUrl,
    #[error("there are settings of a schema registry but no URL; give --schema-registry URL")]
    MissingUrl,
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("{0}; give the CA of the schema registry as --schema-registry-ca FILE")]
    NoTrustAnchors(#[source] TlsError),
    #[error("--schema-registry-ca or --schema-registry-cert: {0}")]
    Tls(#[source] TlsError),
    #[error(
        "--schema-registry-ca and --schema-registry-cert are for https, and no URL of the schema registry is https; change \
         http to https, or remove them"
    )]
    FilesWithoutTls,
    #[error(
        "schema.registry.ssl.* is not used with the http URL of schema.registry.url, but --schema-registry is https; remove \
         schema.registry.url, or give --schema-registry-ca and --schema-registry-cert"
    )]
    PropertiesWithoutTls,
}

impl RegistryArgs {
    /// The settings, if a schema registry is configured.
    pub fn settings(&self) -> Option<&RegistrySettings> {
        self.settings.as_ref()
    }

    /// Resolves the settings for [`settings`](Self::settings).
    pub(super) fn connect(&mut self, properties: RegistryProperties) -> Result<(), RegistrySettingsError> {
        self.settings = self.resolve(properties)?;
        Ok(())
    }

    /// Combines the flags with the properties of --kafka-config. Flags take precedence.
    pub(super) fn resolve(
        &self,
        properties: RegistryProperties,
    ) -> Result<Option<RegistrySettings>, RegistrySettingsError> {
        let given: Vec<RegistryUrl> = self.schema_registry.iter().map(|url| url.0.clone()).collect::<Result<_, _>>()?;
        if given.iter().any(RegistryUrl::has_login) {
            return Err(RegistrySettingsError::LoginInUrl);
        }
        let urls = if given.is_empty() { properties.urls } else { given };
        if urls.is_empty() {
            let others = [&self.schema_registry_credentials, &self.schema_registry_ca, &self.schema_registry_cert];
            let is_unused = others.into_iter().any(Option::is_some);
            return if is_unused { Err(RegistrySettingsError::MissingUrl) } else { Ok(None) };
        }
        let uses_tls = urls.iter().any(RegistryUrl::is_https);
        let files = [&self.schema_registry_ca, &self.schema_registry_cert];
        if !uses_tls && files.iter().any(|file| file.is_some()) {
            return Err(RegistrySettingsError::FilesWithoutTls);
        }
        if uses_tls && properties.tls_files == RegistryTlsProperties::Unread && files.iter().any(|file| file.is_none())
        {
            return Err(RegistrySettingsError::PropertiesWithoutTls);
        }
        let file = self.schema_registry_credentials.clone().map(RegistryCredentials::File);
        let trust = self.schema_registry_ca.as_deref().map(tls::certificates).transpose()?.map(Trust::Given);
        let identity = self.schema_registry_cert.as_deref().map(|file| {
            Ok::<_, PemError>(TlsIdentity { chain: tls::certificates(file)?, key: tls::private_key(file)? })
        });
        let trust = trust.or(properties.trust).unwrap_or(Trust::System);
        let identity = identity.transpose()?.or(properties.identity);
        Ok(Some(RegistrySettings {
            urls,
            credentials: file.unwrap_or(properties.credentials),
            tls: uses_tls.then(|| tls_config(trust, identity)).transpose()?,
            timeout: RegistrySettings::TIMEOUT,
        }))
    }
}

fn tls_config(trust: Trust, identity: Option<TlsIdentity>) -> Result<ureq::tls::TlsConfig, RegistrySettingsError> {
    let copy =
        identity.as_ref().map(|TlsIdentity { chain, key }| TlsIdentity { chain: chain.clone(), key: key.clone_key() });
    // ureq would report certificates that cannot be used only at the first request.
    ClientTls::new(trust.clone(), copy, NameCheck::Required, TlsVersions::Both).map_err(|error| match error {
        TlsError::NoSystemRoots => RegistrySettingsError::NoTrustAnchors(error),
        error => RegistrySettingsError::Tls(error),
    })?;
    tls::ureq_config_with(&trust_anchors(trust), identity.as_ref()).map_err(RegistrySettingsError::Tls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct RegistryLine {
        #[command(flatten)]
        registry: RegistryArgs,
    }

    /// A client certificate that would not be sent is an error.
    #[test]
    fn tls_files_of_the_properties_are_not_lost_when_a_flag_has_the_https_url() {
        let properties =
            || RegistryProperties { tls_files: RegistryTlsProperties::Unread, ..RegistryProperties::default() };
        let with_url =
            |url| RegistryLine::parse_from(["curlew", "--schema-registry", url]).registry.resolve(properties());
        assert!(matches!(with_url("https://r"), Err(RegistrySettingsError::PropertiesWithoutTls)));
        assert!(matches!(with_url("http://r"), Ok(Some(_))));
    }
}
