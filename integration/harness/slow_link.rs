//! A slow network between a browser and a bridge.

use crate::proxy::Proxy;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Forwards connections to a port. All of them share one link, which delays and limits what the browser receives.
pub struct SlowLink {
    proxy: Proxy,
}

/// When the link has sent everything that it has accepted.
struct Link {
    bytes_per_second: u32,
    idle_at: Mutex<Instant>,
}

impl SlowLink {
    /// `delay` is added to each request, and to the beginning of each connection.
    pub fn start(upstream: u16, bytes_per_second: u32, delay: Duration) -> Self {
        let link = Arc::new(Link { bytes_per_second, idle_at: Mutex::new(Instant::now()) });
        let proxy = Proxy::start(0, move |client| {
            std::thread::sleep(delay);
            let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_server) = (client.try_clone().expect("socket"), server.try_clone().expect("socket"));
            std::thread::spawn(move || {
                copy(&from_client, &to_server, |_| std::thread::sleep(delay));
                let _ = to_server.shutdown(Shutdown::Both);
            });
            copy(&server, &client, |bytes| link.send(bytes));
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        });
        Self { proxy }
    }

    pub fn port(&self) -> u16 {
        self.proxy.port()
    }
}

impl Link {
    /// Waits until the link has sent these bytes, after everything that it accepted before.
    fn send(&self, bytes: usize) {
        let time = Duration::from_secs_f64(bytes as f64 / f64::from(self.bytes_per_second));
        let sent_at = {
            let mut idle_at = self.idle_at.lock().expect("lock");
            *idle_at = (*idle_at).max(Instant::now()) + time;
            *idle_at
        };
        std::thread::sleep(sent_at.saturating_duration_since(Instant::now()));
    }
}

/// Copies bytes until one side closes. Calls `wait` with the size of each piece before it is written.
fn copy(mut from: &TcpStream, mut to: &TcpStream, wait: impl Fn(usize)) {
    // Small pieces, so that connections share the link evenly.
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        wait(read);
        if to.write_all(&piece[..read]).is_err() {
            return;
        }
    }
}
