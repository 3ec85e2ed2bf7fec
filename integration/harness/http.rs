//! A minimal HTTP/1.1 client that exposes the wire format.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The head of a response, and a reader of its body, which decodes chunks.
pub struct OpenResponse {
    pub status: u16,
    /// Names are in lower case.
    pub headers: Vec<(String, String)>,
    body: Body,
}

struct Body {
    stream: BufReader<TcpStream>,
    left: Remaining,
    /// The part of a chunk's size line read so far: a read may time out in the middle of it.
    size_line: Vec<u8>,
}

enum Remaining {
    UntilClose,
    Bytes(usize),
    /// The rest of the current chunk.
    Chunk(usize),
    End,
}

/// A complete response.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Panics with the response unless it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// Sends a request with `Connection: close` and reads the complete response.
pub fn request(port: u16, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    if !body.is_empty() || method == "POST" {
        headers.push(("Content-Length", &length));
    }
    let mut stream = connect(port);
    // A server may reject a request and close the connection before it has read the whole body.
    let sent = write_head(&mut stream, method, target, &headers).and_then(|()| stream.write_all(body));
    match read_head(stream).and_then(OpenResponse::finish) {
        Ok(response) => response,
        Err(e) => panic!("{method} {target}: no response: {e}; sending: {sent:?}"),
    }
}

pub fn get(port: u16, target: &str) -> Response {
    request(port, "GET", target, &[], b"")
}

pub fn post(port: u16, target: &str, content_type: &str, body: impl AsRef<[u8]>) -> Response {
    request(port, "POST", target, &[("Content-Type", content_type)], body.as_ref())
}

/// Opens a connection whose reads time out after 60 s.
pub fn connect(port: u16) -> TcpStream {
    try_connect(port).unwrap_or_else(|e| panic!("cannot connect to port {port}: {e}"))
}

pub fn try_connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Writes a request head, with `Connection: close` and a default `Host`.
pub fn write_head(stream: &mut TcpStream, method: &str, target: &str, headers: &[(&str, &str)]) -> std::io::Result<()> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: {}\r\n", stream.peer_addr()?);
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes())
}

/// Reads a request head, for small test servers. Returns false if the connection is closed without a request, as
/// browsers close connections that they opened in advance.
pub fn skip_head(stream: &TcpStream) -> bool {
    let mut lines = BufReader::new(stream).lines();
    lines.by_ref().map_while(Result::ok).any(|line| line.is_empty())
}

/// Reads the response head.
pub fn read_head(stream: TcpStream) -> std::io::Result<OpenResponse> {
    let broken = |what: &str| std::io::Error::other(what.to_owned());
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("closed before the end of the head"));
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let status = lines.first().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok());
    let headers: Vec<(String, String)> = lines
        .iter()
        .skip(1)
        .filter_map(|l| l.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let left = match (find(&headers, "transfer-encoding"), find(&headers, "content-length")) {
        (Some("chunked"), _) => Remaining::Chunk(0),
        (_, Some(length)) => Remaining::Bytes(length.parse().map_err(|_| broken("bad Content-Length"))?),
        _ => Remaining::UntilClose,
    };
    Ok(OpenResponse {
        status: status.ok_or_else(|| broken("bad status line"))?,
        headers,
        body: Body { stream, left, size_line: Vec::new() },
    })
}

impl OpenResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub fn finish(mut self) -> std::io::Result<Response> {
        let mut body = Vec::new();
        self.body.read_to_end(&mut body)?;
        Ok(Response { status: self.status, headers: self.headers, body })
    }

    /// Returns a reader of the body, which can be read while it arrives.
    pub fn into_body(self) -> impl BufRead {
        BufReader::new(self.body)
    }

    pub fn socket(&self) -> &TcpStream {
        self.body.stream.get_ref()
    }
}

impl Read for OpenResponse {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.body.read(buffer)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Remaining::Chunk(0) = self.left {
            self.left = self.next_chunk()?;
        }
        let limit = match self.left {
            Remaining::UntilClose => buffer.len(),
            Remaining::Bytes(left) | Remaining::Chunk(left) => buffer.len().min(left),
            Remaining::End => 0,
        };
        let got = self.stream.read(&mut buffer[..limit])?;
        if limit > 0 && got == 0 && !matches!(self.left, Remaining::UntilClose) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match &mut self.left {
            Remaining::Chunk(left) | Remaining::Bytes(left) => *left -= got,
            Remaining::UntilClose | Remaining::End => {}
        }
        Ok(got)
    }
}

impl Body {
    fn next_chunk(&mut self) -> std::io::Result<Remaining> {
        loop {
            self.stream.read_until(b'\n', &mut self.size_line)?;
            if !self.size_line.ends_with(b"\n") {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = std::mem::take(&mut self.size_line);
            match String::from_utf8_lossy(&line).trim() {
                // The line end of the previous chunk.
                "" => {}
                "0" => return Ok(Remaining::End),
                size => {
                    let bad = |_| std::io::Error::other(format!("bad chunk size {size:?}"));
                    return usize::from_str_radix(size, 16).map(Remaining::Chunk).map_err(bad);
                }
            }
        }
    }
}
