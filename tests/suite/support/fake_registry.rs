//! A schema registry of a few lines, which answers as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A request: `GET /schemas/ids/1`, its `Authorization`, and its body.
#[derive(Debug, Clone, Default)]
pub struct RegistryRequest {
    pub line: String,
    pub authorization: Option<String>,
    pub body: String,
}

/// A response: status, additional header lines, body.
#[derive(Debug, Clone)]
pub struct RegistryReply(pub u16, pub String, pub Vec<u8>);

impl RegistryReply {
    pub fn json(status: u16, body: impl ToString) -> Self {
        Self(status, String::new(), body.to_string().into_bytes())
    }

    /// The answer to an unknown id.
    pub fn not_found() -> Self {
        Self::json(404, r#"{"error_code":40403,"message":"Schema not found"}"#)
    }
}

/// Dropping it closes the port.
pub struct FakeRegistry {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<RegistryRequest>>>,
    ended: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl FakeRegistry {
    pub fn start(answer: impl Fn(&RegistryRequest) -> RegistryReply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer)
    }

    pub fn start_at(
        address: SocketAddr,
        answer: impl Fn(&RegistryRequest) -> RegistryReply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (answer, seen, is_over) = (Arc::new(answer), requests.clone(), ended.clone());
        let accepting = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, seen) = (answer.clone(), seen.clone());
                std::thread::spawn(move || drop(serve(stream, &*answer, &seen)));
            }
        });
        Self { address, requests, ended, accepting: Some(accepting) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<RegistryRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns how many requests had this line.
    pub fn count(&self, line: &str) -> usize {
        self.requests().iter().filter(|request| request.line == line).count()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

/// Answers one request and closes the connection.
fn serve(
    stream: TcpStream,
    answer: &dyn Fn(&RegistryRequest) -> RegistryReply,
    seen: &Mutex<Vec<RegistryRequest>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = RegistryRequest::default();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        match line.split_once(": ") {
            _ if line.is_empty() => break,
            None => request.line = line.trim_end_matches(" HTTP/1.1").to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                request.authorization = Some(value.to_owned());
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or_default();
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    seen.lock().unwrap().push(request.clone());
    let RegistryReply(status, headers, body) = answer(&request);
    let mut stream = reader.into_inner();
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len())?;
    stream.write_all(&body)
}
