//! `curlew consume`: prints records of topics as they arrive, one per line.

use super::bridge_client::BridgeTarget;
use super::error::CommandError;
use super::output::write_record;
use super::{ClosedOutput, PrintOutcome, exit, from_bridge, print_outcome, report, until_signal};
use crate::broker::{BrokerError, Remedy};
use crate::config::{ClientTarget, Consume, OnGap, OutputFormat};
use crate::cursor::Selection;
use crate::hub::{self, Filter, Format, Gap, Hub, Mailbox, Subscription};
use crate::kafka::{self, Driver};
use crate::os::terminal_escapes::Destination;
use crate::record::{Partition, RecordRef, TopicName};
use crate::sync::lock;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

/// Returns exit code 0 at the end of the stream, after a signal, and when standard output is closed; 1 after a failure. With
/// [`OnGap::Fail`] a gap is a failure.
pub fn consume(settings: Consume) -> ExitCode {
    exit(match settings.target.selected() {
        ClientTarget::Kafka(kafka) => {
            let (broker, driver) = (kafka::connect(kafka), kafka.driver);
            // A single stream, tuned for throughput.
            let fast = hub::Settings {
                catch_up_bytes: 4 << 20,
                catch_up_chunk: 4 << 20,
                catch_up_ahead: 3,
                catch_up_held: 64 << 20,
                catch_up_threads: 1,
                read_cache_bytes: 8 << 20,
                ..hub::Settings::default()
            };
            Hub::start(broker, fast)
                .map_err(CommandError::Thread)
                .and_then(|hub| from_kafka(settings, Arc::new(hub), driver))
        }
        ClientTarget::Bridge(bridge) => BridgeTarget::new(bridge)
            .map_err(CommandError::from)
            .and_then(|bridge| from_bridge::consume(settings, bridge)),
    })
}

fn from_kafka(settings: Consume, hub: Arc<Hub>, driver: Driver) -> Result<(), CommandError> {
    let (missing, until) = (settings.missing(), settings.until());
    let selection = Selection::of(settings.partitions);
    let start = settings.from.resolve(&settings.topics.0, &selection)?;
    let lines = Arc::new(RecordPrinter {
        output: settings.output,
        on_gap: settings.on_gap,
        failure: Mutex::default(),
        to: Destination::of(&std::io::stdout()),
    });
    let subscription = Subscription {
        topics: settings.topics.0,
        selection,
        start,
        filter: Filter {
            key: settings.key.map(String::into_bytes),
            headers: Vec::new(),
            condition: settings.condition,
            sample: settings.sample,
        },
        missing,
        until,
        limit: settings.limit,
        format: lines.clone(),
    };
    let mailbox = hub.subscribe(subscription).map_err(CommandError::Subscribe)?;
    let broker = hub.broker().clone();
    let work = move || {
        // The `wire` driver logs outages itself.
        if driver == Driver::Crate
            && let Err(error) = broker.ready()
            && error.remedy() == Remedy::Retry
        {
            report(format_args!("{error}; retrying"));
        }
        print(mailbox, &lines)
    };
    let stop = move || {
        hub.shut_down();
        None
    };
    until_signal(work, stop, ClosedOutput::Ends)
}

fn print(mut mailbox: Mailbox, lines: &RecordPrinter) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    if print_outcome(out.write_all(&lines.output.head()))? == PrintOutcome::PipeClosed {
        return Ok(());
    }
    // A chunk holds everything that has arrived since the last one, so it is flushed at once.
    while let Some(chunk) = mailbox.wait_next() {
        if print_outcome(out.write_all(&chunk).and_then(|()| out.flush()))? == PrintOutcome::PipeClosed {
            return Ok(());
        }
    }
    lock(&lines.failure).take().map_or(Ok(()), Err)
}

/// Prints records in an [`OutputFormat`], and reports everything else on standard error.
struct RecordPrinter {
    output: OutputFormat,
    to: Destination,
    on_gap: OnGap,
    /// The first failure. Later ones are dropped.
    failure: Mutex<Option<CommandError>>,
}

impl RecordPrinter {
    fn fail(&self, error: CommandError) {
        lock(&self.failure).get_or_insert(error);
    }
}

impl Format for RecordPrinter {
    fn name(&self) -> &str {
        // Formats share chunks by name; this process has one stream.
        "lines"
    }

    fn uses_ids(&self) -> bool {
        false
    }

    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, _id: &str) {
        write_record(&self.output, out, self.to, (topic, partition), record);
    }

    fn checkpoint(&self, _out: &mut Vec<u8>, _id: &str) {}

    fn gap(&self, _out: &mut Vec<u8>, gap: &Gap, _id: &str) {
        let Gap { topic, partition, from, to, reason } = gap;
        let gap = format!("gap in {topic}/{partition}: offsets {from} to {to} are not available ({})", reason.as_str());
        match self.on_gap {
            OnGap::Continue => report(gap),
            OnGap::Fail => self.fail(CommandError::Gap(gap)),
        }
    }

    fn problem(&self, _out: &mut Vec<u8>, error: &BrokerError) {
        // A signal shuts the hub down, which is not a failure.
        if *error != BrokerError::ShuttingDown {
            self.fail(error.clone().into());
        }
    }

    fn waiting(&self, _out: &mut Vec<u8>, topic: &TopicName) {
        report(format_args!("topic {topic} does not exist yet; waiting for it"));
    }
}
