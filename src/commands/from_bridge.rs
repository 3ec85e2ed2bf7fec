//! `consume` through a running bridge: Server-Sent Events, resumed by cursor.

use super::bridge_client::{self, BridgeClient, BridgeProblem, BridgeTarget, ClientError};
use super::envelope::{self, RecordLine};
use super::error::CommandError;
use super::output::{write_envelope, write_record};
use super::sse::{Parser, ReceivedEvent};
use super::{ClosedOutput, PrintOutcome, print_outcome, report, runtime, until_signal};
use crate::config::{Consume, OnGap, OutputFormat};
use crate::cursor::Cursor;
use crate::hub::{Missing, Until};
use crate::os::terminal_escapes::Destination;
use crate::record::{Records, TopicName};
use crate::start_position::StartPosition;
use crate::sync::backoff::Backoff;
use form_urlencoded::Serializer;
use http_body_util::BodyExt;
use std::io::Write;
use std::time::Duration;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::oneshot;

/// A stream without data and heartbeats for this long is considered dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

pub fn consume(settings: Consume, bridge: BridgeTarget) -> Result<(), CommandError> {
    let (stop, mut stopped) = oneshot::channel::<()>();
    let work = move || {
        runtime()?.block_on(async {
            let mut stream =
                BridgeStream { settings, bridge, cursor: None, printed: 0, to: Destination::of(&std::io::stdout()) };
            tokio::select! {
                result = stream.run() => result,
                _ = &mut stopped => Ok(()),
            }
        })
    };
    let stop = move || {
        drop(stop);
        None
    };
    until_signal(work, stop, ClosedOutput::Ends)
}

struct BridgeStream {
    settings: Consume,
    bridge: BridgeTarget,
    /// The cursor of the last complete event.
    cursor: Option<String>,
    /// Records printed so far.
    printed: u64,
    to: Destination,
}

/// How one connection ended.
enum StreamEnd {
    /// All requested records were printed, or standard output is closed.
    Complete,
    /// The stream can be resumed after a pause.
    Cut(StreamCut),
}

/// The reason for a reconnect.
#[derive(Debug, Error)]
enum StreamCut {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Problem(#[from] BridgeProblem),
    #[error("no heartbeat from the bridge")]
    NoHeartbeat,
    #[error("the connection was cut: {0}")]
    Connection(#[source] hyper::Error),
    #[error("the bridge ended the stream")]
    End,
}

impl BridgeStream {
    async fn run(&mut self) -> Result<(), CommandError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let head = std::io::stdout().lock().write_all(&self.settings.output.head());
        if print_outcome(head)? == PrintOutcome::PipeClosed {
            return Ok(());
        }
        loop {
            let before = self.cursor.clone();
            let cut = match self.stream().await? {
                StreamEnd::Complete => return Ok(()),
                StreamEnd::Cut(cut) => cut,
            };
            if self.cursor != before {
                backoff.reset();
            }
            if self.cursor.is_none() && self.printed > 0 {
                report("the connection was cut inside the snapshot, which is printed again");
            }
            let pause = backoff.pause(fastrand::f64());
            log::info!("{cut}; reconnecting in {} ms", pause.as_millis());
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads the stream over one connection until that ends.
    async fn stream(&mut self) -> Result<StreamEnd, CommandError> {
        let mut client = match BridgeClient::connect(&self.bridge).await {
            Ok(client) => client,
            // Before the first event, the address is probably wrong.
            Err(error) if self.cursor.is_none() => return Err(error.into()),
            Err(error) => return Ok(StreamEnd::Cut(error.into())),
        };
        let mut headers = vec![("accept", "text/event-stream")];
        if let Some(cursor) = &self.cursor {
            headers.push(("last-event-id", cursor));
        }
        let response = match client.get(&self.path(), &headers).await {
            Ok(response) => response,
            Err(error) => return Ok(StreamEnd::Cut(error.into())),
        };
        let status = response.status();
        if !status.is_success() {
            let body = bridge_client::body(response).await.unwrap_or_default();
            let problem = BridgeProblem::from_response(status, &body);
            let is_temporary = matches!(status.as_u16(), 429 | 502 | 503 | 504);
            return if is_temporary { Ok(StreamEnd::Cut(problem.into())) } else { Err(problem.into()) };
        }
        self.events(response.into_body()).await
    }

    async fn events(&mut self, mut body: hyper::body::Incoming) -> Result<StreamEnd, CommandError> {
        let mut parser = Parser::default();
        let mut lines = Vec::new();
        loop {
            let bytes = match tokio::time::timeout(IDLE_TIMEOUT, body.frame()).await {
                Err(_) => return Ok(StreamEnd::Cut(StreamCut::NoHeartbeat)),
                Ok(Some(Err(e))) => return Ok(StreamEnd::Cut(StreamCut::Connection(e))),
                Ok(None) if self.is_complete() => return Ok(StreamEnd::Complete),
                Ok(None) => return Ok(StreamEnd::Cut(StreamCut::End)),
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            };
            if !parser.push(&bytes) {
                return Err(CommandError::LongLine);
            }
            let mut end = None;
            while let Some(event) = parser.next() {
                end = self.handle(event, &mut lines)?;
                if end.is_some() {
                    break;
                }
            }
            let mut out = std::io::stdout().lock();
            if print_outcome(out.write_all(&lines).and_then(|()| out.flush()))? == PrintOutcome::PipeClosed {
                return Ok(StreamEnd::Complete);
            }
            lines.clear();
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Whether the last event was the last of the stream. The end of the body does not prove this: through a proxy that
    /// uses HTTP/1.0, a connection that was cut ends like a complete one.
    fn is_complete(&self) -> bool {
        self.cursor.as_deref().is_some_and(Cursor::is_complete)
    }

    /// Appends one event to `lines`. Returns `Some` if it ends the connection.
    fn handle(&mut self, event: ReceivedEvent, lines: &mut Vec<u8>) -> Result<Option<StreamEnd>, CommandError> {
        let data = event.data.as_deref().unwrap_or_default();
        if let Some(topic) = event.comment.as_deref().and_then(|comment| comment.strip_prefix("waiting for topic ")) {
            report(format_args!("topic {topic} does not exist yet; waiting for it"));
        }
        match event.kind.as_str() {
            "problem" => {
                let problem = BridgeProblem::from_event(data);
                let is_temporary = problem.status.is_none_or(|status| matches!(status.as_u16(), 429 | 500..));
                return if is_temporary { Ok(Some(StreamEnd::Cut(problem.into()))) } else { Err(problem.into()) };
            }
            // Nothing is printed for a record that could not be decoded.
            kind @ ("gap" | "schema_error") => {
                let text = format!("{kind}: {}", String::from_utf8_lossy(data));
                match self.settings.on_gap {
                    OnGap::Continue => report(text),
                    OnGap::Fail => return Err(CommandError::Gap(text)),
                }
            }
            // The end of a snapshot, or of the stream: the bridge closes the connection.
            "live" | "end" => {}
            _ if event.data.is_none() => {}
            kind => {
                self.print(kind, data, lines)?;
                self.printed += 1;
            }
        }
        // After the event was handled, so that a resumed stream does not skip it.
        if event.id.is_some() {
            self.cursor = event.id;
        }
        Ok(self.settings.limit.filter(|limit| self.printed >= limit.get()).map(|_| StreamEnd::Complete))
    }

    fn print(&self, kind: &str, data: &[u8], lines: &mut Vec<u8>) -> Result<(), CommandError> {
        let output = &self.settings.output;
        if matches!(output, OutputFormat::Json | OutputFormat::Exact | OutputFormat::Fields(_)) {
            write_envelope(lines, self.to, data);
            return Ok(());
        }
        let print = |lines: &mut Vec<u8>, topic: &TopicName, partition, records: &Records| {
            records.iter().for_each(|record| write_record(output, lines, self.to, (topic, partition), &record));
        };
        if output.is_value_only() {
            let value = match kind {
                "tombstone" => None,
                "binary" => Some(envelope::base64("value", data)?),
                _ => Some(data.to_vec()),
            };
            let part = value.as_ref().map(|v| 0..v.len());
            let mut records = Records::over(value.unwrap_or_default().into());
            records.push(0, -1, None, part);
            // The format does not print the topic.
            self.settings.topics.0.iter().take(1).for_each(|topic| print(lines, topic, 0, &records));
        } else {
            let envelope = RecordLine::read(data)?;
            let records = match output {
                OutputFormat::Csv(_) => envelope.json_records()?,
                _ => envelope.records()?,
            };
            print(lines, &envelope.topic()?, envelope.partition()?, &records);
        }
        Ok(())
    }

    fn path(&self) -> String {
        let Consume { topics, partitions, key, condition, sample, limit, output, from, .. } = &self.settings;
        let mut query = Serializer::new(String::from("/events?"));
        topics.0.iter().for_each(|topic| {
            query.append_pair("topic", topic.as_str());
        });
        partitions.iter().for_each(|partition| {
            query.append_pair("partition", &partition.to_string());
        });
        query.append_pair("from", &from_parameter(from));
        if self.settings.missing() == Missing::Wait {
            query.append_pair("wait", "true");
        }
        let format = match output {
            // The cells are fields of the JSON, which schemas may have decoded.
            OutputFormat::Json | OutputFormat::Fields(_) | OutputFormat::Csv(_) => "record",
            _ if output.is_value_only() => "value",
            OutputFormat::Exact | OutputFormat::Format(_) => "exact",
        };
        if let OutputFormat::Fields(fields) = output {
            query.append_pair("select", &fields.to_string());
        }
        if let Some(interval) = sample {
            query.append_pair("sample", &format!("{}ms", interval.as_millis()));
        }
        query.append_pair("format", format);
        if let Some(key) = key {
            query.append_pair("key", key);
        }
        if let Some(condition) = condition {
            query.append_pair("where", &condition.to_string());
        }
        match self.settings.until() {
            Until::Forever => {}
            Until::End => drop(query.append_pair("until", "end")),
            Until::Time(time) => drop(query.append_pair("until", &from_parameter(&StartPosition::Time(time)))),
        }
        if let Some(limit) = limit {
            query.append_pair("limit", &(limit.get() - self.printed).to_string());
        }
        query.finish()
    }
}

/// Returns the value of the query parameter `from`.
fn from_parameter(from: &StartPosition) -> String {
    match from {
        StartPosition::Latest => "latest".to_owned(),
        StartPosition::Earliest => "earliest".to_owned(),
        StartPosition::Snapshot => "snapshot".to_owned(),
        StartPosition::Last(count) => format!("-{count}"),
        StartPosition::Cursor(text) => text.clone(),
        StartPosition::Offsets(offsets) => {
            let offsets: Vec<_> = offsets.iter().map(|(topic, p, offset)| format!("{topic}:{p}:{offset}")).collect();
            offsets.join(",")
        }
        // An age such as -15m was resolved at startup, so that reconnects use the same time.
        StartPosition::Time(ms) => OffsetDateTime::from_unix_timestamp_nanos(i128::from(*ms) * 1_000_000)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok())
            .unwrap_or_else(|| "earliest".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{ClientTarget, Command, read_line};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn only_a_complete_id_ends_a_stream_that_has_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for id in ["1", "1~"] {
                let (mut client, _) = listener.accept().await.unwrap();
                client.read_u8().await.unwrap();
                // Without a length, the end of the connection is the end of the body.
                let response = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nid: {id}\n\n");
                client.write_all(response.as_bytes()).await.unwrap();
                client.shutdown().await.unwrap();
                let _ = client.read_to_end(&mut Vec::new()).await;
            }
        });
        let Ok(Command::Consume(settings)) = read_line(&format!("curlew consume t --url {url} --until-end")) else {
            panic!("not a consume command")
        };
        let ClientTarget::Bridge(bridge) = settings.target.selected() else { panic!("not a bridge") };
        let bridge = BridgeTarget::new(bridge).unwrap();
        let mut stream =
            BridgeStream { settings, bridge, cursor: None, printed: 0, to: Destination::of(&std::io::stdout()) };
        assert!(matches!(stream.stream().await, Ok(StreamEnd::Cut(StreamCut::End))), "{:?}", stream.cursor);
        assert!(matches!(stream.stream().await, Ok(StreamEnd::Complete)), "{:?}", stream.cursor);
    }
}
