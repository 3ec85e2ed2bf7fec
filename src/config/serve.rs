//! The settings of `curlew serve`.

use super::access::Access;
use super::data::DataArgs;
use super::file::ConfigFile;
use super::kafka::KafkaArgs;
use super::limits::LimitArgs;
use super::listen::Listen;
use super::{EarlyExit, LogLevel, values};
use crate::auth::Authenticator;
use crate::broker::AutoCreate;
use crate::embedded;
use crate::http::{self, BindScope, Deletion, OriginPolicy, Origins, TlsFiles, Trace};
use crate::hub;
use crate::kafka::KafkaSettings;
use crate::logging::LogFormat;
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

    /// Where to listen; on any other address than loopback, others in the network reach it.
    ///
    /// Such as 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for every network of this machine.
    #[arg(long, help_heading = "Listen", env = "CURLEW_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8080",
          value_parser = values::listen)]
    pub listen: SocketAddr,

    #[command(flatten)]
    front: Listen,

    #[command(flatten)]
    pub(super) kafka: KafkaArgs,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    pub(super) access: Access,

    /// Origin whose pages may use the bridge, such as https://example.org; * for all. Repeatable.
    ///
    /// Pages of all others are refused, but not curl and devices, which send no Origin. With * browsers block requests
    /// with credentials (withCredentials, which htmx's SSE extension sets): name the origin for those. The variable takes
    /// a comma-separated list.
    #[arg(long = "cors-origin", help_heading = "Security", env = "CURLEW_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',',
          action = ArgAction::Append, value_parser = values::origin)]
    pub cors_origins: Vec<String>,

    /// Never ask Kafka to make a topic that a record is sent to and that does not exist.
    ///
    /// Without it, such a topic is made by the first record, where the broker's auto.create.topics.enable allows it.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_NO_AUTO_CREATE")]
    no_auto_create: bool,

    /// Let DELETE /topics/TOPIC?records=all delete a topic with all its records.
    #[arg(long, help_heading = "Security", env = "CURLEW_ALLOW_DELETE")]
    allow_delete: bool,

    /// Largest body of one request, inflated; of x-ndjson streams, the longest line.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_BODY", value_name = "SIZE", default_value = "8MiB", value_parser = values::size)]
    pub max_body: usize,

    /// Most open connections; one more is refused with 503.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_CONNECTIONS", value_name = "N", default_value = "20000",
          value_parser = values::number)]
    pub max_connections: usize,

    /// Most event streams at a time; one more is refused with 503.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_STREAMS", value_name = "N", default_value = "10000",
          value_parser = values::number)]
    max_streams: usize,

    /// Most bytes of records that wait for Kafka; more are refused with 503.
    ///
    /// While Kafka is away, requests wait here until --produce-timeout.
    #[arg(long, help_heading = "Limits", env = "CURLEW_QUEUE_BYTES", value_name = "SIZE", default_value = "64MiB", value_parser = values::size)]
    queue_bytes: usize,

    #[command(flatten)]
    limits: LimitArgs,

    /// How long a request waits for Kafka's receipt before it is answered with 504.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_PRODUCE_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    produce_timeout: Duration,

    /// How often partitions, leaders and topic ids are looked up anew.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_METADATA_REFRESH", value_name = "TIME", default_value = "5s",
          value_parser = values::duration)]
    metadata_refresh: Duration,

    /// How long an event stream is silent before it sends a heartbeat.
    #[arg(long, help_heading = "Limits", env = "CURLEW_HEARTBEAT", value_name = "TIME", default_value = "15s", value_parser = values::duration)]
    pub heartbeat: Duration,

    /// How long a client may take nothing, or less than 16 KiB of what waits for it, before it is closed, to resume later.
    #[arg(long, help_heading = "Limits", env = "CURLEW_STALL_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    pub stall_timeout: Duration,

    /// How long /ready says 503 while everything is still served, when the bridge is told to end.
    ///
    /// For a load balancer, as long as it takes to notice. A second signal ends the bridge at once.
    #[arg(long, help_heading = "Limits", env = "CURLEW_SHUTDOWN_DELAY", value_name = "TIME", default_value = "0s",
          value_parser = values::delay)]
    pub shutdown_delay: Duration,

    /// How long open requests and queued records get to finish when the bridge ends; its streams and
    /// uploads of lines end spread over that time.
    #[arg(long, help_heading = "Limits", env = "CURLEW_DRAIN_TIMEOUT", value_name = "TIME", default_value = "10s",
          value_parser = values::duration)]
    pub drain_timeout: Duration,

    /// Give each record the traceparent, tracestate and X-Request-Id of the request that brings it, as record headers.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_TRACE_HEADERS")]
    trace_headers: bool,

    /// How the log is written: text for people, json for programs, an object a line.
    #[arg(long, help_heading = "Logs", env = "CURLEW_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,

    /// How much to log on standard error.
    #[arg(long, help_heading = "Logs", env = "CURLEW_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: LogLevel,
}

impl Serve {
    /// What no flag can tell alone.
    pub(super) fn check(&self) -> Result<(), EarlyExit> {
        self.access.check(self.listen).map_err(EarlyExit::Refused)?;
        let (max_body, room) = (self.max_body, MemoryBudget::new(self.limits.memory_budget).bodies.largest());
        if max_body > room {
            return Err(EarlyExit::Refused(format!(
                "--max-body is {max_body} bytes, and --memory-budget leaves {room} for bodies; lower the first, or give the \
                 second {} bytes",
                max_body.div_ceil(4).saturating_mul(16)
            )));
        }
        Ok(())
    }

    /// What is wrong with what the files hold that settings name, each with the ids of those.
    pub(super) fn faults(&self) -> [(&'static [&'static str], Option<String>); 3] {
        let tls = self.tls().and_then(|files| http::ServerTls::load(files).err());
        [
            (&["kafka_config"], self.kafka.resolve().err()),
            (&["auth_file"], self.auth().err()),
            (&["tls_cert", "tls_key", "tls_client_ca"], tls),
        ]
    }

    /// Who may do what. An error is one line.
    pub fn auth(&self) -> Result<Authenticator, String> {
        self.access.auth_file.as_deref().map_or(Ok(Authenticator::disabled()), Authenticator::from_file)
    }

    /// One for all that the process does.
    pub fn memory(&self) -> MemoryBudget {
        MemoryBudget::new(self.limits.memory_budget)
    }

    pub fn hub(&self, memory: &MemoryBudget) -> hub::Settings {
        hub::Settings {
            max_streams: self.max_streams,
            queued_bytes: self.queue_bytes,
            produce_timeout: self.produce_timeout,
            metadata_refresh: self.metadata_refresh,
            memory: memory.clone(),
            // Records larger than a small chunk may make it twice as many.
            catch_up_held: (memory.chunks.limit() / 2).min(hub::Settings::default().catch_up_held),
            max_id_bytes: self.limits.settings().longest_id(),
            ..hub::Settings::default()
        }
    }

    /// With as many connections as the system allows.
    pub fn http(&self, max_connections: usize, auth: Authenticator, memory: &MemoryBudget) -> http::Settings {
        let origins = if self.cors_origins.iter().any(|origin| origin == "*") {
            Origins::Any
        } else {
            Origins::Listed(self.cors_origins.clone())
        };
        http::Settings {
            guard: OriginPolicy { origins, scope: BindScope::on(self.listen.ip()) },
            proxies: self.front.proxies(),
            produce: http::produce::Settings {
                max_body: self.max_body,
                body_timeout: self.limits.body_timeout,
                bodies: http::produce::Bodies::new(memory),
                auto_create: self.auto_create(),
                timeout: self.produce_timeout,
                trace: if self.trace_headers { Trace::Kept } else { Trace::Dropped },
            },
            auth,
            deletion: if self.allow_delete { Deletion::Allowed } else { Deletion::Forbidden },
            limits: self.limits.settings(),
            heartbeat: self.heartbeat,
            max_connections,
            stall_timeout: self.stall_timeout,
            shutdown_delay: self.shutdown_delay,
            drain: self.drain_timeout,
            memory: memory.clone(),
        }
    }

    /// `None`: plain HTTP.
    pub fn tls(&self) -> Option<TlsFiles> {
        self.front.tls()
    }

    /// Where no broker is given.
    pub fn embedded(&self) -> embedded::EmbeddedSettings {
        self.data.settings()
    }

    /// Where any is given.
    pub fn kafka(&self) -> Option<KafkaSettings> {
        let connection = self.kafka.connection().cloned();
        connection.map(|kafka| KafkaSettings { metadata_refresh: Some(self.metadata_refresh), ..kafka })
    }

    pub fn auto_create(&self) -> AutoCreate {
        if self.no_auto_create { AutoCreate::Never } else { AutoCreate::Ask }
    }
}
