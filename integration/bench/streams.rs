//! Event streams: what many on one topic deliver and cost, and what idle ones cost.

use crate::Size;
use crate::rivals::{RECORD, producer_performance};
use crate::table::line;
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use memchr::memmem;
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, LocalSet};

/// Streams from one source address; many more would run out of ports beside what else uses them.
const OF_AN_ADDRESS: usize = 1_000;

const END_OF_EVENT: &[u8] = b"\n\n";

pub fn measure(kafka: &Kafka, size: &Size) {
    on_this_thread(busy(kafka, size));
    on_this_thread(idle(kafka, size));
}

fn on_this_thread(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    LocalSet::new().block_on(&runtime, work);
}

async fn busy(kafka: &Kafka, size: &Size) {
    let topic = kafka.fresh("busy", 1);
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let process = bridge.process().id();
    // So many that the streams have work for a few seconds.
    let records = size.produced / 25;
    let seen = Rc::new(Cell::new(0));
    let streams = open(bridge.port, &topic, size.busy, &seen).await;
    let before = cpu(process);
    let started = Instant::now();
    let bootstrap = kafka.bootstrap();
    let producer = tokio::task::spawn_blocking(move || producer_performance(&bootstrap, &topic, records));
    let all = records * size.busy;
    let deadline = started + Duration::from_secs(60);
    let mut first = None;
    while seen.get() < all {
        assert!(Instant::now() < deadline, "{} of {all} events came in a minute", seen.get());
        if seen.get() > 0 {
            first.get_or_insert_with(Instant::now);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = first.unwrap_or(started).elapsed();
    let used = cpu(process) - before;
    // What is counted must be the records and nothing else.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(seen.get(), all, "events");
    println!("{} SSE streams of one topic, {records} records of {RECORD} bytes to each", size.busy);
    line("delivered", all as f64 / took.as_secs_f64(), "events/s in all");
    line("curlew's CPU", used, "seconds");
    line("curlew's resident memory", resident(process) / 1e6, "MB");
    producer.await.expect("producer");
    streams.iter().for_each(JoinHandle::abort);
}

async fn idle(kafka: &Kafka, size: &Size) {
    let topic = kafka.fresh("idle", 1);
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let process = bridge.process().id();
    let seen = Rc::new(Cell::new(0));
    // The first brings what all share.
    let first = open(bridge.port, &topic, 1, &seen).await;
    let before = resident(process);
    let streams = open(bridge.port, &topic, size.idle, &seen).await;
    let memory = resident(process) - before;
    let before = cpu(process);
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let busy = (cpu(process) - before) / started.elapsed().as_secs_f64();
    println!("{} SSE streams of a topic without records", size.idle);
    line("resident memory of a stream", memory / size.idle as f64 / 1e3, "kB");
    line("curlew's CPU", busy * 100.0, "% of a core");
    first.iter().chain(&streams).for_each(JoinHandle::abort);
}

/// Opens streams, which count into `seen`; returns when each has had its first frame, which is only an id.
async fn open(port: u16, topic: &str, many: usize, seen: &Rc<Cell<usize>>) -> Vec<JoinHandle<()>> {
    let mut streams = Vec::new();
    for i in 0..many {
        let mut stream = connect(port, 2 + i / OF_AN_ADDRESS).await;
        let request =
            format!("GET /topics/{topic}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("request");
        let head =
            tokio::time::timeout(Duration::from_secs(20), first_frame(&mut stream)).await.expect("a frame in time");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let seen = seen.clone();
        streams.push(tokio::task::spawn_local(count(stream, seen)));
    }
    streams
}

async fn connect(port: u16, source: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("socket");
    let source = Ipv4Addr::new(127, 0, 0, u8::try_from(source).expect("few addresses"));
    socket.bind((source, 0).into()).expect("bind");
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.expect("connect")
}

/// Reads until the first id has come: from there on the stream misses nothing.
async fn first_frame(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    loop {
        let read = stream.read_buf(&mut got).await.expect("read");
        assert!(read > 0, "cut off");
        let text = String::from_utf8_lossy(&got);
        if text.find("\nid:").is_some_and(|id| text[id..].contains("\n\n")) {
            return text.into_owned();
        }
    }
}

/// Counts the ends of events.
async fn count(mut stream: TcpStream, seen: Rc<Cell<usize>>) {
    let mut buffer = vec![0; 16 << 10];
    let mut cut = false;
    loop {
        let read = stream.read(&mut buffer).await.expect("read");
        assert!(read > 0, "cut off");
        let got = &buffer[..read];
        let in_two_parts = cut && got.starts_with(b"\n");
        seen.set(seen.get() + usize::from(in_two_parts) + memmem::find_iter(got, END_OF_EVENT).count());
        cut = got.ends_with(b"\n") && !got.ends_with(END_OF_EVENT);
    }
}

/// Seconds of CPU that the process has used.
fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("stat");
    // After the name in brackets; user and system time are the 14th and 15th of all, in hundredths.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}

/// Bytes of memory that the process holds.
fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.split_whitespace().next().expect("kB").parse::<f64>().expect("number") * 1024.0
}
