//! Pacing: when the next message is due, so that a sender keeps a rate without bursts and without drift.
//!
//! The caller passes the time; this module reads no clock.

use std::time::Duration;

/// A rate and its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Datagrams a second.
    Datagrams(f64),
    /// Bits of payload a second.
    Bits(f64),
}

impl Rate {
    /// Whether the number is finite and above zero.
    pub fn is_valid(self) -> bool {
        let (Self::Datagrams(number) | Self::Bits(number)) = self;
        number.is_finite() && number > 0.0
    }

    /// The time that one message of this many bytes takes at this rate.
    fn duration(self, bytes: usize) -> Duration {
        let seconds = match self {
            Self::Datagrams(number) => 1.0 / number,
            Self::Bits(number) => bytes as f64 * 8.0 / number,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// How much a delayed sender can catch up at once. It does not make up for a longer delay.
const CATCH_UP: Duration = Duration::from_millis(1);

/// The schedule of a paced sender. Times count from an arbitrary moment and must never go back.
#[derive(Debug)]
pub struct Pace {
    rate: Rate,
    due: Duration,
}

impl Pace {
    /// Make a schedule whose first message is due at once.
    pub fn new(rate: Rate) -> Self {
        Self { rate, due: Duration::ZERO }
    }

    /// Return how many of the messages, from the first on, can be sent now.
    pub fn allow(&mut self, now: Duration, sizes: impl IntoIterator<Item = usize>) -> usize {
        self.due = self.due.max(now.saturating_sub(CATCH_UP));
        let mut due = self.due;
        let mut count = 0;
        for size in sizes {
            if due > now {
                break;
            }
            due = due.saturating_add(self.rate.duration(size));
            count += 1;
        }
        count
    }

    /// Record a message that was sent.
    pub fn sent(&mut self, bytes: usize) {
        self.due = self.due.saturating_add(self.rate.duration(bytes));
    }

    /// The time until the next message can be sent.
    pub fn wait(&self, now: Duration) -> Duration {
        self.due.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Send as much as is allowed at every step. Returns the number of messages sent.
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
    fn pace_with_any_step_keeps_the_rate_over_a_second() {
        for step in [MS / 10, MS / 3, MS] {
            let mut pace = Pace::new(Rate::Datagrams(50_000.0));
            let count = u32::try_from(Duration::from_secs(1).as_nanos() / step.as_nanos()).unwrap();
            let total = run(&mut pace, (0..=count).map(|n| step * n), 100);
            assert!((49_900..=50_101).contains(&total), "{total} in steps of {step:?}");
        }
    }

    #[test]
    fn pace_in_bits_counts_the_payload() {
        let mut pace = Pace::new(Rate::Bits(8_000_000.0));
        let total = run(&mut pace, (0..=1000).map(|n| MS * n), 1000);
        assert!((999..=1002).contains(&total), "{total}");
    }

    #[test]
    fn pace_after_a_long_pause_does_not_burst() {
        let mut pace = Pace::new(Rate::Datagrams(10_000.0));
        assert_eq!(run(&mut pace, [Duration::from_secs(5)], 1), 11);
        assert!(pace.wait(Duration::from_secs(5)) > Duration::ZERO);
    }

    #[test]
    fn pace_holds_the_next_message_until_it_is_due() {
        let mut pace = Pace::new(Rate::Datagrams(1000.0));
        assert_eq!(pace.allow(MS * 10, [1, 1, 1]), 2);
        pace.sent(1);
        pace.sent(1);
        assert_eq!(pace.wait(MS * 10), MS);
        assert_eq!(pace.allow(MS * 10, [1]), 0);
        assert_eq!(pace.allow(MS * 11, [1]), 1);
    }

    #[test]
    fn rate_is_valid_only_for_positive_finite_numbers() {
        for number in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(!Rate::Datagrams(number).is_valid());
            assert!(!Rate::Bits(number).is_valid());
        }
        assert!(Rate::Bits(1.0).is_valid());
    }
}
