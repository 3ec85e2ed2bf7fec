//! Metrics of the hub.

use super::encoder::MetricsEncoder;
use crate::broker::{SchemaCounts, SchemaFailure};
use crate::hub::{Amount, GapReason, Hub, HubStatus, ProduceOutcome, RequestKind, TopicBacklog};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt::{self, Debug, Error};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Maximum number of topics with a label value. All others share a name that no topic can have.
const MAX_TOPICS: usize = 100;
const OTHER_TOPICS: &str = "(other)";

pub struct BridgeMetrics(pub Arc<Hub>);

impl Debug for BridgeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bridge")
    }
}

impl Collector for BridgeMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = MetricsEncoder(encoder);
        let status = self.0.status();
        self.produced(&mut page, &status)?;
        self.delivered(&mut page)?;
        streams(&mut page, &status)?;
        self.broker(&mut page)?;
        schemas(&mut page, self.0.broker().schema_counts())
    }
}

impl BridgeMetrics {
    fn produced(&self, page: &mut MetricsEncoder<'_>, status: &HubStatus) -> Result<(), Error> {
        let counts = self.0.counts();
        let all = |read: fn(&Amount) -> u64| {
            ProduceOutcome::ALL.into_iter().map(move |what| ([what.as_str()], read(counts.produced(what))))
        };
        let help = "Records that clients sent to be produced, by their outcome: acknowledged, sent (acks=0), \
                    unconfirmed (they may have been written), failed, refused (the queue was full)";
        page.counters(("curlew_produced_records", help), ["outcome"], all(Amount::records))?;
        let help = "Bytes of the keys, values and headers of curlew_produced_records";
        page.counters(("curlew_produced_bytes", help), ["outcome"], all(Amount::bytes))?;
        let help = "Time from the queueing of a request's records to the receipt of the last one";
        page.histogram("curlew_produce_latency_seconds", help, &counts.produce_latency)?;
        let help = "Bytes of records that wait for the broker or its receipt";
        page.gauge("curlew_queued_bytes", help, status.queued_bytes)?;
        page.gauge(
            "curlew_queued_bytes_max",
            "Limit of the bytes that may wait (--queue-bytes)",
            status.max_queued_bytes,
        )?;
        let help = "Requests whose records the writer thread has not dequeued yet";
        page.gauge("curlew_queued_requests", help, status.queued_requests)?;
        backlogs(page, &status.backlogs)
    }

    fn delivered(&self, page: &mut MetricsEncoder<'_>) -> Result<(), Error> {
        let counts = self.0.counts();
        let help = "Records delivered to streams, counted once for each stream";
        page.counter("curlew_delivered_records", help, counts.delivered.records())?;
        page.counter("curlew_delivered_bytes", "Bytes of the frames delivered to streams", counts.delivered.bytes())?;
        let help = "Records of curlew_delivered_records that a client did not read before it disconnected or fell behind; \
                    it receives them again when it resumes";
        page.counter("curlew_untaken_records", help, counts.untaken.records())?;
        page.counter("curlew_untaken_bytes", "Bytes of the frames of curlew_untaken_records", counts.untaken.bytes())?;
        let help = "Time from the timestamp of a batch's first record until all live streams have the batch; times of more \
                    than an hour are left out";
        page.histogram("curlew_delivery_latency_seconds", help, &counts.delivery_latency)?;
        let help = "Gaps reported to streams, by their reason";
        let gaps = GapReason::ALL.into_iter().map(|reason| ([reason.as_str()], counts.gaps(reason)));
        page.counters(("curlew_gaps", help), ["reason"], gaps)
    }

    fn broker(&self, page: &mut MetricsEncoder<'_>) -> Result<(), Error> {
        let counts = self.0.counts();
        let help = "Errors of brokers, by request (asked) and kind; each record that could not be produced counts";
        // Present from the start, so that `rate()` counts the first error.
        let mut errors = [RequestKind::Produce, RequestKind::Fetch, RequestKind::Metadata]
            .map(|request| (request, "unavailable", 0))
            .to_vec();
        for (request, kind, count) in counts.errors() {
            match errors.iter_mut().find(|(r, k, _)| (*r, *k) == (request, kind)) {
                Some((_, _, known)) => *known = count,
                None => errors.push((request, kind, count)),
            }
        }
        let errors = errors.into_iter().map(|(request, kind, count)| ([request.as_str(), kind], count));
        page.counters(("curlew_broker_errors", help), ["asked", "kind"], errors)?;
        let outages = counts.outages.load(Ordering::Relaxed);
        let help = "Unavailable brokers from which streams read";
        page.gauge("curlew_broker_outages", help, outages)?;
        let help = "Outages of brokers that have ended";
        page.counter("curlew_broker_recoveries", help, counts.recoveries.load(Ordering::Relaxed))?;
        let connections = self.0.broker().connections();
        page.counter("curlew_broker_connections", "Connections opened to brokers", connections.opened)?;
        let help = "Failed attempts to connect to a broker";
        page.counter("curlew_broker_connection_failures", help, connections.failed)?;
        let help = "Seconds that quotas of brokers made the bridge wait (throttle_time_ms)";
        page.counter("curlew_broker_throttle_seconds", help, connections.throttled.as_secs_f64())
    }
}

/// Encodes the counts of keys and values with a schema. Nothing without a schema registry.
fn schemas(page: &mut MetricsEncoder<'_>, counts: Option<SchemaCounts>) -> Result<(), Error> {
    let Some(counts) = counts else { return Ok(()) };
    let help = "Keys and values decoded by their schemas; counted again by each reader of the log that fetches them";
    page.counter("curlew_schema_decoded", help, counts.decoded)?;
    let help = "Keys and values that could not be decoded by their schemas, by reason";
    let failed = SchemaFailure::ALL.into_iter().map(|reason| ([reason.as_str()], counts.failed(reason)));
    page.counters(("curlew_schema_errors", help), ["reason"], failed)
}

/// Encodes the backlogs of topics with records that wait or cannot be written.
fn backlogs(page: &mut MetricsEncoder<'_>, backlogs: &[TopicBacklog]) -> Result<(), Error> {
    let (named, others) = backlogs.split_at(backlogs.len().min(MAX_TOPICS));
    let mut unwritable: Vec<_> = named.iter().map(|b| (b.topic.to_string(), b.unwritable as u64)).collect();
    let mut oldest: Vec<_> = named.iter().map(|b| (b.topic.to_string(), b.oldest.as_secs())).collect();
    if let Some(longest) = others.iter().map(|b| b.oldest.as_secs()).max() {
        unwritable.push((OTHER_TOPICS.to_owned(), others.iter().map(|b| b.unwritable as u64).sum()));
        oldest.push((OTHER_TOPICS.to_owned(), longest));
    }
    let help = "Partitions of a topic that have records but no acknowledgement for 5 s, or whose disk is full; topics \
                without waiting records are left out, and beyond 100 topics the rest is (other)";
    page.gauges(("curlew_unwritable_partitions", help), "topic", unwritable)?;
    let help = "Age of the oldest record of a topic that waits to be written, in whole seconds";
    page.gauges(("curlew_oldest_waiting_record_seconds", help), "topic", oldest)
}

fn streams(page: &mut MetricsEncoder<'_>, status: &HubStatus) -> Result<(), Error> {
    let help = "Open streams: live, catching up with the log, or stalled (the client has read nothing for a second)";
    let (catching_up, stalled) = (status.behind.catching_up, status.behind.stalled);
    // A stream may have ended between the two reads.
    let live = status.streams.saturating_sub(catching_up + stalled);
    let states = [("live", live), ("catching_up", catching_up), ("stalled", stalled)];
    page.gauges(("curlew_streams", help), "state", states.map(|(state, streams)| (state, streams as u64)))?;
    page.gauge("curlew_streams_max", "Limit of open streams (--max-streams)", status.max_streams)?;
    page.gauge("curlew_catch_up_queue", "Streams that wait for their turn to read the log", status.catch_up_queue)?;
    let help = "Bytes that slow streams hold beyond a small chunk each";
    page.gauge("curlew_held_bytes", help, status.held_bytes)?;
    let help = "Records that the slowest stream is behind the end of a partition: of the live streams, which are all at the \
                same offset, and of the other streams, as of their last read";
    let live = status.live_lag.iter().map(|(_, lag)| *lag).max().unwrap_or(0);
    page.gauges(("curlew_stream_lag_records", help), "flow", [("live", live), ("behind", status.behind.lag)])?;
    let help = "Records that the live streams of a topic are behind the end of a partition; beyond 100 topics, the rest is (other)";
    page.gauges(("curlew_topic_lag_records", help), "topic", by_topic(status))
}

fn by_topic(status: &HubStatus) -> Vec<(String, u64)> {
    let (named, others) = status.live_lag.split_at(status.live_lag.len().min(MAX_TOPICS));
    let mut lags: Vec<_> = named.iter().map(|(topic, lag)| (topic.to_string(), *lag)).collect();
    lags.extend(others.iter().map(|(_, lag)| *lag).max().map(|most| (OTHER_TOPICS.to_owned(), most)));
    lags
}
