//! TCP proxies: one cuts connections, one counts Kafka requests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Listens until dropped. Each connection is served by separate threads.
pub struct Proxy {
    port: u16,
    ending: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy on port `listen`, or on a free port if it is 0.
    pub fn start(listen: u16, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", listen)).expect("proxy port");
        let port = listener.local_addr().expect("address").port();
        let ending = Arc::new(AtomicBool::new(false));
        let (ended, serve) = (ending.clone(), Arc::new(serve));
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let serve = serve.clone();
                std::thread::spawn(move || serve(client));
            }
        });
        Self { port, ending, accepting: Some(accepting) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Reads the first Kafka request of a connection. Returns its client id, and its bytes for forwarding.
pub fn first_client_id(mut client: &TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut frame = length.to_vec();
    frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
    client.read_exact(&mut frame[4..])?;
    // The bytes after the length are API key, version and correlation id.
    let length = usize::from(u16::from_be_bytes([frame[12], frame[13]]));
    Ok((String::from_utf8_lossy(&frame[14..14 + length]).into_owned(), frame))
}

/// Sends `first` to the server, and then forwards bytes in both directions until one side closes.
pub fn pass_both_ways(client: TcpStream, server: TcpStream, first: &[u8]) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_server) = (client.try_clone().expect("socket"), server.try_clone().expect("socket"));
    if to_server.write_all(first).is_ok() {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut &server, &mut &client);
    }
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Cuts each connection after a random number of bytes from the server, possibly in the middle of a frame.
pub struct CutProxy {
    proxy: Proxy,
    cuts: Arc<AtomicUsize>,
    cutting: Arc<AtomicBool>,
    upstream: Arc<Mutex<u16>>,
}

impl CutProxy {
    /// Cuts connections after 1 to `at_most` bytes. The same `seed` gives the same cuts.
    pub fn start(upstream: u16, at_most: usize, seed: u64) -> Self {
        let (cuts, cutting) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let upstream = Arc::new(Mutex::new(upstream));
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let (counted, still, target) = (cuts.clone(), cutting.clone(), upstream.clone());
        let proxy = Proxy::start(0, move |client| {
            let budget = random.lock().expect("lock").usize(1..=at_most);
            let Ok(server) = TcpStream::connect(("127.0.0.1", *target.lock().expect("lock"))) else { return };
            let budget = if still.load(Ordering::Relaxed) { budget } else { usize::MAX };
            if pass_and_cut(client, server, budget) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { proxy, cuts, cutting, upstream }
    }

    pub fn port(&self) -> u16 {
        self.proxy.port
    }

    /// Number of connections cut so far.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Stops cutting new connections.
    pub fn stop_cutting(&self) {
        self.cutting.store(false, Ordering::Relaxed);
    }

    /// Connects new connections to this port.
    pub fn send_to(&self, upstream: u16) {
        *self.upstream.lock().expect("lock") = upstream;
    }
}

/// Returns whether the connection ended because `budget` was used up.
fn pass_and_cut(client: TcpStream, server: TcpStream, mut budget: usize) -> bool {
    let (mut from_client, mut to_server) = (client.try_clone().expect("socket"), server.try_clone().expect("socket"));
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let (mut from_server, mut to_client) = (server, client);
    let mut buffer = [0; 16384];
    while budget > 0 {
        let room = buffer.len().min(budget);
        match from_server.read(&mut buffer[..room]) {
            Ok(got) if got > 0 && to_client.write_all(&buffer[..got]).is_ok() => budget -= got,
            _ => break,
        }
    }
    let _ = to_client.shutdown(Shutdown::Both);
    let _ = from_server.shutdown(Shutdown::Both);
    budget == 0
}

/// Forwards Kafka requests and counts them, by client id and API key (0 Produce, 1 Fetch, …).
pub struct CountingProxy {
    _proxy: Proxy,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Number of requests by API key.
    pub requests: BTreeMap<i16, usize>,
    /// Number of connections that have sent at least one request, by API key.
    pub connections: BTreeMap<i16, usize>,
}

pub const PRODUCE: i16 = 0;
pub const FETCH: i16 = 1;

impl CountingProxy {
    pub fn start(listen: u16, upstream: u16) -> Self {
        let counts: Arc<Mutex<Counts>> = Arc::default();
        let counted = counts.clone();
        let proxy = Proxy::start(listen, move |client| {
            let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let mut from_server = server.try_clone().expect("socket");
            let mut to_client = client.try_clone().expect("socket");
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Both);
            });
            let _ = pass_requests(&client, &server, &counted);
            let _ = server.shutdown(Shutdown::Both);
        });
        Self { _proxy: proxy, counts }
    }

    pub fn counts(&self) -> Counts {
        self.counts.lock().expect("lock").clone()
    }

    /// Returns the number of requests with this API key.
    pub fn requests(&self, api: i16) -> usize {
        self.counts().requests.get(&api).copied().unwrap_or_default()
    }

    /// Returns the number of connections that have sent a request with this API key.
    pub fn connections(&self, api: i16) -> usize {
        self.counts().connections.get(&api).copied().unwrap_or_default()
    }
}

fn pass_requests(mut client: &TcpStream, mut server: &TcpStream, counts: &Mutex<Counts>) -> std::io::Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let mut frame = length.to_vec();
        frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
        client.read_exact(&mut frame[4..])?;
        let api = i16::from_be_bytes([frame[4], frame[5]]);
        {
            let mut counts = counts.lock().expect("lock");
            *counts.requests.entry(api).or_default() += 1;
            if seen.insert(api) {
                *counts.connections.entry(api).or_default() += 1;
            }
        }
        server.write_all(&frame)?;
    }
}
