//! What a thread of our own needs from its process: to be left alone by signals, and to notice forks.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// How many forks, counted from the first call of [`fork_generation`], led to this process.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// As [`generation`], and sees to it that forks are counted. A number in memory: asking for the process's own number is
/// a system call, too dear to be made for every datagram.
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
    // SAFETY: the handler is a function without captures that lives as long as this code; all it does in the child is
    // to add to an atomic, which is allowed between fork and exec (signal-safety(7)).
    match unsafe { libc::pthread_atfork(None, None, Some(count)) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// There are no forks.
#[cfg(not(unix))]
fn count_forks() -> io::Result<()> {
    Ok(())
}

/// Runs `start` with all signals blocked that another thread can take: a thread that is started in it inherits that, and
/// the process's handlers run where they always ran.
#[cfg(unix)]
pub(crate) fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    use std::mem;
    use std::ptr;

    // SAFETY: all-zero octets are a valid sigset_t (plain integers); sigfillset and sigdelset get a pointer to it and
    // valid numbers; pthread_sigmask reads `all` and writes `before`, both live, and has no other way to fail than a
    // wrong first argument.
    let before = unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&raw mut all);
        // These tell of a fault of the thread itself: blocked, they would end the process without a word.
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

/// There are no signals to block.
#[cfg(not(unix))]
pub(crate) fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    start()
}
