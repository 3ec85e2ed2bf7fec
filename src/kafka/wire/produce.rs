//! Writing; not in this build.

use super::cluster::Cluster;
use super::settings::Settings;
use crate::broker::{BrokerError, Submission};
use crossbeam_channel::Receiver;

/// Settles every submission as refused.
pub fn write_all(_cluster: &Cluster, _settings: &Settings, submissions: &Receiver<Submission>) {
    for submission in submissions {
        for index in 0..submission.records.len() {
            let refusal = BrokerError::Unsupported("this build does not write".to_owned());
            submission.receipts.settle(index, Err(refusal));
        }
    }
}
