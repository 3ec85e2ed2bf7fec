//! Writes the gaps of a stream.

use super::{Encoder, Replayable};
use crate::cursor::IdTag;
use crate::hub::stream::gap::Loss;
use crate::hub::subscription::{Gap, GapReason};
use crate::record::Partition;

impl Encoder {
    /// Writes a gap, and moves the cursor to the position where the log continues. Returns the number of gaps that were
    /// written: none if the held records before the gap have reached the limit of the stream.
    pub fn gap(&mut self, out: &mut Vec<u8>, topic: usize, partition: Partition, loss: Loss) -> usize {
        self.write_before_gap(out, (topic, partition));
        if self.bounds.remaining == Some(0) {
            return 0;
        }
        let Some(from) = self.cursor.next(topic, partition) else { return 0 };
        let name = self.cursor.topics()[topic].name.clone();
        let Loss { to, reason, end: log_end } = loss;
        self.cursor.set(topic, partition, to);
        let to = to.next;
        if to < from
            && let Some(end) = self.bounds.ends.as_mut().and_then(|ends| ends.get_mut(&(topic, partition)))
        {
            // The stream does not wait for records that the log has lost.
            *end = (*end).min(log_end);
        }
        if let Some(until) = &mut self.bounds.until {
            // Drop an end that is not before `to`: the record there is lost too, or is read again.
            until.reached.retain(|place, end| *place != (topic, partition) || *end < to);
        }
        self.bounds.unconfirmed.remove(&(topic, partition));
        self.passed = 0;
        self.replayable = Replayable::No;
        self.format.gap(out, &Gap { topic: name, partition, from, to, reason }, self.resume_at().text());
        1
    }

    /// Writes a gap for each partition of a topic that was recreated, and moves the cursor to the beginning of the new topic.
    /// The cursor changes before the first frame is written, so that no id mixes both topics. Returns 1, which counts as one
    /// gap for all partitions. Returns 0 if no gap was written, because the stream had no partition of the topic, or because
    /// the held records have reached its limit.
    pub fn recreated(&mut self, out: &mut Vec<u8>, topic: usize, id: IdTag, partitions: usize) -> usize {
        let lost: Vec<_> = self.cursor.offsets(topic).collect();
        lost.iter().for_each(|(partition, _)| self.write_before_gap(out, (topic, *partition)));
        if self.bounds.remaining == Some(0) {
            return 0;
        }
        self.cursor.set_id(topic, id);
        self.cursor.clear(topic);
        self.grow(topic, partitions);
        if let Some(ends) = &mut self.bounds.ends {
            // They are offsets of the old topic.
            ends.retain(|(of, _), _| *of != topic);
        }
        if let Some(until) = &mut self.bounds.until {
            until.reached.retain(|(of, _), _| *of != topic);
        }
        self.bounds.unconfirmed.retain(|(of, _)| *of != topic);
        self.replayable = Replayable::No;
        let name = self.cursor.topics()[topic].name.clone();
        let mut cursor = self.resume_at();
        let gaps = usize::from(!lost.is_empty());
        for (partition, from) in lost {
            let gap = Gap { topic: name.clone(), partition, from, to: 0, reason: GapReason::Recreated };
            self.format.gap(out, &gap, cursor.text());
        }
        gaps
    }
}
