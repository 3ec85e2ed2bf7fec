//! A fake broker for tests. A closure returns its responses, in old versions that are easy to write by hand.
#![allow(clippy::unwrap_used)]

pub mod damage;

use super::settings::WireSettings;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub const FETCH: i16 = 1;
pub const LIST_OFFSETS: i16 = 2;
pub const METADATA: i16 = 3;
pub const API_VERSIONS: i16 = 18;
pub const CREATE_TOPICS: i16 = 19;
pub const DESCRIBE_CONFIGS: i16 = 32;

/// Accepts connections until it is dropped, and serves each one with `serve` on another thread.
pub struct Impostor {
    pub address: String,
    pub connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Impostor {
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, connections, streams) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let accepting = {
            let (stop, connections, streams) = (stop.clone(), connections.clone(), Arc::clone(&streams));
            let serve = Arc::new(serve);
            std::thread::spawn(move || {
                let mut serving = Vec::new();
                for stream in listener.incoming().map_while(Result::ok) {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    connections.fetch_add(1, Ordering::SeqCst);
                    let kept: &Mutex<Vec<TcpStream>> = &streams;
                    kept.lock().unwrap().push(stream.try_clone().unwrap());
                    let serve = serve.clone();
                    serving.push(std::thread::spawn(move || {
                        let ours = stream.try_clone().unwrap();
                        serve(stream);
                        // The clone in `streams` would keep it open.
                        let _ = ours.shutdown(std::net::Shutdown::Both);
                    }));
                }
                for serving in serving {
                    serving.join().unwrap();
                }
            })
        };
        Self { address, connections, stop, streams, accepting: Some(accepting) }
    }

    pub fn settings(&self) -> WireSettings {
        settings(&[&self.address])
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

pub fn settings(bootstrap: &[&str]) -> WireSettings {
    WireSettings {
        bootstrap: bootstrap.iter().map(|&address| address.to_owned()).collect(),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        max_frame: 1 << 20,
        ..WireSettings::default()
    }
}

#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub key: i16,
    pub version: i16,
    pub correlation: i32,
    /// The request without its header.
    pub body: Vec<u8>,
}

/// Reads the next request on `stream`; `None` at its end.
pub fn next_request(stream: &mut TcpStream) -> Option<ReceivedRequest> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).ok()?;
    let mut frame = vec![0; i32::from_be_bytes(len) as usize];
    stream.read_exact(&mut frame).ok()?;
    let i16_at = |at: usize| i16::from_be_bytes(frame[at..at + 2].try_into().unwrap());
    let (key, version, client) = (i16_at(0), i16_at(2), i16_at(8) as usize);
    let correlation = i32::from_be_bytes(frame[4..8].try_into().unwrap());
    Some(ReceivedRequest { key, version, correlation, body: frame[10 + client..].to_vec() })
}

pub fn respond_to(stream: &mut TcpStream, correlation: i32, body: &[u8]) {
    let mut frame = (body.len() as i32 + 4).to_be_bytes().to_vec();
    frame.extend(correlation.to_be_bytes());
    frame.extend(body);
    // The client may have closed the connection.
    let _ = stream.write_all(&frame);
}

/// Returns an ApiVersions response (version 3) of Kafka 0.11: Metadata 4, ListOffsets 2 and Fetch 4.
pub fn api_versions() -> Vec<u8> {
    api_versions_with(&[])
}

/// Like [`api_versions`], with further requests and their newest versions.
fn api_versions_with(further: &[(i16, i16)]) -> Vec<u8> {
    let mut body = vec![0, 0, 4 + further.len() as u8];
    for (key, max) in [(METADATA, 4), (LIST_OFFSETS, 2), (FETCH, 4)].iter().chain(further) {
        body.extend(key.to_be_bytes());
        body.extend(0i16.to_be_bytes());
        body.extend(max.to_be_bytes());
        body.push(0);
    }
    body.extend([0; 5]);
    body
}

/// Starts a broker of Kafka 0.11 that answers with `respond`; `None` closes the connection.
pub fn broker(respond: impl Fn(&ReceivedRequest) -> Option<Vec<u8>> + Send + Sync + 'static) -> Impostor {
    broker_with(&[], respond)
}

/// Like [`broker`], with further requests and their newest versions.
pub fn broker_with(
    further: &'static [(i16, i16)],
    respond: impl Fn(&ReceivedRequest) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Impostor {
    Impostor::start(move |mut stream| {
        while let Some(request) = next_request(&mut stream) {
            let versions = || Some(api_versions_with(further));
            let body = if request.key == API_VERSIONS { versions() } else { respond(&request) };
            let Some(body) = body else { return };
            respond_to(&mut stream, request.correlation, &body);
        }
    })
}

pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}

/// Returns a Metadata response (version 4) with brokers (id, `host:port`) and topics (name, error code, leader of each
/// partition).
pub fn metadata(brokers: &[(i32, &str)], topics: &[(&str, i16, &[i32])]) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend((brokers.len() as i32).to_be_bytes());
    for (node, address) in brokers {
        let (host, port) = address.split_once(':').unwrap();
        body.extend(node.to_be_bytes());
        text(&mut body, host);
        body.extend(port.parse::<i32>().unwrap().to_be_bytes());
        body.extend([0xff, 0xff]);
    }
    body.extend([0xff, 0xff, 0, 0, 0, 1]);
    body.extend((topics.len() as i32).to_be_bytes());
    for (name, error, leaders) in topics {
        body.extend(error.to_be_bytes());
        text(&mut body, name);
        body.push(0);
        body.extend((leaders.len() as i32).to_be_bytes());
        for (leader, partition) in leaders.iter().zip(0i32..) {
            body.extend([0, 0]);
            body.extend(partition.to_be_bytes());
            body.extend(leader.to_be_bytes());
            body.extend([0; 8]);
        }
    }
    body
}
