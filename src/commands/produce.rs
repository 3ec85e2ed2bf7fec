//! `curlew produce`: sends each line of standard input as a record.

use super::bridge_client::BridgeTarget;
use super::error::CommandError;
use super::lines::{InputError, InputLines};
use super::progress::{ProduceError, ProduceProgress, combine};
use super::{ClosedOutput, exit, to_bridge, until_signal};
use crate::broker::{AutoCreate, DeliveryResult};
use crate::config::{ClientTarget, Produce};
use crate::http::problem::with_flag;
use crate::hub::{self, Hub, Rejected};
use crate::kafka;
use crossbeam_channel::bounded;
use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::Arc;

/// Maximum of in-flight batches. Beyond it, no input is read until one completes.
const OUTSTANDING: usize = 32;

/// Returns exit code 0 if every record was acknowledged, and 1 otherwise.
pub fn produce(settings: Produce) -> ExitCode {
    let progress = Arc::new(ProduceProgress::default());
    exit(match settings.target.selected() {
        ClientTarget::Kafka(kafka) => Hub::start(kafka::connect(kafka), hub::Settings::default())
            .map_err(CommandError::Thread)
            .and_then(|hub| to_kafka(settings, Arc::new(hub), progress)),
        ClientTarget::Bridge(bridge) => BridgeTarget::new(bridge).map_err(CommandError::from).and_then(|bridge| {
            let at_signal = progress.clone();
            let work = move || to_bridge::produce(&settings, &bridge, &progress);
            until_signal(work, move || Some(summary(&at_signal)), ClosedOutput::Ignored)
        }),
    })
}

fn summary(progress: &ProduceProgress) -> Result<(), CommandError> {
    Ok(progress.summary().map_err(ProduceError::from)?)
}

fn to_kafka(settings: Produce, hub: Arc<Hub>, progress: Arc<ProduceProgress>) -> Result<(), CommandError> {
    let (hub_at_signal, at_signal) = (hub.clone(), progress.clone());
    let work = move || Ok(send_all(&settings, &hub, io::stdin().lock(), &progress)?);
    // Standard input may never end. The hub writes the records that have been read before it shuts down.
    let stop = move || {
        hub_at_signal.shut_down();
        Some(summary(&at_signal))
    };
    until_signal(work, stop, ClosedOutput::Ignored)
}

/// Sends the records of `input`, and waits for the outcomes of all batches.
fn send_all(
    settings: &Produce,
    hub: &Hub,
    input: impl Read,
    progress: &Arc<ProduceProgress>,
) -> Result<(), ProduceError> {
    // The channel holds a receipt for every in-flight batch, so sending one never fails.
    let (completed, receipts) = bounded(OUTSTANDING);
    let mut outstanding = 0;
    let mut lines = InputLines::new(input);
    let read = 'input: loop {
        let batch = match lines.next_batch(settings) {
            Ok(Some(batch)) => batch,
            ended => break ended.map(drop),
        };
        while outstanding == OUTSTANDING || !receipts.is_empty() {
            let _ = receipts.recv();
            outstanding -= 1;
        }
        progress.sent(batch.len());
        let first = progress.assign_numbers(batch.len());
        loop {
            let (completed, counters) = (completed.clone(), progress.clone());
            let done = move |outcomes: Vec<DeliveryResult>| {
                let outcomes = outcomes.into_iter().map(|outcome| outcome.map_err(|error| with_flag(&error)));
                counters.completed(first, outcomes.collect());
                let _ = completed.try_send(());
            };
            match hub.produce(settings.topic.0.clone(), settings.acks, AutoCreate::Ask, batch.clone(), done) {
                Ok(()) => break,
                Err(Rejected::QueueFull) if outstanding > 0 => {
                    let _ = receipts.recv();
                    outstanding -= 1;
                }
                Err(reason) => break 'input Err(InputError::NotSent { first, reason }),
            }
        }
        outstanding += 1;
    };
    for _ in 0..outstanding {
        let _ = receipts.recv();
    }
    combine(progress.summary(), read)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Command, read_line};
    use crate::embedded::testing::TempDir;
    use crate::embedded::{Embedded, EmbeddedSettings};
    use std::time::Duration;

    /// Returns two lines for each read. Shuts the hub down at the second.
    struct ShutDownAtSecondRead<'a>(&'a Hub, u32);

    impl Read for ShutDownAtSecondRead<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1 == 2 {
                self.0.shut_down();
            }
            (&b"a\nb\n"[..]).read(buffer)
        }
    }

    #[test]
    fn a_rejected_batch_does_not_hide_the_outcomes_of_earlier_ones() {
        let dir = TempDir::new();
        let broker = Embedded::open(EmbeddedSettings {
            folder: dir.path().join("data"),
            partitions: 1,
            retention_time: Duration::MAX,
            retention_bytes: u64::MAX,
        });
        let hub = Hub::start(Arc::new(broker.unwrap()), hub::Settings::default()).unwrap();
        let Ok(Command::Produce(settings)) = read_line("curlew produce t") else { panic!("not a produce command") };
        let error = send_all(&settings, &hub, ShutDownAtSecondRead(&hub, 0), &Arc::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 of 4 records were not acknowledged; record 3 and all that follow were not sent: curlew is shutting down"
        );
    }
}
