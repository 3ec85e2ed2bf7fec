//! Reads complete responses, as fast as they arrive.

use crate::record::MARK;
use curlew_integration::http;
use memchr::memchr_iter;
use std::io::Read;
use std::time::Instant;

const BUFFER: usize = 256 << 10;

/// A response that has been read to its end.
pub struct ReadResponse {
    pub seconds: f64,
    pub bytes: u64,
    /// Number of bytes that are [`MARK`]: of records, each of which contains one.
    pub records: u64,
}

/// Requests an event stream that ends, and discards its frames.
pub fn read_stream(port: u16, target: &str) -> ReadResponse {
    let started = Instant::now();
    let mut stream = http::connect(port);
    http::write_head(&mut stream, "GET", target, &[("Accept", "text/event-stream")]).expect("request");
    let (mut buffer, mut bytes, mut records) = (vec![0; BUFFER], 0, 0);
    loop {
        let read = stream.read(&mut buffer).expect("the stream");
        if read == 0 {
            break;
        }
        assert!(bytes > 0 || buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
        bytes += read as u64;
        records += memchr_iter(MARK, &buffer[..read]).count() as u64;
    }
    ReadResponse { seconds: started.elapsed().as_secs_f64(), bytes, records }
}
