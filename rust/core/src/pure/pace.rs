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

/// How far a sender may be behind its schedule and still make up for all of it. A longer delay is forgotten.
const MAX_DELAY: Duration = Duration::from_millis(250);

/// After this long without a call, the caller had nothing to send and was not merely delayed, so the pause is not made
/// up for.
const IDLE: Duration = Duration::from_millis(100);

/// How much time a sender may make up for after it was idle: no more than timers are usually late.
const IDLE_CATCH_UP: Duration = Duration::from_millis(1);

/// A delayed sender sends at twice its rate at most, measured over this time. Timers and schedulers are late by this
/// much on a busy machine, so that a smaller value could not hold the rate.
const BURST: Duration = Duration::from_millis(20);

/// The schedule of a paced sender. Times count from an arbitrary moment and must never go back.
#[derive(Debug)]
pub struct Pace {
    rate: Rate,
    /// When the next message is due at the rate.
    due: Duration,
    /// When the next message is due at twice the rate, which bounds how fast a delayed sender catches up.
    soonest: Duration,
    /// When the caller last asked, if it did.
    asked: Option<Duration>,
    /// The caller has a message that was not allowed yet.
    waiting: bool,
}

impl Pace {
    /// Make a schedule whose first message is due at once.
    pub fn new(rate: Rate) -> Self {
        Self { rate, due: Duration::ZERO, soonest: Duration::ZERO, asked: None, waiting: false }
    }

    /// Return how many of the messages, from the first on, can be sent now.
    pub fn allow(&mut self, now: Duration, sizes: impl IntoIterator<Item = usize>) -> usize {
        let is_idle = !self.waiting && self.asked.is_none_or(|asked| now.saturating_sub(asked) >= IDLE);
        let catch_up = if is_idle { IDLE_CATCH_UP } else { MAX_DELAY };
        self.due = self.due.max(now.saturating_sub(catch_up));
        self.soonest = self.soonest.max(now.saturating_sub(BURST));
        let (mut due, mut soonest) = (self.due, self.soonest);
        let mut count = 0;
        for size in sizes {
            if due.max(soonest) > now {
                break;
            }
            let duration = self.rate.duration(size);
            due = due.saturating_add(duration);
            soonest = soonest.saturating_add(duration / 2);
            count += 1;
        }
        (self.asked, self.waiting) = (Some(now), count == 0);
        count
    }

    /// Record a message that was sent.
    pub fn sent(&mut self, bytes: usize) {
        let duration = self.rate.duration(bytes);
        self.due = self.due.saturating_add(duration);
        self.soonest = self.soonest.saturating_add(duration / 2);
    }

    /// The time until the next message can be sent.
    pub fn wait(&self, now: Duration) -> Duration {
        self.due.max(self.soonest).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Send all that is allowed at every step. Returns the number of messages sent.
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
    fn pace_with_late_steps_keeps_the_rate_over_a_second() {
        // As a scheduler wakes a thread on a busy machine: each time some milliseconds after the requested time.
        for late in [2, 7, 20] {
            for rate in [500.0, 20_000.0] {
                let mut pace = Pace::new(Rate::Datagrams(rate));
                let (mut now, mut total) = (Duration::ZERO, 0);
                while now <= MS * 1000 {
                    total += run(&mut pace, [now], 100);
                    now += pace.wait(now) + MS * late;
                }
                let expected = (rate * 0.97) as usize..=(rate * 1.01) as usize + 1;
                assert!(expected.contains(&total), "{total} of {rate} with steps that are {late} ms late");
            }
        }
    }

    #[test]
    fn pace_after_a_delay_catches_up_at_twice_the_rate() {
        let mut pace = Pace::new(Rate::Datagrams(1000.0));
        let steps = |from: u32, to: u32| (from..to).map(|n| MS * n);
        assert_eq!(run(&mut pace, steps(0, 100), 1), 100);
        assert_eq!(pace.allow(MS * 100, [1]), 1);
        pace.sent(1);
        assert_eq!(pace.allow(MS * 100, [1]), 0);
        // 150 ms late: at once what 20 ms at twice the rate allow, then two each millisecond, until all is made up for.
        assert_eq!(run(&mut pace, [MS * 250], 1), 41);
        assert_eq!(run(&mut pace, steps(251, 260), 1), 18);
        assert_eq!(run(&mut pace, steps(260, 1000), 1), 1000 - 101 - 41 - 18);
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
