//! Busy polling before a sleep: it finds a datagram sooner, at the price of a processor.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::pure::wake::Wake;

/// The most datagrams that one look takes.
const LIMIT: usize = 256;

/// Looks for datagrams again and again for a limited time since the last one.
#[derive(Debug)]
pub(super) struct Spin {
    limit: Duration,
    /// How long it has looked without success since the last datagram, in nanoseconds.
    spent: AtomicU64,
}

impl Spin {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, spent: AtomicU64::new(0) }
    }

    /// Look until something is found, or until its time limit or the timeout is reached. Returns how long that took;
    /// `None` if something was found.
    #[inline]
    pub(super) fn look(
        &self,
        timeout: Option<Duration>,
        look: impl FnMut(usize) -> Result<bool>,
    ) -> Result<Option<Duration>> {
        let before = Duration::from_nanos(self.spent.load(Ordering::Relaxed));
        match self.limit.saturating_sub(before).min(timeout.unwrap_or(self.limit)) {
            Duration::ZERO => Ok(Some(Duration::ZERO)),
            time => self.look_for(time, before, look),
        }
    }

    fn look_for(
        &self,
        time: Duration,
        before: Duration,
        mut look: impl FnMut(usize) -> Result<bool>,
    ) -> Result<Option<Duration>> {
        let start = Instant::now();
        loop {
            if look(LIMIT)? {
                self.note(Wake::Ready);
                return Ok(None);
            }
            let spent = start.elapsed();
            if spent >= time {
                // At most the limit, which is 10 s, and the time of one look.
                self.spent.store((before + spent).as_nanos() as u64, Ordering::Relaxed);
                return Ok(Some(spent));
            }
            hint::spin_loop();
        }
    }

    /// Start over at the next wait, if something was found.
    pub(super) fn note(&self, wake: Wake) {
        if wake == Wake::Ready {
            self.spent.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spin_that_finds_something_stops() {
        let spin = Spin::new(Duration::from_secs(10));
        let mut looks = 0;
        let found = spin.look(None, |_| {
            looks += 1;
            Ok(looks == 3)
        });
        assert_eq!((found.unwrap(), looks), (None, 3));
    }

    #[test]
    fn spin_in_vain_ends_after_its_time_until_something_is_found() {
        let spin = Spin::new(Duration::from_millis(2));
        let in_vain = |timeout| spin.look(timeout, |_| Ok(false)).unwrap().unwrap();
        let first = in_vain(Some(Duration::from_millis(1)));
        assert!(first >= Duration::from_millis(1));
        assert!(in_vain(None) + first >= Duration::from_millis(2));
        assert_eq!(in_vain(None), Duration::ZERO);
        spin.note(Wake::Ready);
        assert!(in_vain(None) >= Duration::from_millis(2));
    }

    #[test]
    fn spin_of_no_time_does_not_look() {
        let spin = Spin::new(Duration::ZERO);
        assert_eq!(spin.look(None, |_| panic!("it looked")).unwrap(), Some(Duration::ZERO));
    }
}
