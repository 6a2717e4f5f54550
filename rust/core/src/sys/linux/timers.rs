//! Timers that the kernel does not delay to save wake-ups.

/// While this lives, timers of the thread that made it are exact: the kernel does not delay them to save wake-ups,
/// which it otherwise does by 50 µs (PR_SET_TIMERSLACK(2const)).
#[derive(Debug)]
pub(crate) struct ExactTimers {
    /// The delay before, in nanoseconds.
    before: libc::c_ulong,
    /// The delay belongs to the thread.
    _thread: std::marker::PhantomData<*const ()>,
}

impl ExactTimers {
    pub(crate) fn begin() -> Self {
        // SAFETY: these operations of prctl read and write a number of the calling thread, and no memory of ours.
        let before = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
        let found = Self { before: libc::c_ulong::try_from(before).unwrap_or(0), _thread: std::marker::PhantomData };
        set_slack(1);
        found
    }
}

impl Drop for ExactTimers {
    fn drop(&mut self) {
        // 0 sets the default of the thread.
        set_slack(self.before);
    }
}

/// Does nothing if the system refuses, as a sandbox can: the timers are less exact then.
fn set_slack(nanoseconds: libc::c_ulong) {
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slack() -> libc::c_int {
        // SAFETY: as above.
        unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }
    }

    #[test]
    fn exact_timers_of_a_thread_end_with_their_guard() {
        set_slack(70_000);
        let timers = ExactTimers::begin();
        assert_eq!(slack(), 1);
        drop(timers);
        assert_eq!(slack(), 70_000);
    }
}
