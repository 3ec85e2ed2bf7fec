//! The ceiling: warp without Kafka. `POST /` reads the body and answers with something as long as a receipt;
//! `GET /events` sends the same ready-made frames for ever, as fast as they are taken.

use crate::place::{Place, Publish};
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
/// As long as Curlew's for one partition.
const ID: &str = "2.hnl0.Ckkd1Cbench.3xk9";
/// Frames of one chunk.
const TOGETHER: usize = 64;

pub fn serve(port: u16) {
    let receive = warp::post()
        .and(warp::body::bytes())
        .map(|_| warp::http::Response::builder().header("content-type", "application/json").body(ANSWER));
    let frame = [b"data: ", record().as_slice(), b"\nid: ", ID.as_bytes(), b"\n\n"].concat();
    let chunk = Bytes::from(frame.repeat(TOGETHER));
    let send = warp::path!("events").and(warp::get()).map(move || {
        let chunks = stream::repeat(Ok::<_, Infallible>(chunk.clone()));
        warp::reply::with_header(warp::reply::stream(chunks), "content-type", "text/event-stream")
    });
    tokio::runtime::Runtime::new()
        .expect("runtime")
        .block_on(async { warp::serve(send.or(receive)).run(([127, 0, 0, 1], port)).await });
}

/// In a process of its own.
pub struct BareWarp {
    pub port: u16,
    _process: Process,
    _folder: TempDir,
}

impl BareWarp {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("temp folder");
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["bare-warp", &port.to_string()]);
        let process = Process::start("bare warp", command, &folder.path().join("log"));
        eventually("bare warp is up", Duration::from_secs(5), || http::try_connect(port).map_err(|e| e.to_string()));
        Self { port, _process: process, _folder: folder }
    }

    pub fn place(&self) -> Place {
        Place { port: self.port, listen: "/events".into(), ready: "\nid:", publish: Publish::ByItself }
    }
}
