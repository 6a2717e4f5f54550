//! The needs of a background thread: no signals, and a count of forks.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Returns how many forks led to this process, counted from the first call of [`fork_generation`].
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Does the same as [`generation`], and starts counting if necessary. The count is a number in memory, because
/// getpid(2) for every datagram would be too expensive.
pub(crate) fn fork_generation() -> io::Result<u32> {
    static COUNTED: AtomicBool = AtomicBool::new(false);
    if !COUNTED.swap(true, Ordering::Relaxed) {
        count_forks().inspect_err(|_| COUNTED.store(false, Ordering::Relaxed))?;
    }
    Ok(generation())
}

#[cfg(unix)]
fn count_forks() -> io::Result<()> {
    extern "C" fn count() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler is a function without captures that lives as long as this code. In the child it only adds to
    // an atomic, which is allowed between fork and exec (signal-safety(7)).
    match unsafe { libc::pthread_atfork(None, None, Some(count)) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Does nothing: there is no fork.
#[cfg(not(unix))]
fn count_forks() -> io::Result<()> {
    Ok(())
}

/// Runs `start` with every signal blocked that another thread can take. A thread started within inherits this, so the
/// process's handlers run on the threads they always ran on.
#[cfg(unix)]
pub(crate) fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    use std::mem;
    use std::ptr;

    // SAFETY: zero bytes are a valid sigset_t (plain integers); sigfillset and sigdelset get a pointer to it and valid
    // signal numbers; pthread_sigmask reads `all` and writes `before`, both live, and fails only for a wrong first
    // argument.
    let before = unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&raw mut all);
        // These report a fault of the thread itself. If they were blocked, the process would end without a message.
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT] {
            libc::sigdelset(&raw mut all, fault);
        }
        let mut before: libc::sigset_t = mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    };
    let result = start();
    // SAFETY: `before` is the set that pthread_sigmask wrote.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    result
}

/// Runs `start`: there are no signals to block.
#[cfg(not(unix))]
pub(crate) fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    start()
}
