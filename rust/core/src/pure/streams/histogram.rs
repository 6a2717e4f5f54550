//! Counts of values, for percentiles.

use std::collections::BTreeMap;

/// The bits of a value that are kept.
const BITS: u32 = 9;

/// Counts of integers, kept with a relative error below 0.4 %. The memory depends on the range of the values, not on
/// how many there are.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: BTreeMap<i64, u64>,
    total: u64,
    range: Option<(i64, i64)>,
}

impl Histogram {
    /// Count a value.
    pub fn add(&mut self, value: i64) {
        let (lowest, highest) = self.range.unwrap_or((value, value));
        self.range = Some((lowest.min(value), highest.max(value)));
        self.total += 1;
        let size = value.unsigned_abs();
        let shift = (u64::BITS - size.leading_zeros()).saturating_sub(BITS);
        // The size is 2^63 at most, and so is the rounded one: as a negative number it fits.
        let rounded = ((size >> shift) << shift) as i64;
        *self.counts.entry(if value < 0 { rounded.wrapping_neg() } else { rounded }).or_default() += 1;
    }

    /// The lowest and the highest value; `None` if none was counted.
    pub fn range(&self) -> Option<(i64, i64)> {
        self.range
    }

    /// Return the smallest value that at least `percent` of the values do not exceed; `None` if none was counted.
    pub fn percentile(&self, percent: f64) -> Option<i64> {
        let (lowest, highest) = self.range?;
        let wanted = ((self.total as f64 * percent / 100.0).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        let found = self.counts.iter().find(|&(_, count)| {
            seen += count;
            seen >= wanted
        });
        found.map(|(&value, _)| value.clamp(lowest, highest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::packet::samples::Noise;

    #[test]
    fn percentile_is_within_its_error_of_the_sorted_values() {
        let mut noise = Noise::default();
        for round in 0..100 {
            let mut histogram = Histogram::default();
            let mut values: Vec<i64> = (0..=noise.below(300))
                .map(|_| (noise.below(1 << 30) as i64 - (1 << 28)) << noise.below(20) >> (round % 28))
                .collect();
            values.iter().for_each(|&value| histogram.add(value));
            values.sort_unstable();
            assert_eq!(histogram.range(), Some((values[0], values[values.len() - 1])));
            for percent in [0.0, 50.0, 99.0, 99.9, 100.0] {
                let at = ((values.len() as f64 * percent / 100.0).ceil() as usize).max(1) - 1;
                let (found, exact) = (histogram.percentile(percent).unwrap(), values[at]);
                let error = (found - exact).unsigned_abs();
                assert!(error as f64 <= 0.004 * exact.unsigned_abs() as f64, "{percent}: {found}, {exact}");
            }
        }
    }

    #[test]
    fn histogram_of_extreme_values_neither_panics_nor_leaves_their_range() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.percentile(50.0), histogram.range()), (None, None));
        [i64::MIN, -1, 0, 1, i64::MAX].into_iter().for_each(|value| histogram.add(value));
        assert_eq!(histogram.percentile(0.0), Some(i64::MIN));
        assert_eq!(histogram.percentile(50.0), Some(0));
        assert!(histogram.percentile(100.0) > Some(i64::MAX / 2));
    }
}
