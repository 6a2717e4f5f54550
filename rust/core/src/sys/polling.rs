//! A timer that replaces notifications if the system sends none. The caller lists the interfaces itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::pure::netlink::NetlinkEvent;

/// Half of the two seconds within which memberships must be restored.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// Reports once per period that something may have changed.
#[derive(Debug)]
pub(crate) struct Polling {
    last: Mutex<Instant>,
}

impl Default for Polling {
    fn default() -> Self {
        Self { last: Mutex::new(Instant::now()) }
    }
}

impl Polling {
    pub(crate) fn drain(&self, mut visit: impl FnMut(NetlinkEvent)) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= PERIOD {
            *last = Instant::now();
            visit(NetlinkEvent::Other);
        }
    }

    pub(crate) fn due(&self) -> Duration {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        PERIOD.saturating_sub(last.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_reports_once_per_period() {
        let polling = Polling::default();
        let count = || {
            let mut count = 0;
            polling.drain(|_| count += 1);
            count
        };
        assert_eq!(count(), 0);
        assert!(polling.due() > Duration::ZERO && polling.due() <= PERIOD);
        *polling.last.lock().unwrap() = Instant::now().checked_sub(2 * PERIOD).unwrap();
        assert_eq!(polling.due(), Duration::ZERO);
        assert_eq!((count(), count()), (1, 0));
    }
}
