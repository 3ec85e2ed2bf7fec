//! Chooses the partition of a record as Kafka's Java client does.

use crate::record::Partition;

/// Returns the partition of a key: `toPositive(murmur2(key)) % partitions`, as `BuiltInPartitioner.partitionForKey` of
/// the Java client does. `partitions` includes those without a leader at the moment, so that a key never moves. Returns
/// 0 if `partitions` is 0.
pub fn partition_for_key(key: &[u8], partitions: usize) -> Partition {
    let positive = murmur2(key) & 0x7fff_ffff;
    u32::try_from(partitions).ok().and_then(|n| positive.checked_rem(n)).map_or(0, |p| p as Partition)
}

/// 32-bit murmur2 with the seed of Kafka's `Utils.murmur2`.
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * index);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// The sticky partitioner of one topic (KIP-480): records without key and partition go to the same partition until its
/// batch is sent, then to another one. That makes few large batches instead of many small ones.
#[derive(Debug, Default)]
pub struct Sticky {
    current: Option<Partition>,
    previous: Option<Partition>,
}

impl Sticky {
    /// Returns one of `available` (the partitions with a leader, sorted), or `None` if it is empty.
    pub fn choose(&mut self, available: &[Partition], random: &mut fastrand::Rng) -> Option<Partition> {
        if let Some(current) = self.current
            && available.binary_search(&current).is_ok()
        {
            return Some(current);
        }
        let others = available.len() - usize::from(self.previous.is_some_and(|p| available.binary_search(&p).is_ok()));
        self.current = if others == 0 {
            available.first().copied()
        } else {
            available.iter().copied().filter(|p| Some(*p) != self.previous).nth(random.usize(..others))
        };
        self.current
    }

    /// Reports that a batch for `partition` is sent. If it is the current partition, the next record chooses another one.
    pub fn batch_sent(&mut self, partition: Partition) {
        if self.current == Some(partition) {
            self.previous = self.current.take();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_gives_the_same_hashes_as_the_java_client() {
        let cases: [(&str, i32); 6] = [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        }
    }

    #[test]
    fn the_partition_of_a_key_is_the_positive_remainder() {
        // -973932308 & 0x7fffffff = 1173551340
        assert_eq!(partition_for_key(b"21", 7), 1173551340 % 7);
        assert_eq!(partition_for_key(b"21", 1), 0);
        assert_eq!(partition_for_key(b"21", 0), 0);
    }

    #[test]
    fn keyless_records_keep_their_partition_until_its_batch_is_sent() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut sticky = Sticky::default();
        let available = [0, 2, 3];
        let mut seen = Vec::new();
        for _ in 0..50 {
            let first = sticky.choose(&available, &mut random).unwrap();
            assert_eq!(sticky.choose(&available, &mut random), Some(first));
            sticky.batch_sent(if first == 0 { 2 } else { 0 });
            assert_eq!(
                sticky.choose(&available, &mut random),
                Some(first),
                "another partition's batch changes nothing"
            );
            sticky.batch_sent(first);
            assert_ne!(seen.last(), Some(&first));
            seen.push(first);
        }
        for partition in available {
            assert!(seen.contains(&partition));
        }
    }

    #[test]
    fn keyless_records_leave_a_partition_that_lost_its_leader() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut sticky = Sticky::default();
        assert_eq!(sticky.choose(&[], &mut random), None);
        assert_eq!(sticky.choose(&[1], &mut random), Some(1));
        assert_eq!(sticky.choose(&[2], &mut random), Some(2));
        sticky.batch_sent(2);
        assert_eq!(sticky.choose(&[2], &mut random), Some(2), "the only partition is chosen again");
    }
}
