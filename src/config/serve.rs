//! The settings of `curlew serve`.

use super::access::AccessArgs;
use super::client_properties::RegistryProperties;
use super::data::DataArgs;
use super::file::ConfigFile;
use super::invalid_settings::InvalidSettings;
use super::kafka::KafkaArgs;
use super::limit_args::LimitArgs;
use super::listen::ListenArgs;
use super::registry::{RegistryArgs, RegistrySettingsError};
use super::{LogLevel, values};
use crate::auth::{Authenticator, LoadError};
use crate::broker::AutoCreate;
use crate::embedded;
use crate::http::produce::HeaderPattern;
use crate::http::{
    self, AccessLog, BindScope, Creation, Deletion, OriginPolicy, Origins, TlsFiles, Trace, WebhookSenders,
};
use crate::hub;
use crate::kafka::KafkaSettings;
use crate::logging::LogFormat;
use crate::schemas::registry::RegistrySettings;
use crate::sync::memory_budget::MemoryBudget;
use clap::{ArgAction, Args};
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(
    after_help = "Each flag is a variable (--max-body: CURLEW_MAX_BODY) and a name in the settings file (max-body) too."
)]
pub struct Serve {
    #[command(flatten)]
    pub file: ConfigFile,

    /// Address to listen on; any other than loopback is reachable from the network.
    ///
    /// Such as 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for every network of this machine.
    #[arg(long, help_heading = "Listen", env = "CURLEW_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8080",
          value_parser = values::listen)]
    pub listen: SocketAddr,

    #[command(flatten)]
    listener: ListenArgs,

    #[command(flatten)]
    pub(super) kafka: KafkaArgs,

    #[command(flatten)]
    pub(super) registry: RegistryArgs,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    pub(super) access: AccessArgs,

    /// Origin whose pages may use the bridge, such as https://example.org; * for all. Repeatable.
    ///
    /// Pages of other origins are rejected; curl and devices, which send no Origin, are not. With * browsers block requests
    /// with credentials (withCredentials, which htmx's SSE extension sets): name the origin for those. The variable takes
    /// a comma-separated list.
    #[arg(long = "cors-origin", help_heading = "Security", env = "CURLEW_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',',
          action = ArgAction::Append, value_parser = values::origin)]
    pub cors_origins: Vec<String>,

    /// System whose webhooks may be directed here, such as eventgrid.azure.net; * for all. Repeatable.
    ///
    /// Senders of CloudEvents ask with OPTIONS and WebHook-Request-Origin before they deliver. The answer is no permission:
    /// deliveries need credentials as other requests do. The variable takes a comma-separated list.
    #[arg(long = "webhook-origin", help_heading = "Security", env = "CURLEW_WEBHOOK_ORIGIN", value_name = "NAME", value_delimiter = ',',
          action = ArgAction::Append, value_parser = values::webhook_origin)]
    webhook_origins: Vec<String>,

    /// Never create missing topics when producing.
    ///
    /// By default the first record creates its topic, if the broker's auto.create.topics.enable allows it.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_NO_AUTO_CREATE")]
    no_auto_create: bool,

    /// Allow POST /admin/topics to create a topic.
    #[arg(long, help_heading = "Security", env = "CURLEW_ALLOW_CREATE")]
    allow_create: bool,

    /// Allow DELETE /topics/TOPIC?records=all to delete a topic with all its records.
    #[arg(long, help_heading = "Security", env = "CURLEW_ALLOW_DELETE")]
    allow_delete: bool,

    /// Maximum size of a request body after decompression; for x-ndjson, of a line.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_BODY", value_name = "SIZE", default_value = "8MiB", value_parser = values::size)]
    pub max_body: usize,

    /// Maximum number of open connections; further ones are rejected with 503.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_CONNECTIONS", value_name = "N", default_value = "20000",
          value_parser = values::count)]
    pub max_connections: usize,

    /// Maximum number of concurrent event streams; further ones are rejected with 503.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_STREAMS", value_name = "N", default_value = "10000",
          value_parser = values::count)]
    max_streams: usize,

    /// Maximum size of records queued for Kafka; further ones are rejected with 503.
    ///
    /// Records stay queued until --produce-timeout, or for 5 seconds while no broker answers.
    #[arg(long, help_heading = "Limits", env = "CURLEW_QUEUE_BYTES", value_name = "SIZE", default_value = "64MiB", value_parser = values::size)]
    queue_bytes: usize,

    #[command(flatten)]
    limits: LimitArgs,

    /// How long a request waits for Kafka's acknowledgement before the response is 504.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_PRODUCE_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    produce_timeout: Duration,

    /// How often partitions, leaders and topic ids are refreshed.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_METADATA_REFRESH", value_name = "TIME", default_value = "5s",
          value_parser = values::duration)]
    metadata_refresh: Duration,

    /// Time without events after which a stream sends a heartbeat.
    #[arg(long, help_heading = "Limits", env = "CURLEW_HEARTBEAT", value_name = "TIME", default_value = "15s", value_parser = values::duration)]
    pub heartbeat: Duration,

    /// How long a client may read less than 16 KiB of queued data before its connection is closed, to be resumed later.
    #[arg(long, help_heading = "Limits", env = "CURLEW_STALL_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    pub stall_timeout: Duration,

    /// How long /ready responds with 503 at a shutdown while everything is still served.
    ///
    /// Set it to the time that a load balancer takes to notice. A second signal ends the bridge at once.
    #[arg(long, help_heading = "Limits", env = "CURLEW_SHUTDOWN_DELAY", value_name = "TIME", default_value = "0s",
          value_parser = values::delay)]
    pub shutdown_delay: Duration,

    /// How long open requests and queued records may take at a shutdown; streams and x-ndjson uploads end
    /// spread over this time.
    #[arg(long, help_heading = "Limits", env = "CURLEW_DRAIN_TIMEOUT", value_name = "TIME", default_value = "10s",
          value_parser = values::duration)]
    pub drain_timeout: Duration,

    /// Add traceparent, tracestate and X-Request-Id of the request to each record, as record headers.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_TRACE_HEADERS")]
    trace_headers: bool,

    /// Request headers to copy to each record, such as x-github-* or x-hub-signature-256. Repeatable.
    ///
    /// For webhooks. A * at the end matches any name with this beginning; record headers have the names in lower case. Never
    /// headers with credentials, such as Authorization, Cookie, X-Api-Key and X-Forwarded-Access-Token (README lists the
    /// rules). The variable takes a comma-separated list.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_RECORD_HEADERS", value_name = "HEADER", value_delimiter = ',',
          action = ArgAction::Append)]
    record_headers: Vec<HeaderPattern>,

    /// Log a line for each request, at the level info: client, method, path, status and time to the response.
    ///
    /// The query is left out, because it may contain a ticket. A stream is logged when it begins.
    #[arg(long, help_heading = "Logs", env = "CURLEW_ACCESS_LOG")]
    access_log: bool,

    /// Format of the log: text for people, json for programs, one object per line.
    #[arg(long, help_heading = "Logs", env = "CURLEW_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,

    /// Level of the log on standard error.
    #[arg(long, help_heading = "Logs", env = "CURLEW_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: LogLevel,
}

impl Serve {
    /// Checks combinations of settings.
    pub(super) fn check(&self) -> Result<(), InvalidSettings> {
        self.access.check(self.listen)?;
        let memory = self.memory();
        let (max_body, available) = (self.max_body, memory.bodies.largest());
        if max_body > available {
            return Err(InvalidSettings::BodyBeyondBudget { max_body, available });
        }
        let (snapshot_bytes, available) = (self.limits.snapshot_bytes, memory.snapshots.limit());
        if snapshot_bytes != values::AUTO && snapshot_bytes > available {
            return Err(InvalidSettings::SnapshotBeyondBudget { snapshot_bytes, available });
        }
        Ok(())
    }

    /// Loads the files that settings name. Returns the error of each group of files, with the ids of its settings.
    pub(super) fn file_errors(&self) -> [(&'static [&'static str], Option<String>); 4] {
        let tls = self.tls().and_then(|files| http::ServerTls::load(files).err());
        let (kafka, properties) = match self.kafka.resolve() {
            Ok((_, properties)) => (None, properties),
            Err(error) => (Some(error.to_string()), RegistryProperties::default()),
        };
        // A file of kafka-config that cannot be used may have the URL.
        let is_known =
            |error: &RegistrySettingsError| kafka.is_none() || !matches!(error, RegistrySettingsError::MissingUrl);
        let registry = self.registry.resolve(properties).err().filter(is_known).map(|e| e.to_string());
        [
            (&["kafka_config"], kafka),
            (&["schema_registry_ca", "schema_registry_cert"], registry),
            (&["auth_file"], self.auth().err().map(|e| e.to_string())),
            (&["tls_cert", "tls_key", "tls_client_ca"], tls.map(|e| e.to_string())),
        ]
    }

    /// Loads the auth file, if it is configured. An error is one line.
    pub fn auth(&self) -> Result<Authenticator, LoadError> {
        self.access.auth_file.as_deref().map_or(Ok(Authenticator::disabled()), Authenticator::from_file)
    }

    /// Creates the memory budget. A process has one.
    pub fn memory(&self) -> MemoryBudget {
        MemoryBudget::new(self.limits.memory_budget)
    }

    /// Returns the settings of the hub.
    pub fn hub(&self, memory: &MemoryBudget) -> hub::Settings {
        hub::Settings {
            max_streams: self.max_streams,
            queued_bytes: self.queue_bytes,
            produce_timeout: self.produce_timeout,
            metadata_refresh: self.metadata_refresh,
            memory: memory.clone(),
            snapshot_bytes: self.limits.snapshot_bytes,
            // Records that exceed their chunk may double the memory of streams that catch up.
            catch_up_held: (memory.chunks.limit() / 2).min(hub::Settings::default().catch_up_held),
            max_id_bytes: self.limits.settings().longest_id(),
            ..hub::Settings::default()
        }
    }

    /// Returns the settings of the HTTP server. The system may allow fewer connections than --max-connections.
    pub fn http(&self, max_connections: usize, auth: Authenticator, memory: &MemoryBudget) -> http::Settings {
        let origins = if self.cors_origins.iter().any(|origin| origin == "*") {
            Origins::Any
        } else {
            Origins::Listed(self.cors_origins.clone())
        };
        http::Settings {
            origin_policy: OriginPolicy { origins, scope: BindScope::on(self.listen.ip()) },
            webhook_senders: WebhookSenders(self.webhook_origins.clone()),
            proxies: self.listener.proxies(),
            produce: http::produce::Settings {
                max_body: self.max_body,
                body_timeout: self.limits.body_timeout,
                bodies: http::produce::Bodies::new(memory),
                auto_create: self.auto_create(),
                timeout: self.produce_timeout,
                record_headers: self.record_headers.clone(),
                trace: if self.trace_headers { Trace::Kept } else { Trace::Dropped },
                schemas: None,
            },
            auth,
            creation: if self.allow_create { Creation::Allowed } else { Creation::Forbidden },
            deletion: if self.allow_delete { Deletion::Allowed } else { Deletion::Forbidden },
            limits: self.limits.settings(),
            heartbeat: self.heartbeat,
            max_connections,
            stall_timeout: self.stall_timeout,
            shutdown_delay: self.shutdown_delay,
            drain: self.drain_timeout,
            memory: memory.clone(),
            registry: None,
            access_log: if self.access_log { AccessLog::On } else { AccessLog::Off },
        }
    }

    /// The TLS files, or `None` for plain HTTP.
    pub fn tls(&self) -> Option<TlsFiles> {
        self.listener.tls()
    }

    /// Returns the settings of the embedded log.
    pub fn embedded(&self) -> embedded::EmbeddedSettings {
        self.data.settings()
    }

    /// Returns the settings of Kafka, if it is configured.
    pub fn kafka(&self) -> Option<KafkaSettings> {
        let connection = self.kafka.connection().cloned();
        connection.map(|kafka| KafkaSettings { metadata_refresh: Some(self.metadata_refresh), ..kafka })
    }

    /// Returns the settings of the schema registry, if it is configured.
    pub fn schema_registry(&self) -> Option<&RegistrySettings> {
        self.registry.settings()
    }

    /// Whether producing creates missing topics.
    pub fn auto_create(&self) -> AutoCreate {
        if self.no_auto_create { AutoCreate::Never } else { AutoCreate::Ask }
    }
}
