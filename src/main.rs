//! Arguments to exit code: parse, connect, serve, drain.

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
use curlew::os::sd_notify::Manager;
use curlew::os::signal::{HangUps, Signals};
use log::{Level, info, log, warn};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

/// Open files that are not connections of clients: to the brokers, standard streams, the runtime's own.
const OWN_FILES: usize = 128;

fn main() -> ExitCode {
    let command = match config::from_process() {
        Ok(command) => command,
        Err(stop) => return say(&stop),
    };
    let format = command.log_format();
    curlew::logging::start(command.log_level(), format);
    match command {
        Command::Serve(settings) => told(format, run(&settings, LogSource::Given)),
        Command::Demo(settings) => told(format, demo(&settings)),
        Command::Consume(settings) => consume(settings),
        Command::Produce(settings) => produce(settings),
        Command::Key(settings) => key(settings),
        Command::Health(settings) => health(&settings),
        Command::Doctor(settings) => doctor(&settings),
        Command::Export(settings) => consume(settings.into()),
    }
}

/// Whether there is anything in the topics that nobody has sent.
#[derive(Debug, Clone, Copy)]
enum LogSource<'a> {
    Given,
    /// Kept in this folder as long as the program runs.
    MadeUp(&'a DemoFolder),
}

/// Serves made-up data from a folder that goes with the program.
fn demo(settings: &Demo) -> Result<(), String> {
    let folder = DemoFolder::new().map_err(|e| format!("cannot make a folder for the demo: {e}"))?;
    run(&settings.serve(&folder)?, LogSource::MadeUp(&folder))
}

fn told(format: LogFormat, result: Result<(), String>) -> ExitCode {
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

/// Serves until a signal. An error is one line for the person who started it.
fn run(settings: &Serve, data: LogSource<'_>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start: {e}"))?;
    let served = runtime.block_on(async {
        if let Some(file) = &settings.file.config {
            info!("settings from {}", file.display());
        }
        settings.file.overridden.iter().for_each(|line| info!("{line}"));
        let mut signals = Signals::catch().map_err(|e| format!("cannot listen for signals: {e}"))?;
        let auth = settings.auth()?;
        let address = settings.listen;
        let tls = settings.tls().map(ServerTls::load).transpose()?;
        let listener = http::bind(address).map_err(|e| cannot_listen(address, &e))?;
        let broker = tokio::select! {
            broker = broker(settings) => broker?,
            // As safe as a kill, which the log stands at any time.
            () = signals.next() => {
                info!("ending: the data was not open yet");
                return Ok(());
            }
        };
        let topics = topics_of(settings);
        let memory = settings.memory();
        let hub = Hub::start(broker, settings.hub(&memory)).map_err(|e| format!("cannot start a thread: {e}"))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let serving = format!("serving {scheme}://{} for {topics}", listener.local_addr().unwrap_or(address));
        info!("{serving}");
        let hub = Arc::new(hub);
        let plant = matches!(data, LogSource::MadeUp(_)).then(|| Plant::start(hub.clone())).transpose();
        let _plant = plant.map_err(|e| format!("cannot start a thread: {e}"))?;
        let app = App::new(hub.clone(), settings.http(connections(settings.max_connections), auth.clone(), &memory));
        let rereading = rereading(&auth).map_err(|e| format!("cannot watch the auth file: {e}"))?;
        let manager = config::manager();
        manager.ready(&serving);
        let broker = hub.broker().clone();
        // Who starts it hears at once where there is no broker, and not only who asks for something.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = broker.ready() {
                warn!("{error}; `curlew doctor`, with the same settings, says where it fails");
            }
        });
        let (end, told) = tokio::sync::oneshot::channel::<()>();
        // On the runtime's own threads: tasks that are started from here wait in a queue with what other threads wake, and a
        // flood of new connections would hold up every receipt and every stream.
        let mut serving = tokio::spawn(http::serve(listener, tls, app, async { drop(told.await) }));
        tokio::pin!(rereading);
        tokio::select! {
            served = &mut serving => return served.map_err(|e| format!("serving has ended: {e}")),
            () = &mut rereading => {}
            () = signals.next() => {}
            () = show_life(&manager, &hub) => {}
        }
        manager.stopping();
        info!("ending: streams end after a whole frame, queued records are written; a second signal ends at once");
        if !settings.shutdown_delay.is_zero() {
            info!("still serving for {:?}, while /ready says 503 (--shutdown-delay)", settings.shutdown_delay);
        }
        drop(end);
        tokio::select! {
            served = serving => match served {
                Ok(()) => info!("ended"),
                Err(error) => warn!("serving has ended: {error}"),
            },
            // What is still served goes by the auth file as it is now. Never ends.
            () = rereading => {}
            // Not even what cannot be written any more is waited for.
            () = signals.next() => {
                if let LogSource::MadeUp(folder) = data {
                    folder.remove();
                }
                std::process::exit(1)
            }
        }
        Ok(())
    });
    // What has not ended within the drain timeout is not waited for any longer.
    runtime.shutdown_background();
    served
}

/// Reads the auth file anew when it changes and at each SIGHUP, as long as it is polled. Where there is none, SIGHUP ends the
/// program as ever.
fn rereading(auth: &Authenticator) -> io::Result<impl Future<Output = ()> + use<>> {
    let watch = auth
        .is_enabled()
        .then(|| Ok::<_, io::Error>((HangUps::catch()?, AuthWatcher::start(auth.clone())?)))
        .transpose()?;
    Ok(async move {
        if let Some((hang_ups, watch)) = watch {
            hang_ups.each(|| watch.reload_soon()).await;
        }
        std::future::pending().await
    })
}

/// Tells the service manager, as often as it wants, that all threads do their work; never ends.
async fn show_life(manager: &Manager, hub: &Hub) {
    let Some(every) = manager.sign_of_life_every() else { return std::future::pending().await };
    loop {
        tokio::time::sleep(every).await;
        // Where it hears nothing, it starts us anew.
        if hub.faults().is_empty() {
            manager.alive();
        }
    }
}

/// Kafka where it is given, else a log of our own, which after a power cut takes as long to open as to read through.
async fn broker(settings: &Serve) -> Result<Arc<dyn Broker>, String> {
    if let Some(kafka) = settings.kafka() {
        return Ok(kafka::connect(&kafka));
    }
    let embedded = settings.embedded();
    let opened = tokio::task::spawn_blocking(|| Embedded::open(embedded)).await;
    Ok(Arc::new(opened.map_err(|e| format!("cannot open the data: {e}"))??))
}

fn topics_of(settings: &Serve) -> String {
    match settings.kafka() {
        None => format!("the topics in {}", settings.embedded().folder.display()),
        Some(kafka) => format!("Kafka at {} ({})", kafka.brokers.join(","), kafka.security.describe()),
    }
}

/// As many as were asked for, if the system allows so many open files.
fn connections(asked: usize) -> usize {
    let allowed = fd_limit::raise().saturating_sub(OWN_FILES).max(1);
    if allowed < asked {
        // A few less are no news for who has asked for none in particular.
        let level = if allowed < asked - asked / 20 { Level::Warn } else { Level::Info };
        log!(
            level,
            "the system allows {allowed} connections, not {asked}: raise the limit of open files (ulimit -n) or lower --max-connections"
        );
    }
    asked.min(allowed)
}

fn cannot_listen(address: std::net::SocketAddr, error: &io::Error) -> String {
    let todo = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; choose another port with --listen",
        io::ErrorKind::AddrNotAvailable => "it is not an address of this machine; choose another with --listen",
        io::ErrorKind::PermissionDenied => "ports below 1024 are for root; choose another with --listen",
        _ => "choose another address with --listen",
    };
    format!("cannot listen on {address}: {error}; {todo}")
}

/// A pipe that nobody reads is no reason to fail otherwise.
fn say(stop: &EarlyExit) -> ExitCode {
    match stop {
        EarlyExit::Shown(text) => {
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        EarlyExit::Refused(_) => {
            let _ = writeln!(io::stderr(), "{stop}");
            ExitCode::from(2)
        }
    }
}
