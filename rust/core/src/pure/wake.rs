//! The result of a wait.

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// There is something to do, or an error to collect: try again.
    Ready,
    /// A signal arrived: handle it, then wait again.
    Interrupted,
    /// The time ran out.
    TimedOut,
}

impl Wake {
    /// Ready after a wait that was shorter than its caller wanted, because something is due then.
    #[must_use]
    pub fn or_ready(self) -> Self {
        if self == Self::TimedOut { Self::Ready } else { self }
    }
}
