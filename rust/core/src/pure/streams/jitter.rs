//! Interarrival jitter (RFC 3550, section 6.4.1).

/// The smoothed difference between the spacing of arrivals and the spacing at the sender.
#[derive(Debug, Default)]
pub(super) struct Jitter {
    nanoseconds: f64,
    is_known: bool,
}

impl Jitter {
    /// Account for a datagram: the difference of its transit time and that of the one before, in nanoseconds.
    #[inline]
    pub(super) fn add(&mut self, difference: f64) {
        self.nanoseconds += (difference.abs() - self.nanoseconds) / 16.0;
    }

    /// The sender gives times, so that there is a jitter, even if it is still zero.
    pub(super) fn begin(&mut self) {
        self.is_known = true;
    }

    /// In nanoseconds; `None` if the sender gives no times.
    pub(super) fn nanoseconds(&self) -> Option<f64> {
        self.is_known.then_some(self.nanoseconds)
    }
}
