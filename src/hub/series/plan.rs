//! Plans the order in which a computation reads the log, the newest part first, and tracks which parts are complete.
//!
//! The log is cut into slices by time, from the newest to the oldest. The lookup of a time returns, for each partition,
//! the offset of the first record with that time or a later one, so all records before that offset are older. Once
//! everything from these offsets on has been read, the computation is complete from that time on, even if records are
//! out of order.

use crate::record::{Offset, Partition, Timestamp};
use std::collections::VecDeque;

/// Maximum number of offsets in a block, so that several threads can read one partition.
const BLOCK: Offset = 100_000;
/// Number of offsets above which a slice is made shorter, because a slice is complete only when all of it has been
/// read.
const LARGE_SLICE: Offset = 400_000;
/// Number of offsets below which the next slice is made twice as long.
const SMALL_SLICE: Offset = 100_000;
/// Number of slices into which the window is divided at first.
const SLICES: i64 = 16;

/// The parts of the log that have not been read yet.
#[derive(Debug)]
pub struct ReadPlan {
    /// The first offset of the oldest slice, by partition. The next slice ends there.
    low: Vec<Offset>,
    /// The earliest requested time.
    wanted: Timestamp,
    /// The time at which the oldest slice begins.
    cut: Timestamp,
    /// The length of the next slice, in milliseconds.
    length: i64,
    /// The shortest length of a slice.
    least: i64,
    lookup: LookupTurn,
    blocks: VecDeque<LogBlock>,
    /// The slices that are not complete, the newest first.
    slices: VecDeque<LogSlice>,
    /// The number of the first slice in `slices`.
    first_slice: u64,
    complete: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookupTurn {
    Possible,
    UnderWay,
    /// Older parts of the log are not read.
    Stopped,
}

#[derive(Debug)]
struct LogSlice {
    from: Timestamp,
    /// Number of blocks that have not been read.
    open: usize,
}

/// A range of offsets in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBlock {
    /// The partition.
    pub partition: Partition,
    /// The offset to read next.
    pub next: Offset,
    /// The first offset after the block.
    pub end: Offset,
    slice: u64,
}

/// The next step of a plan.
#[derive(Debug, PartialEq, Eq)]
pub enum PlanStep {
    Read(LogBlock),
    /// Look up the offsets of this time for [`ReadPlan::cut_at`].
    LookUp(Timestamp),
}

impl ReadPlan {
    /// Plans to read from the time `wanted` up to the offsets `ends`, which are the ends of the partitions at the time
    /// `to`. A slice is halved only while it remains at least `step` long.
    pub fn new(ends: Vec<Offset>, wanted: Timestamp, to: Timestamp, step: i64) -> Self {
        let to = to.max(wanted);
        Self {
            low: ends,
            wanted,
            cut: to,
            length: ((to - wanted) / SLICES).max(step),
            least: step,
            lookup: LookupTurn::Possible,
            blocks: VecDeque::new(),
            slices: VecDeque::new(),
            first_slice: 0,
            complete: to,
        }
    }

    /// Extends the plan back to `from`.
    pub fn extend_to(&mut self, from: Timestamp) {
        self.wanted = self.wanted.min(from);
    }

    /// Adds new partitions. The plan does not read them, because they are followed from their beginning.
    pub fn add_partitions(&mut self, partitions: usize) {
        self.low.resize(self.low.len().max(partitions), 0);
    }

    /// Returns the time since which everything in the log has been read.
    pub fn complete_from(&self) -> Timestamp {
        self.complete
    }

    /// Returns the next step, or `None` if no step is possible at the moment.
    pub fn next(&mut self) -> Option<PlanStep> {
        let may_cut = self.lookup == LookupTurn::Possible && self.cut > self.wanted;
        // One block is left for another thread to read during the lookup.
        if may_cut && self.blocks.len() <= 1 {
            self.lookup = LookupTurn::UnderWay;
            return Some(PlanStep::LookUp(self.cut.saturating_sub(self.length).max(self.wanted)));
        }
        self.blocks.pop_front().map(PlanStep::Read)
    }

    /// Allows another lookup after one has failed.
    pub fn lookup_failed(&mut self) {
        if self.lookup == LookupTurn::UnderWay {
            self.lookup = LookupTurn::Possible;
        }
    }

    /// Adds the slice from `from` to the previous cut, or halves the length of the next one if this slice is too large.
    /// `offsets` is the result of the lookup of `from`, by partition.
    pub fn cut_at(&mut self, from: Timestamp, offsets: &[Offset]) {
        if self.lookup == LookupTurn::Stopped {
            return;
        }
        self.lookup = LookupTurn::Possible;
        let spans = self.low.iter().zip(offsets).map(|(low, offset)| (*low - *offset).max(0));
        let count = spans.fold(0, Offset::saturating_add);
        let length = self.cut - from;
        if count > LARGE_SLICE && length / 2 >= self.least {
            self.length = length / 2;
            return;
        }
        if count < SMALL_SLICE {
            self.length = self.length.saturating_mul(2);
        }
        let slice = self.first_slice + self.slices.len() as u64;
        let mut open = 0;
        for ((low, offset), partition) in self.low.iter_mut().zip(offsets).zip(0..) {
            while *low > *offset {
                let next = (*low - BLOCK).max(*offset);
                self.blocks.push_back(LogBlock { partition, next, end: *low, slice });
                *low = next;
                open += 1;
            }
        }
        self.slices.push_back(LogSlice { from, open });
        self.cut = from;
        self.close_slices();
    }

    /// Puts a partially read block back into the plan.
    pub fn put_back(&mut self, block: LogBlock) {
        if block.slice >= self.first_slice {
            self.blocks.push_front(block);
        }
    }

    /// Marks a block as read.
    pub fn finish(&mut self, block: &LogBlock) {
        let slice = block.slice.checked_sub(self.first_slice).and_then(|index| self.slices.get_mut(index as usize));
        if let Some(slice) = slice {
            slice.open -= 1;
        }
        self.close_slices();
    }

    fn close_slices(&mut self) {
        while let Some(slice) = self.slices.front().filter(|slice| slice.open == 0) {
            self.complete = slice.from;
            self.slices.pop_front();
            self.first_slice += 1;
        }
    }

    /// Stops the reading of older parts of the log for good: the discarded blocks are not read, so the plan cannot be
    /// complete from an earlier time. Blocks in progress may still be finished.
    pub fn stop(&mut self) {
        self.lookup = LookupTurn::Stopped;
        self.blocks.clear();
        self.first_slice += self.slices.len() as u64;
        self.slices.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the first offset of each partition with the time `at` or a later one.
    fn look_up(logs: &[Vec<Timestamp>], at: Timestamp) -> Vec<Offset> {
        let first = |log: &Vec<Timestamp>| log.iter().position(|time| *time >= at).unwrap_or(log.len());
        logs.iter().map(|log| first(log) as Offset).collect()
    }

    fn ends(logs: &[Vec<Timestamp>]) -> Vec<Offset> {
        logs.iter().map(|log| log.len() as Offset).collect()
    }

    proptest! {
        #[test]
        fn everything_from_the_complete_time_on_was_read_once(
            logs in proptest::collection::vec(proptest::collection::vec(0i64..1000, 0..60), 1..4),
            from in 0i64..1000,
            further in 0i64..1000,
            order in proptest::collection::vec(0usize..4, 200),
        ) {
            let mut plan = ReadPlan::new(ends(&logs), from, 1000, 7);
            let mut read = vec![Vec::new(); logs.len()];
            let mut open = Vec::new();
            let mut order = order.into_iter().cycle();
            let mut is_extended = false;
            loop {
                match plan.next() {
                    Some(PlanStep::LookUp(at)) => plan.cut_at(at, &look_up(&logs, at)),
                    Some(PlanStep::Read(block)) => open.push(block),
                    None if open.is_empty() && is_extended => break,
                    None if open.is_empty() => {
                        prop_assert!(plan.complete <= plan.wanted);
                        plan.extend_to(further);
                        is_extended = true;
                    }
                    None => {}
                }
                // Several blocks are read at a time, and some are read in two parts.
                if open.len() > 2 || !open.is_empty() && order.next() == Some(0) {
                    let mut block: LogBlock = open.swap_remove(order.next().unwrap_or(0) % open.len());
                    let end = if order.next() == Some(1) { (block.next + 1).min(block.end) } else { block.end };
                    read[block.partition as usize].extend(block.next..end);
                    block.next = end;
                    if block.next < block.end { plan.put_back(block) } else { plan.finish(&block) }
                }
                for (log, read) in logs.iter().zip(&read) {
                    let complete = plan.complete_from();
                    let unread = |offset: &usize| !read.contains(&(*offset as Offset));
                    prop_assert!((0..log.len()).filter(unread).all(|offset| log[offset] < complete));
                }
            }
            prop_assert!(plan.complete_from() <= from.min(further));
            for (read, expected) in read.into_iter().zip(look_up(&logs, from.min(further))) {
                let mut sorted = read.clone();
                sorted.sort_unstable();
                sorted.dedup();
                prop_assert_eq!(sorted.len(), read.len(), "nothing is read twice");
                prop_assert!(sorted.first().is_none_or(|first| *first >= expected));
            }
        }
    }

    #[test]
    fn a_stopped_plan_is_not_complete_from_an_earlier_time() {
        let mut plan = ReadPlan::new(vec![1000], 0, 160_000, 1000);
        assert_eq!(plan.next(), Some(PlanStep::LookUp(150_000)));
        plan.cut_at(150_000, &[900]);
        assert!(matches!(plan.next(), Some(PlanStep::LookUp(_))), "another thread can read the block");
        plan.stop();
        // The result of the lookup arrives, and a request extends the plan.
        plan.cut_at(130_000, &[900]);
        plan.lookup_failed();
        plan.extend_to(-1000);
        while let Some(step) = plan.next() {
            match step {
                PlanStep::LookUp(at) => plan.cut_at(at, &[0]),
                PlanStep::Read(block) => plan.finish(&block),
            }
        }
        assert_eq!(plan.complete_from(), 160_000, "the offsets from 900 on were not read");
    }

    #[test]
    fn a_large_slice_is_cut_again_and_a_large_block_is_divided() {
        let mut plan = ReadPlan::new(vec![10_000_000], 0, 160_000, 1000);
        let mut lookups = Vec::new();
        while let Some(PlanStep::LookUp(at)) = plan.next() {
            lookups.push(at);
            plan.cut_at(at, &[at * 10_000_000 / 160_000]);
        }
        assert_eq!(lookups, [150_000, 155_000]);
        assert_eq!(plan.blocks.len() + 1, 4, "312,500 offsets");
        let mut dense = ReadPlan::new(vec![10_000_000], 0, 160_000, 1000);
        while let Some(PlanStep::LookUp(at)) = dense.next() {
            dense.cut_at(at, &[0]);
        }
        assert_eq!(dense.blocks.len() + 1, 100, "a step is not divided, but its offsets are");
    }
}
