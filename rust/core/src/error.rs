//! The error type of the crate, and the advice for a failed system call.
//!
//! Every message names the operation, the group, the interface and the cause: `cannot <verb> <object>: <cause>
//! (<hint>)`. A bad argument reads `<argument> must be <rule>, got <value>`. The bindings turn each variant into a
//! Python exception.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::errno;
use crate::pure::invalid::Invalid;

/// The result type of the crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why an operation failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An argument was refused before any system call.
    Invalid(String),
    /// The system refused.
    System {
        /// The operation, with its group and interface: "join 239.1.2.3 on eth0".
        operation: String,
        /// The system's reason; always carries an OS error code.
        source: io::Error,
        /// A hint for the user, if there is one.
        advice: Option<String>,
    },
    /// There is not enough memory for the operation: "receive". Making this error needs no memory.
    NoMemory(&'static str),
    /// The time ran out.
    TimedOut {
        /// The result: "nothing was received on port 5000".
        operation: String,
        /// The timeout of the caller.
        after: Duration,
    },
    /// The object was closed before the call or during it.
    Closed(String),
    /// This platform, or this system's configuration, does not support the operation.
    Unsupported(String),
}

impl Error {
    /// Make the error for a failed system call, with the general advice for its code. A code that means a missing
    /// feature gives [`Error::Unsupported`].
    pub(crate) fn system(operation: impl Into<String>, source: io::Error) -> Self {
        if source.raw_os_error().is_some_and(|code| errno::UNSUPPORTED.contains(&code)) {
            let text = format!("cannot {}: {} (not supported on this system)", operation.into(), cause(&source));
            return Self::Unsupported(text);
        }
        let advice = advice(&source).map(str::to_owned);
        Self::System { operation: operation.into(), source, advice }
    }

    /// Make the error for a failed operation on a file, without the general advice, which is about sockets.
    pub(crate) fn file(operation: impl Into<String>, source: io::Error) -> Self {
        Self::System { operation: operation.into(), source, advice: None }
    }

    /// The operating system's error code. A closed object and an unsupported operation have the matching code too.
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Self::System { source, .. } => source.raw_os_error(),
            Self::Closed(_) => Some(errno::BAD_DESCRIPTOR),
            Self::Unsupported(_) => Some(errno::NOT_SUPPORTED),
            Self::Invalid(_) | Self::NoMemory(_) | Self::TimedOut { .. } => None,
        }
    }

    /// Replace the general advice if `better` has advice for this code.
    pub(crate) fn advise(mut self, better: impl FnOnce(i32) -> Option<String>) -> Self {
        if let Self::System { source, advice, .. } = &mut self {
            if let Some(text) = source.raw_os_error().and_then(better) {
                *advice = Some(text);
            }
        }
        self
    }
}

impl From<Invalid> for Error {
    fn from(Invalid(text): Invalid) -> Self {
        Self::Invalid(text)
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
            Self::NoMemory(operation) => write!(f, "cannot {operation}: not enough memory"),
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

/// The system's text for an error, without the "(os error N)" that std appends: `errno` carries the code.
pub(crate) fn cause(source: &io::Error) -> String {
    let text = source.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// General advice by error code.
fn advice(source: &io::Error) -> Option<&'static str> {
    Some(match source.raw_os_error()? {
        errno::ADDRESS_IN_USE => {
            "another program uses this port and does not share it: stop that program, or choose another port"
        }
        errno::ACCESS => "permission denied: ports below 1024 require privileges, and a firewall can reject a send",
        errno::NOT_PERMITTED => "a firewall rule or a missing capability prevents it",
        errno::NETWORK_UNREACHABLE => {
            "no route to the group: name an interface, or add a route such as \
             'ip route add 224.0.0.0/4 dev eth0'"
        }
        errno::HOST_UNREACHABLE => errno::HOST_UNREACHABLE_ADVICE,
        errno::NO_DEVICE => "no usable interface for this group: name one that is up and has an address",
        errno::ADDRESS_NOT_AVAILABLE => "no interface of this host has that address",
        errno::NO_BUFFERS => "the system is out of buffer space for this socket",
        errno::MESSAGE_TOO_LONG => "the datagram is too long for this interface",
        errno::TOO_MANY_FILES => "too many open files: raise the limit with 'ulimit -n'",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_error_keeps_its_code_and_reads_as_a_sentence() {
        let source = io::Error::from_raw_os_error(errno::NO_DEVICE);
        let error = Error::system("join 239.1.2.3 on eth9", source);
        assert_eq!(error.os_error(), Some(errno::NO_DEVICE));
        let text = error.to_string();
        assert!(text.starts_with("cannot join 239.1.2.3 on eth9: "), "{text}");
        assert!(!text.contains("os error"), "{text}");
        assert!(text.ends_with("has an address)"), "{text}");
    }

    #[test]
    fn advise_replaces_the_advice_only_for_its_code() {
        let source = || io::Error::from_raw_os_error(errno::NO_BUFFERS);
        let replaced = Error::system("join", source())
            .advise(|code| (code == errno::NO_BUFFERS).then(|| "raise the limit".to_owned()));
        assert!(replaced.to_string().ends_with("(raise the limit)"));
        let kept = Error::system("join", source()).advise(|_| None);
        assert!(kept.to_string().contains("out of buffer space"));
    }

    #[test]
    fn system_error_for_a_missing_feature_is_unsupported() {
        for code in errno::UNSUPPORTED {
            let error = Error::system("join ff15::1 on eth0", io::Error::from_raw_os_error(code));
            assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
            assert_eq!(error.os_error(), Some(errno::NOT_SUPPORTED));
            let text = error.to_string();
            assert!(text.starts_with("cannot join ff15::1 on eth0: "), "{text}");
            assert!(text.ends_with(" (not supported on this system)"), "{text}");
        }
    }

    #[test]
    fn timed_out_names_the_timeout() {
        let error = Error::TimedOut {
            operation: "nothing received from 239.1.2.3:5000".into(),
            after: Duration::from_millis(250),
        };
        assert_eq!(error.to_string(), "nothing received from 239.1.2.3:5000 within 0.25 s");
        assert_eq!(error.os_error(), None);
    }
}
