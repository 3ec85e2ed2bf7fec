//! The upper bound: warp without Kafka. `POST /` reads the body and responds with as many bytes as a receipt has. `GET
//! /events` sends the same precomputed frames forever, as fast as the client reads them.

use crate::endpoint::{Publish, StreamEndpoint};
use crate::record::record;
use bytes::Bytes;
use curlew_integration::process::Process;
use curlew_integration::{eventually, free_port, http};
use futures_util::stream;
use std::convert::Infallible;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use warp::Filter;

const ANSWER: &str = r#"{"offsets":[{"partition":0,"offset":1234567}]}"#;
/// An id as long as those of Curlew for one partition.
const ID: &str = "2.hnl0.Ckkd1Cbench.3xk9";
/// Frames per chunk.
const BATCH: usize = 64;

pub fn serve(port: u16) {
    let receive = warp::post()
        .and(warp::body::bytes())
        .map(|_| warp::http::Response::builder().header("content-type", "application/json").body(ANSWER));
    let frame = [b"data: ", record().as_slice(), b"\nid: ", ID.as_bytes(), b"\n\n"].concat();
    let chunk = Bytes::from(frame.repeat(BATCH));
    let send = warp::path!("events").and(warp::get()).map(move || {
        let chunks = stream::repeat(Ok::<_, Infallible>(chunk.clone()));
        warp::reply::with_header(warp::reply::stream(chunks), "content-type", "text/event-stream")
    });
    tokio::runtime::Runtime::new()
        .expect("runtime")
        .block_on(async { warp::serve(send.or(receive)).run(([127, 0, 0, 1], port)).await });
}

/// The server, in a separate process.
pub struct BareWarp {
    pub port: u16,
    _process: Process,
    _directory: TempDir,
}

impl BareWarp {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["bare-warp", &port.to_string()]);
        let process = Process::start("bare warp", command, &directory.path().join("log"));
        eventually("bare warp is up", Duration::from_secs(5), || http::try_connect(port).map_err(|e| e.to_string()));
        Self { port, _process: process, _directory: directory }
    }

    pub fn endpoint(&self) -> StreamEndpoint {
        StreamEndpoint { port: self.port, target: "/events".into(), ready: "\nid:", publish: Publish::Endless }
    }
}
