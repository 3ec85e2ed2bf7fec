//! The process: parses the arguments, runs the command, and returns its exit code. `serve` connects, serves, and drains.

use curlew::auth::{AuthWatcher, Authenticator, LoadError};
use curlew::broker::Broker;
use curlew::commands::demo::Plant;
use curlew::commands::{consume, doctor, health, key, produce, topics};
use curlew::config::{self, Command, Demo, DemoDir, EarlyExit, InvalidSettings, Serve};
use curlew::embedded::{Embedded, OpenError};
use curlew::http::produce::SchemaEncoder;
use curlew::http::{self, App, ServerTls, ServerTlsError};
use curlew::hub::Hub;
use curlew::kafka;
use curlew::logging::LogFormat;
use curlew::os::fd_limit;
use curlew::os::sd_notify::ServiceManager;
use curlew::os::signal::{HangUps, Signals};
use curlew::schemas::decoding_broker::DecodingBroker;
use curlew::schemas::registry::SchemaRegistry;
use log::{Level, info, log, warn};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use thiserror::Error;
use tokio::task::JoinError;

/// File descriptors reserved for brokers, standard streams and the runtime.
const RESERVED_FILES: usize = 128;

fn main() -> ExitCode {
    let command = match config::from_process() {
        Ok(command) => command,
        Err(exit) => return exit_early(&exit),
    };
    let format = command.log_format();
    curlew::logging::start(command.log_level(), format);
    match command {
        Command::Serve(settings) => exit_code(format, run(&settings, DemoMode::Off)),
        Command::Demo(settings) => exit_code(format, demo(&settings)),
        Command::Consume(settings) => consume(settings),
        Command::Tail(settings) => consume(settings.into()),
        Command::Produce(settings) => produce(settings),
        Command::Topics(settings) => topics(&settings),
        Command::Key(settings) => key(settings),
        Command::Health(settings) => health(&settings),
        Command::Doctor(settings) => doctor(&settings),
        Command::Export(settings) => consume(settings.into()),
    }
}

/// Whether the bridge also produces demo data.
#[derive(Debug, Clone, Copy)]
enum DemoMode<'a> {
    Off,
    /// Demo data is written to this directory, which is removed at the end.
    On(&'a DemoDir),
}

/// A failure of `serve`. The text is one line.
#[derive(Debug, Error)]
enum ServeError {
    #[error("cannot create a directory for the demo: {0}")]
    DemoDir(#[source] io::Error),
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    #[error("cannot listen on {address}: {source}; {}", listen_remedy(.source))]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    #[error("cannot watch the auth file: {0}")]
    WatchAuthFile(#[source] io::Error),
    /// Opening the embedded log panicked.
    #[error("cannot open the data: {0}")]
    OpenData(#[source] JoinError),
    #[error("{source}{}", data_remedy(.source))]
    Data { source: OpenError },
    #[error("the server ended unexpectedly: {0}")]
    Server(#[source] JoinError),
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    #[error(transparent)]
    AuthFile(#[from] LoadError),
    #[error(transparent)]
    Tls(#[from] ServerTlsError),
}

fn data_remedy(error: &OpenError) -> &'static str {
    if error.concerns_directory() { "; choose another directory with --data" } else { "" }
}

fn listen_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there; choose another port with --listen",
        io::ErrorKind::AddrNotAvailable => "it is not an address of this machine; choose another with --listen",
        io::ErrorKind::PermissionDenied => "ports below 1024 require root; choose another with --listen",
        _ => "choose another address with --listen",
    }
}

/// Serves demo data from a temporary directory.
fn demo(settings: &Demo) -> Result<(), ServeError> {
    let dir = DemoDir::new().map_err(ServeError::DemoDir)?;
    run(&settings.serve(&dir)?, DemoMode::On(&dir))
}

fn exit_code(format: LogFormat, result: Result<(), ServeError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match format {
                LogFormat::Text | LogFormat::Plain => drop(writeln!(io::stderr(), "curlew: {error}")),
                LogFormat::Json => log::error!("{error}"),
            }
            ExitCode::from(2)
        }
    }
}

/// Serves until a signal.
fn run(settings: &Serve, mode: DemoMode<'_>) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Runtime)?;
    let served = runtime.block_on(async {
        if let Some(file) = &settings.file.config {
            info!("loaded settings from {}", file.display());
        }
        settings.file.overridden.iter().for_each(|line| info!("{line}"));
        let mut signals = Signals::catch().map_err(ServeError::Signals)?;
        let auth = settings.auth()?;
        let address = settings.listen;
        let tls = settings.tls().map(ServerTls::load).transpose()?;
        let listener = http::bind(address).map_err(|source| ServeError::Listen { address, source })?;
        let broker = tokio::select! {
            broker = broker(settings) => broker?,
            // Stops opening the embedded log, which survives even SIGKILL.
            () = signals.next() => {
                info!("shutting down before the data was open");
                return Ok(());
            }
        };
        let memory = settings.memory();
        let registry = settings.schema_registry().cloned();
        let registry = registry.map(|registry| SchemaRegistry::start(registry, &memory.schemas)).transpose();
        let registry = registry.map_err(ServeError::Thread)?;
        let broker: Arc<dyn Broker> = match &registry {
            Some(registry) => Arc::new(DecodingBroker::new(broker, Arc::new(registry.clone()))),
            None => broker,
        };
        let topics = describe_topics(settings);
        let hub = Hub::start(broker, settings.hub(&memory)).map_err(ServeError::Thread)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let serving = format!("serving {scheme}://{} for {topics}", listener.local_addr().unwrap_or(address));
        info!("{serving}");
        let hub = Arc::new(hub);
        let plant = matches!(mode, DemoMode::On(_)).then(|| Plant::start(hub.clone())).transpose();
        let _plant = plant.map_err(ServeError::Thread)?;
        let http = settings.http(allowed_connections(settings.max_connections), auth.clone(), &memory);
        let schemas = registry.clone().map(|registry| SchemaEncoder::new(Arc::new(registry)));
        let produce = http::produce::Settings { schemas, ..http.produce };
        let app = App::new(hub.clone(), http::Settings { registry, produce, ..http });
        let reload = reload_auth(&auth).map_err(ServeError::WatchAuthFile)?;
        let manager = config::manager();
        manager.ready(&serving);
        let broker = hub.broker().clone();
        // Reports an unreachable broker at startup instead of at the first request.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = broker.ready() {
                warn!("{error}; run `curlew doctor` with the same settings to find the cause");
            }
        });
        let (shutdown, is_shutdown) = tokio::sync::oneshot::channel::<()>();
        // Runs on the runtime's worker threads. Tasks spawned from this thread go through the shared queue together with all
        // wake-ups from other threads, where a flood of new connections would delay every receipt and every stream.
        let mut serving = tokio::spawn(http::serve(listener, tls, app, async { drop(is_shutdown.await) }));
        tokio::pin!(reload);
        tokio::select! {
            served = &mut serving => return served.map_err(ServeError::Server),
            () = &mut reload => {}
            () = signals.next() => {}
            () = feed_watchdog(&manager, &hub) => {}
        }
        manager.stopping();
        info!("shutting down: streams end after a complete frame, queued records are written; a second signal ends the process at once");
        if !settings.shutdown_delay.is_zero() {
            info!("still serving for {:?} while /ready responds with 503 (--shutdown-delay)", settings.shutdown_delay);
        }
        drop(shutdown);
        tokio::select! {
            served = serving => match served {
                Ok(()) => info!("shut down"),
                Err(error) => warn!("{}", ServeError::Server(error)),
            },
            // Never completes. Open requests follow changes of the auth file.
            () = reload => {}
            // The second signal: exits without waiting for queued records.
            () = signals.next() => {
                if let DemoMode::On(dir) = mode {
                    dir.remove();
                }
                std::process::exit(1)
            }
        }
        Ok(())
    });
    // Tasks that did not end within the drain timeout are abandoned.
    runtime.shutdown_background();
    served
}

/// Reloads the auth file when it changes and at each SIGHUP, while the future is polled. Without an auth file, SIGHUP keeps
/// its default action, which ends the process.
fn reload_auth(auth: &Authenticator) -> io::Result<impl Future<Output = ()> + use<>> {
    let watch = auth
        .is_enabled()
        .then(|| Ok::<_, io::Error>((HangUps::catch()?, AuthWatcher::start(auth.clone())?)))
        .transpose()?;
    Ok(async move {
        if let Some((hang_ups, watch)) = watch {
            hang_ups.for_each(|| watch.reload_soon()).await;
        }
        std::future::pending().await
    })
}

/// Pings the service manager's watchdog while no thread is stalled or panicking. Never completes.
async fn feed_watchdog(manager: &ServiceManager, hub: &Hub) {
    let Some(interval) = manager.ping_interval() else { return std::future::pending().await };
    loop {
        tokio::time::sleep(interval).await;
        // Without pings, the manager restarts the process.
        if hub.faults().is_empty() {
            manager.ping();
        }
    }
}

/// Connects to Kafka if it is configured, and opens the embedded log otherwise. After a power failure, opening the log
/// takes as long as reading it.
async fn broker(settings: &Serve) -> Result<Arc<dyn Broker>, ServeError> {
    if let Some(kafka) = settings.kafka() {
        return Ok(kafka::connect(&kafka));
    }
    let embedded = settings.embedded();
    let opened = tokio::task::spawn_blocking(|| Embedded::open(embedded)).await.map_err(ServeError::OpenData)?;
    Ok(Arc::new(opened.map_err(|source| ServeError::Data { source })?))
}

fn describe_topics(settings: &Serve) -> String {
    match settings.kafka() {
        None => format!("the topics in {}", settings.embedded().folder.display()),
        Some(kafka) => format!("Kafka at {} ({})", kafka.brokers.join(","), kafka.security.describe()),
    }
}

/// Returns `max_connections`, or the number that the limit of open files allows if that is less.
fn allowed_connections(max_connections: usize) -> usize {
    let allowed = fd_limit::raise().saturating_sub(RESERVED_FILES).max(1);
    if allowed < max_connections {
        // With the default limits up to 5 % less is common, and needs no warning.
        let level = if allowed < max_connections - max_connections / 20 { Level::Warn } else { Level::Info };
        log!(
            level,
            "the system allows {allowed} connections, not {max_connections}: raise the limit of open files (ulimit -n) or lower --max-connections"
        );
    }
    max_connections.min(allowed)
}

/// Prints help or an error. A closed pipe does not change the exit code.
fn exit_early(exit: &EarlyExit) -> ExitCode {
    match exit {
        EarlyExit::Output(text) => {
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        EarlyExit::Error(_) => {
            let _ = writeln!(io::stderr(), "{exit}");
            ExitCode::from(2)
        }
    }
}
