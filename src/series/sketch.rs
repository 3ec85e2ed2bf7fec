//! Estimates the number of distinct series in fixed memory.

use super::field::SeriesField;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Number of bits in the bitmap. Up to this many series, the estimate is within about 2 %.
const BITS: u64 = 1 << 16;

/// Linear counting (Whang, Vander-Zanden and Taylor 1990): each series sets one bit, and the proportion of unset bits
/// gives the estimate. The bitmap is allocated for the first series.
#[derive(Default)]
pub struct SeriesSketch(Vec<u64>);

impl SeriesSketch {
    /// Counts a series, unless it was counted before.
    pub fn insert(&mut self, field: &SeriesField, name: Option<&str>) {
        // The hasher has no random key, so that sketches can be merged.
        let mut hasher = DefaultHasher::new();
        (field, name).hash(&mut hasher);
        let bit = hasher.finish() % BITS;
        self.0.resize((BITS / 64) as usize, 0);
        self.0[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    /// Counts the series of another sketch.
    pub fn merge(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own |= other);
    }

    /// Estimates the number of distinct series.
    pub fn estimate(&self) -> u64 {
        let set: u64 = self.0.iter().map(|bits| u64::from(bits.count_ones())).sum();
        let unset = (BITS - set).max(1) as f64;
        (BITS as f64 * (BITS as f64 / unset).ln()).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::FieldKind;
    use super::super::path::ValuePath;
    use super::*;

    #[test]
    fn distinct_series_are_counted_once() {
        let (mut all, mut odd) = (SeriesSketch::default(), SeriesSketch::default());
        let field = SeriesField { path: ValuePath::default(), kind: FieldKind::Number };
        assert_eq!(all.estimate(), 0);
        for (number, expected) in [(1, 1..=1), (10, 10..=10), (1000, 980..=1020), (40_000, 39_200..=40_800)] {
            for series in 0..number {
                let name = format!("dev-{series}");
                all.insert(&field, Some(&name));
                if series % 2 == 1 {
                    odd.insert(&field, Some(&name));
                }
            }
            odd.merge(&all);
            assert_eq!(odd.estimate(), all.estimate());
            assert!(expected.contains(&all.estimate()), "{number}: {}", all.estimate());
        }
    }
}
