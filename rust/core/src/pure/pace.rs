//! Pacing: when the next message is due, so that a rate is kept without bursts and without drift. Knows no clock.

use std::time::Duration;

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Datagrams a second.
    Datagrams(f64),
    /// Bits of payload a second.
    Bits(f64),
}

impl Rate {
    /// Whether it is a rate at all: finite and above zero.
    pub fn is_valid(self) -> bool {
        let (Self::Datagrams(number) | Self::Bits(number)) = self;
        number.is_finite() && number > 0.0
    }

    /// How long one message of this many octets takes at this rate.
    fn lasts(self, octets: usize) -> Duration {
        let seconds = match self {
            Self::Datagrams(number) => 1.0 / number,
            Self::Bits(number) => octets as f64 * 8.0 / number,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// A sender that was held up may catch up this much at once; what it missed beyond that is not made up for.
const CATCH_UP: Duration = Duration::from_millis(1);

/// The schedule of a paced sender. Times count from any moment, as long as they never go back.
#[derive(Debug)]
pub struct Pace {
    rate: Rate,
    due: Duration,
}

impl Pace {
    /// A schedule whose first message is due at once.
    pub fn new(rate: Rate) -> Self {
        Self { rate, due: Duration::ZERO }
    }

    /// How many of the messages, from the first on, may go now.
    pub fn allow(&mut self, now: Duration, sizes: impl IntoIterator<Item = usize>) -> usize {
        self.due = self.due.max(now.saturating_sub(CATCH_UP));
        let mut due = self.due;
        let mut count = 0;
        for size in sizes {
            if due > now {
                break;
            }
            due = due.saturating_add(self.rate.lasts(size));
            count += 1;
        }
        count
    }

    /// Notes a message that went.
    pub fn sent(&mut self, octets: usize) {
        self.due = self.due.saturating_add(self.rate.lasts(octets));
    }

    /// How long until the next message may go.
    pub fn wait(&self, now: Duration) -> Duration {
        self.due.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends as much as is allowed at every step; returns what went by then.
    fn run(pace: &mut Pace, steps: impl IntoIterator<Item = Duration>, size: usize) -> usize {
        let mut total = 0;
        for now in steps {
            let allowed = pace.allow(now, std::iter::repeat_n(size, 100_000));
            for _ in 0..allowed {
                pace.sent(size);
            }
            total += allowed;
        }
        total
    }

    #[test]
    fn the_rate_is_kept_over_a_second_however_the_steps_fall() {
        for step in [MS / 10, MS / 3, MS] {
            let mut pace = Pace::new(Rate::Datagrams(50_000.0));
            let count = u32::try_from(Duration::from_secs(1).as_nanos() / step.as_nanos()).unwrap();
            let total = run(&mut pace, (0..=count).map(|n| step * n), 100);
            assert!((49_900..=50_101).contains(&total), "{total} in steps of {step:?}");
        }
    }

    #[test]
    fn bits_count_the_payload() {
        let mut pace = Pace::new(Rate::Bits(8_000_000.0));
        let total = run(&mut pace, (0..=1000).map(|n| MS * n), 1000);
        assert!((999..=1002).contains(&total), "{total}");
    }

    #[test]
    fn what_was_missed_is_not_made_up_for_in_a_burst() {
        let mut pace = Pace::new(Rate::Datagrams(10_000.0));
        assert_eq!(run(&mut pace, [Duration::from_secs(5)], 1), 11);
        assert!(pace.wait(Duration::from_secs(5)) > Duration::ZERO);
    }

    #[test]
    fn the_next_message_waits_for_its_time() {
        let mut pace = Pace::new(Rate::Datagrams(1000.0));
        assert_eq!(pace.allow(MS * 10, [1, 1, 1]), 2);
        pace.sent(1);
        pace.sent(1);
        assert_eq!(pace.wait(MS * 10), MS);
        assert_eq!(pace.allow(MS * 10, [1]), 0);
        assert_eq!(pace.allow(MS * 11, [1]), 1);
    }

    #[test]
    fn only_positive_finite_numbers_are_rates() {
        for number in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(!Rate::Datagrams(number).is_valid());
            assert!(!Rate::Bits(number).is_valid());
        }
        assert!(Rate::Bits(1.0).is_valid());
    }
}
