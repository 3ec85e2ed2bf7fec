//! Writing; not in this build.

use super::cluster::Cluster;
use crate::broker::{BrokerError, Submission};
use crossbeam_channel::Receiver;
use std::sync::Arc;

/// Settles every submission as refused.
pub fn write_all(_cluster: &Arc<Cluster>, submissions: &Receiver<Submission>) {
    for submission in submissions {
        for index in 0..submission.records.len() {
            let refusal = BrokerError::Unsupported("this build does not write".to_owned());
            submission.receipts.settle(index, Err(refusal));
        }
    }
}
