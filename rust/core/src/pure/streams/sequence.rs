//! Account for numbered items that may be lost, repeated or out of order.

use std::collections::VecDeque;

/// The most gaps of one stream that are remembered. Numbers in older gaps stay lost.
pub const MAX_GAPS: usize = 10_000;

/// Consecutive numbers that have not arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first missing number.
    pub first: u64,
    /// The last missing number.
    pub last: u64,
    /// When the item before the gap arrived, in nanoseconds since the Unix epoch.
    pub since_ns: i64,
    /// When the item that revealed the gap arrived.
    pub until_ns: i64,
}

/// The counts of the numbers of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Numbers that have not arrived, between the lowest and the highest.
    pub lost: u64,
    /// Items whose number had arrived before.
    pub duplicates: u64,
    /// Items that arrived for the first time after one with a higher number.
    pub reordered: u64,
    /// How often the sender has started again, with other numbers.
    pub restarts: u64,
}

/// The numbers that have arrived since the sender started, and the gaps between them.
#[derive(Debug)]
struct Run {
    lowest: u64,
    highest: u64,
    /// When the highest number arrived.
    highest_ns: i64,
    gaps: VecDeque<Gap>,
}

/// The numbers of a stream, over all starts of its sender.
#[derive(Debug, Default)]
pub struct Sequence {
    counts: Counts,
    run: Option<Run>,
    /// The gaps of earlier runs.
    ended: VecDeque<Gap>,
}

impl Sequence {
    /// The counts over all runs.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The highest number of this run; `None` if none has arrived.
    #[inline]
    pub fn highest(&self) -> Option<u64> {
        self.run.as_ref().map(|run| run.highest)
    }

    /// The missing numbers, in order, those of earlier runs first: at most [`MAX_GAPS`] gaps, the newest.
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        let count = self.ended.len() + self.run.as_ref().map_or(0, |run| run.gaps.len());
        let all = self.ended.iter().chain(self.run.iter().flat_map(|run| &run.gaps));
        all.skip(count.saturating_sub(MAX_GAPS))
    }

    /// The sender has started again: what is missing of the earlier numbers stays lost.
    pub fn restart(&mut self) {
        self.counts.restarts += 1;
        if let Some(run) = self.run.take() {
            self.ended.extend(run.gaps);
            let excess = self.ended.len().saturating_sub(MAX_GAPS);
            self.ended.drain(..excess);
        }
    }

    /// Account for an item.
    #[inline]
    pub fn add(&mut self, number: u64, time_ns: i64) {
        let Some(run) = &mut self.run else {
            let gaps = VecDeque::new();
            self.run = Some(Run { lowest: number, highest: number, highest_ns: time_ns, gaps });
            return;
        };
        if number > run.highest {
            if number - run.highest > 1 {
                let gap = Gap { first: run.highest + 1, last: number - 1, since_ns: run.highest_ns, until_ns: time_ns };
                self.counts.lost = self.counts.lost.saturating_add(number - run.highest - 1);
                run.gaps.push_back(gap);
                run.forget_oldest();
            }
            (run.highest, run.highest_ns) = (number, time_ns);
        } else {
            run.add_late(number, time_ns, &mut self.counts);
        }
    }
}

impl Run {
    /// Account for a number that is not higher than all before.
    fn add_late(&mut self, number: u64, time_ns: i64, counts: &mut Counts) {
        if number < self.lowest {
            counts.reordered += 1;
            let missing = self.lowest - number - 1;
            if missing > 0 {
                counts.lost = counts.lost.saturating_add(missing);
                let gap = Gap { first: number + 1, last: self.lowest - 1, since_ns: time_ns, until_ns: time_ns };
                self.gaps.push_front(gap);
                self.forget_oldest();
            }
            self.lowest = number;
        } else if self.fill(number) {
            counts.reordered += 1;
            counts.lost -= 1;
        } else {
            counts.duplicates += 1;
        }
    }

    fn forget_oldest(&mut self) {
        if self.gaps.len() > MAX_GAPS {
            self.gaps.pop_front();
        }
    }

    /// Remove a number from the gap that it is in. Returns whether there is one.
    fn fill(&mut self, number: u64) -> bool {
        let after = self.gaps.partition_point(|gap| gap.first <= number);
        let Some(at) = after.checked_sub(1) else { return false };
        let gap = &mut self.gaps[at];
        if number > gap.last {
            return false;
        }
        let whole = *gap;
        if whole.first == whole.last {
            self.gaps.remove(at);
        } else if number == whole.first {
            gap.first += 1;
        } else {
            gap.last = number - 1;
            if number < whole.last {
                self.gaps.insert(after, Gap { first: number + 1, ..whole });
                self.forget_oldest();
            }
        }
        true
    }
}

/// Continues numbers of 16 bits that wrap around, so that they never do.
#[derive(Debug, Default)]
pub struct Extender {
    highest: Option<u64>,
}

impl Extender {
    /// Return the number nearest to the highest so far that ends with these bits.
    #[inline]
    pub fn extend(&mut self, number: u16) -> u64 {
        let Some(highest) = self.highest else {
            // One turn above zero, so that an item from before the first has a number as well.
            let first = u64::from(number) + 0x1_0000;
            self.highest = Some(first);
            return first;
        };
        let ahead = number.wrapping_sub(highest as u16);
        if ahead < 0x8000 {
            self.highest = Some(highest + u64::from(ahead));
            highest + u64::from(ahead)
        } else {
            highest - u64::from(ahead.wrapping_neg())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::pure::packet::samples::Noise;

    #[test]
    fn sequence_in_any_order_counts_as_a_set_would() {
        let mut noise = Noise::default();
        for _ in 0..500 {
            let mut sequence = Sequence::default();
            let mut seen = BTreeSet::new();
            let (mut duplicates, mut reordered) = (0, 0);
            for time in 0..noise.below(120) {
                let number = noise.below(60) as u64;
                sequence.add(number, time as i64);
                match seen.last() {
                    Some(_) if seen.contains(&number) => duplicates += 1,
                    Some(&highest) if number < highest => reordered += 1,
                    _ => {}
                }
                seen.insert(number);
            }
            let missing: Vec<u64> = match (seen.first(), seen.last()) {
                (Some(&low), Some(&high)) => (low..high).filter(|number| !seen.contains(number)).collect(),
                _ => Vec::new(),
            };
            let expected = Counts { lost: missing.len() as u64, duplicates, reordered, restarts: 0 };
            assert_eq!(sequence.counts(), expected);
            assert_eq!(sequence.gaps().flat_map(|gap| gap.first..=gap.last).collect::<Vec<_>>(), missing);
        }
    }

    #[test]
    fn gap_has_the_times_of_the_items_around_it() {
        let mut sequence = Sequence::default();
        for (number, time) in [(1, 100), (2, 200), (5, 500)] {
            sequence.add(number, time);
        }
        let expected = Gap { first: 3, last: 4, since_ns: 200, until_ns: 500 };
        assert_eq!(sequence.gaps().collect::<Vec<_>>(), [&expected]);
    }

    #[test]
    fn sequence_with_too_many_gaps_forgets_the_oldest_and_keeps_the_count() {
        let mut sequence = Sequence::default();
        let last = 2 * (MAX_GAPS as u64 + 5);
        (0..=last).step_by(2).for_each(|number| sequence.add(number, 0));
        assert_eq!(sequence.counts().lost, last / 2);
        assert_eq!(sequence.gaps().count(), MAX_GAPS);
        sequence.add(1, 0);
        assert_eq!((sequence.counts().lost, sequence.counts().duplicates), (last / 2, 1));
        sequence.restart();
        [5, 7].into_iter().for_each(|number| sequence.add(number, 0));
        assert_eq!((sequence.counts().lost, sequence.gaps().count()), (last / 2 + 1, MAX_GAPS));
    }

    #[test]
    fn sequence_with_a_gap_that_is_filled_here_and_there_keeps_its_limit() {
        let mut sequence = Sequence::default();
        let last = 4 * MAX_GAPS as u64;
        sequence.add(0, 0);
        sequence.add(last, 0);
        (2..last).step_by(2).for_each(|number| sequence.add(number, 0));
        assert_eq!(sequence.counts().reordered, last / 2 - 1);
        assert_eq!(sequence.gaps().count(), MAX_GAPS);
        assert!(sequence.run.unwrap().gaps.len() <= MAX_GAPS);
    }

    #[test]
    fn sequence_of_extreme_numbers_does_not_overflow() {
        let mut sequence = Sequence::default();
        for _ in 0..3 {
            [0, u64::MAX, 1, u64::MAX].into_iter().for_each(|number| sequence.add(number, i64::MIN));
            sequence.restart();
        }
        assert_eq!((sequence.counts().lost, sequence.counts().duplicates), (u64::MAX - 1, 3));
    }

    #[test]
    fn extender_continues_numbers_that_wrap_around() {
        let mut noise = Noise::default();
        for _ in 0..200 {
            let first = noise.below(0x1_0000) as u64;
            let (mut extender, mut highest) = (Extender::default(), first);
            assert_eq!(extender.extend(first as u16), first + 0x1_0000);
            for _ in 0..100 {
                let number = (highest + noise.below(1100) as u64 + 0x1_0000).wrapping_sub(100) - 0x1_0000;
                assert_eq!(extender.extend(number as u16), number.wrapping_add(0x1_0000));
                highest = highest.max(number);
            }
        }
    }
}
