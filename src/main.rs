//! The process: parses the arguments, runs the command, and returns its exit code. `serve` connects, serves, and drains.

use curlew::auth::{AuthWatcher, Authenticator};
use curlew::broker::Broker;
use curlew::commands::demo::Plant;
use curlew::commands::{consume, doctor, health, key, produce};
use curlew::config::{self, Command, Demo, DemoFolder, EarlyExit, Serve};
use curlew::embedded::Embedded;
use curlew::http::{self, App, ServerTls};
use curlew::hub::Hub;
use curlew::kafka;
use curlew::logging::LogFormat;
use curlew::os::fd_limit;
use curlew::os::sd_notify::ServiceManager;
use curlew::os::signal::{HangUps, Signals};
use log::{Level, info, log, warn};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

/// File descriptors reserved for everything but client connections: brokers, standard streams, the runtime.
const OWN_FILES: usize = 128;

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
        Command::Produce(settings) => produce(settings),
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
    /// Demo data is written to this folder, which is removed at the end.
    On(&'a DemoFolder),
}

/// Serves demo data from a temporary folder.
fn demo(settings: &Demo) -> Result<(), String> {
    let folder = DemoFolder::new().map_err(|e| format!("cannot make a folder for the demo: {e}"))?;
    run(&settings.serve(&folder)?, DemoMode::On(&folder))
}

fn exit_code(format: LogFormat, result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            match format {
                LogFormat::Text | LogFormat::Plain => drop(writeln!(io::stderr(), "curlew: {line}")),
                LogFormat::Json => log::error!("{line}"),
            }
            ExitCode::from(2)
        }
    }
}

/// Serves until a signal. An error is one line of text.
fn run(settings: &Serve, mode: DemoMode<'_>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start: {e}"))?;
    let served = runtime.block_on(async {
        if let Some(file) = &settings.file.config {
            info!("loaded settings from {}", file.display());
        }
        settings.file.overridden.iter().for_each(|line| info!("{line}"));
        let mut signals = Signals::catch().map_err(|e| format!("cannot listen for signals: {e}"))?;
        let auth = settings.auth()?;
        let address = settings.listen;
        let tls = settings.tls().map(ServerTls::load).transpose()?;
        let listener = http::bind(address).map_err(|e| cannot_listen(address, &e))?;
        let broker = tokio::select! {
            broker = broker(settings) => broker?,
            // As safe as SIGKILL, which the embedded log survives at any time.
            () = signals.next() => {
                info!("shutting down before the data was open");
                return Ok(());
            }
        };
        let topics = describe_topics(settings);
        let memory = settings.memory();
        let hub = Hub::start(broker, settings.hub(&memory)).map_err(|e| format!("cannot start a thread: {e}"))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let serving = format!("serving {scheme}://{} for {topics}", listener.local_addr().unwrap_or(address));
        info!("{serving}");
        let hub = Arc::new(hub);
        let plant = matches!(mode, DemoMode::On(_)).then(|| Plant::start(hub.clone())).transpose();
        let _plant = plant.map_err(|e| format!("cannot start a thread: {e}"))?;
        let app = App::new(hub.clone(), settings.http(allowed_connections(settings.max_connections), auth.clone(), &memory));
        let reload = reload_auth(&auth).map_err(|e| format!("cannot watch the auth file: {e}"))?;
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
            served = &mut serving => return served.map_err(|e| format!("the server ended unexpectedly: {e}")),
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
                Err(error) => warn!("the server ended unexpectedly: {error}"),
            },
            // Never completes. Requests still being served follow changes of the auth file.
            () = reload => {}
            // The second signal: exits without waiting for queued records.
            () = signals.next() => {
                if let DemoMode::On(folder) = mode {
                    folder.remove();
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
async fn broker(settings: &Serve) -> Result<Arc<dyn Broker>, String> {
    if let Some(kafka) = settings.kafka() {
        return Ok(kafka::connect(&kafka));
    }
    let embedded = settings.embedded();
    let opened = tokio::task::spawn_blocking(|| Embedded::open(embedded)).await;
    let opened = opened.map_err(|e| format!("cannot open the data: {e}"))?;
    Ok(Arc::new(opened.map_err(|error| match error.concerns_directory() {
        true => format!("{error}; choose another with --data"),
        false => error.to_string(),
    })?))
}

fn describe_topics(settings: &Serve) -> String {
    match settings.kafka() {
        None => format!("the topics in {}", settings.embedded().folder.display()),
        Some(kafka) => format!("Kafka at {} ({})", kafka.brokers.join(","), kafka.security.describe()),
    }
}

/// Returns `wanted`, lowered to what the limit of open files allows.
fn allowed_connections(wanted: usize) -> usize {
    let allowed = fd_limit::raise().saturating_sub(OWN_FILES).max(1);
    if allowed < wanted {
        // Up to 5 % less is common with the default limits, and not worth a warning.
        let level = if allowed < wanted - wanted / 20 { Level::Warn } else { Level::Info };
        log!(
            level,
            "the system allows {allowed} connections, not {wanted}: raise the limit of open files (ulimit -n) or lower --max-connections"
        );
    }
    wanted.min(allowed)
}

fn cannot_listen(address: std::net::SocketAddr, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there; choose another port with --listen",
        io::ErrorKind::AddrNotAvailable => "it is not an address of this machine; choose another with --listen",
        io::ErrorKind::PermissionDenied => "ports below 1024 require root; choose another with --listen",
        _ => "choose another address with --listen",
    };
    format!("cannot listen on {address}: {error}; {remedy}")
}

/// Prints help or an error. A closed pipe does not change the exit code.
fn exit_early(exit: &EarlyExit) -> ExitCode {
    match exit {
        EarlyExit::Shown(text) => {
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        EarlyExit::Refused(_) => {
            let _ = writeln!(io::stderr(), "{exit}");
            ExitCode::from(2)
        }
    }
}
