//! Arguments to exit code: parse, connect, serve, drain.

use curlew::commands::{consume, produce};
use curlew::config::{self, Command, Serve, Stop};
use curlew::hub::Hub;
use curlew::signal::Signals;
use curlew::{kafka, logging};
use log::info;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Builder;

/// For what a person has to set right: a bad option, a taken port.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match config::from_process() {
        Ok(command) => command,
        Err(stop) => return end_before_start(&stop),
    };
    logging::start(command.log_level());
    match command {
        Command::Serve(settings) => serve(settings),
        Command::Consume(settings) => consume(settings),
        Command::Produce(settings) => produce(settings),
    }
}

fn end_before_start(stop: &Stop) -> ExitCode {
    match stop {
        // Whether anybody reads it changes nothing.
        Stop::Shown(text) => {
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Stop::Refused(_) => {
            let _ = writeln!(io::stderr(), "{stop}");
            ExitCode::from(USAGE)
        }
    }
}

fn serve(settings: Serve) -> ExitCode {
    let served = Builder::new_multi_thread().enable_all().thread_name("http").build().and_then(|runtime| {
        let served = runtime.block_on(serve_until_told(settings));
        // What is not done by now is not waited for.
        runtime.shutdown_background();
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "curlew: {error}");
            ExitCode::from(USAGE)
        }
    }
}

async fn serve_until_told(settings: Serve) -> io::Result<()> {
    let mut signals = Signals::catch()?;
    let address = settings.listen;
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|e| cannot_listen(address, &e))?;
    let broker = kafka::connect(settings.brokers(), settings.driver());
    let hub = Arc::new(Hub::start(broker, settings.hub())?);
    info!("http://{} in front of {}", listener.local_addr()?, hub.broker().describe());
    signals.next().await;
    Ok(())
}

fn cannot_listen(address: std::net::SocketAddr, error: &io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is taken by another program (another Curlew?); end it, or choose another with --listen ADDR:PORT"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is no address of this machine; choose one with --listen ADDR:PORT")
        }
        io::ErrorKind::PermissionDenied => {
            format!("listening on {address} is not permitted; choose a port from 1024 on with --listen ADDR:PORT")
        }
        _ => format!("cannot listen on {address}: {error}; choose another with --listen ADDR:PORT"),
    };
    io::Error::new(error.kind(), why)
}
