//! The one error type of the crate, and the advice that goes with a failed system call.
//!
//! Every message is a sentence that names the operation, the group, the interface and the cause. The
//! bindings turn each variant into a Python exception; nothing else of an error is decided there.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::errno;

/// What every fallible function of the crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation did not happen.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An argument was refused before any system call was made.
    Invalid(String),
    /// The system refused.
    System {
        /// What was tried, on which group and interface: "join 239.1.2.3 on eth0".
        operation: String,
        /// The system's reason; always carries an OS error code.
        source: io::Error,
        /// What the user can do about it, where that is known.
        advice: Option<String>,
    },
    /// Nothing arrived in the time given.
    TimedOut {
        /// What was waited for.
        operation: String,
        /// How long the caller allowed.
        after: Duration,
    },
    /// The object was closed, before the call or during it.
    Closed(String),
    /// This platform, or this machine's system as it is set up, cannot do it.
    Unsupported(String),
}

impl Error {
    /// A failed system call, with the general advice for its code; where the system has no such thing, that.
    pub(crate) fn system(operation: impl Into<String>, source: io::Error) -> Self {
        if source.raw_os_error().is_some_and(|code| errno::UNSUPPORTED.contains(&code)) {
            let text = format!("cannot {}: {} (this system cannot do that)", operation.into(), cause(&source));
            return Self::Unsupported(text);
        }
        let advice = advice(&source).map(str::to_owned);
        Self::System { operation: operation.into(), source, advice }
    }

    /// The operating system's error code: its own where it refused, and the one that stands for a closed socket or
    /// a thing that the platform cannot do.
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Self::System { source, .. } => source.raw_os_error(),
            Self::Closed(_) => Some(errno::BAD_DESCRIPTOR),
            Self::Unsupported(_) => Some(errno::NOT_SUPPORTED),
            Self::Invalid(_) | Self::TimedOut { .. } => None,
        }
    }

    /// Replaces the general advice by one that fits the operation better.
    pub(crate) fn advise(mut self, better: impl FnOnce(i32) -> Option<String>) -> Self {
        if let Self::System { source, advice, .. } = &mut self {
            if let Some(text) = source.raw_os_error().and_then(better) {
                *advice = Some(text);
            }
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) | Self::Closed(text) | Self::Unsupported(text) => f.write_str(text),
            Self::System { operation, source, advice } => {
                write!(f, "cannot {operation}: {}", cause(source))?;
                advice.as_ref().map_or(Ok(()), |text| write!(f, " ({text})"))
            }
            Self::TimedOut { operation, after } => {
                write!(f, "{operation} within {} s", after.as_secs_f64())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The system's own words, without the "(os error N)" that std appends: the code travels as `errno`.
pub(crate) fn cause(source: &io::Error) -> String {
    let text = source.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// What usually helps, by error code.
fn advice(source: &io::Error) -> Option<&'static str> {
    Some(match source.raw_os_error()? {
        errno::ADDRESS_IN_USE => "another program holds this port without sharing it; stop it, or take another port",
        errno::ACCESS => {
            "not permitted for this user: ports below 1024 need privileges, and a firewall can refuse a send"
        }
        errno::NOT_PERMITTED => "not permitted: a firewall rule or a missing capability refuses it",
        errno::NETWORK_UNREACHABLE => {
            "no route to the group: name an interface, or add a route such as \
             'ip route add 224.0.0.0/4 dev eth0'"
        }
        errno::HOST_UNREACHABLE => errno::HOST_UNREACHABLE_ADVICE,
        errno::NO_DEVICE => "no usable interface for this group: name one that is up and has an address",
        errno::ADDRESS_NOT_AVAILABLE => "no interface of this machine has that address",
        errno::NO_BUFFERS => "the system is out of buffer space for this socket",
        errno::MESSAGE_TOO_LONG => "the datagram is too long to be sent through this interface",
        errno::TOO_MANY_FILES => "too many open files: raise the limit with 'ulimit -n'",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_error_keeps_its_code_and_reads_as_a_sentence() {
        let source = io::Error::from_raw_os_error(errno::NO_DEVICE);
        let error = Error::system("join 239.1.2.3 on eth9", source);
        assert_eq!(error.os_error(), Some(errno::NO_DEVICE));
        let text = error.to_string();
        assert!(text.starts_with("cannot join 239.1.2.3 on eth9: "), "{text}");
        assert!(!text.contains("os error"), "{text}");
        assert!(text.ends_with("has an address)"), "{text}");
    }

    #[test]
    fn better_advice_replaces_the_general_one_only_for_its_code() {
        let source = || io::Error::from_raw_os_error(errno::NO_BUFFERS);
        let told = Error::system("join", source())
            .advise(|code| (code == errno::NO_BUFFERS).then(|| "raise the limit".to_owned()));
        assert!(told.to_string().ends_with("(raise the limit)"));
        let kept = Error::system("join", source()).advise(|_| None);
        assert!(kept.to_string().contains("out of buffer space"));
    }

    #[test]
    fn what_the_system_has_not_is_unsupported() {
        for code in errno::UNSUPPORTED {
            let error = Error::system("join ff15::1 on eth0", io::Error::from_raw_os_error(code));
            assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
            assert_eq!(error.os_error(), Some(errno::NOT_SUPPORTED));
            let text = error.to_string();
            assert!(text.starts_with("cannot join ff15::1 on eth0: "), "{text}");
            assert!(text.ends_with(" (this system cannot do that)"), "{text}");
        }
    }

    #[test]
    fn a_time_out_says_how_long_it_waited() {
        let error = Error::TimedOut {
            operation: "nothing received from 239.1.2.3:5000".into(),
            after: Duration::from_millis(250),
        };
        assert_eq!(error.to_string(), "nothing received from 239.1.2.3:5000 within 0.25 s");
        assert_eq!(error.os_error(), None);
    }
}
