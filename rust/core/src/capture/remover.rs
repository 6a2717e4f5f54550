//! Removing old files while the recording goes on: the system takes a while to free a large file.

use std::fs::remove_file;
use std::io::{self, ErrorKind};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::failure::{Attempt, Failure};
use crate::sys;

/// Removes one file at a time in a thread of its own, which ends when the file is gone.
#[derive(Debug, Default)]
pub(super) struct Remover {
    running: Option<Removal>,
}

#[derive(Debug)]
struct Removal {
    path: Arc<Path>,
    thread: JoinHandle<io::Result<()>>,
    /// How many forks led to the process that has the thread.
    generation: u32,
}

impl Remover {
    /// Begin to remove a file. This first waits for an earlier removal, and returns its error.
    pub(super) fn remove(&mut self, path: PathBuf) -> Attempt<()> {
        self.finish()?;
        let path: Arc<Path> = path.into();
        let started = sys::fork_generation().and_then(|generation| {
            let its = Arc::clone(&path);
            let builder = thread::Builder::new().name("multicast-remove".into());
            let thread = sys::with_signals_blocked(|| builder.spawn(move || remove(&its)))?;
            Ok(Removal { path: Arc::clone(&path), thread, generation })
        });
        match started {
            Ok(removal) => self.running = Some(removal),
            // Without a thread, the recording waits until the file is removed.
            Err(_) => remove(&path).map_err(|cause| Failure::to_remove(&path, cause))?,
        }
        Ok(())
    }

    /// Wait until the file is removed.
    pub(super) fn finish(&mut self) -> Attempt<()> {
        let Some(Removal { path, thread, generation }) = self.running.take() else { return Ok(()) };
        if generation != sys::generation() {
            // The thread stayed in the parent of this forked process, and another one may have its handle by now.
            mem::forget(thread);
            return Ok(());
        }
        let result = thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that removes it has panicked")));
        result.map_err(|cause| Failure::to_remove(&path, cause))
    }
}

impl Drop for Remover {
    /// The recorder was dropped without being closed, so a failure cannot be reported.
    fn drop(&mut self) {
        drop(self.finish());
    }
}

/// Remove a file, which another program may have moved away or removed.
fn remove(path: &Path) -> io::Result<()> {
    match remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remover_reports_a_failure_when_it_finishes() {
        let mut remover = Remover::default();
        // A directory is no file.
        remover.remove(std::env::temp_dir()).unwrap();
        let error = remover.finish().unwrap_err().into_error(7).to_string();
        assert!(error.starts_with(&format!("cannot remove {}", std::env::temp_dir().display())), "{error}");
        assert!(error.ends_with("(7 received datagrams were not written)"), "{error}");
        assert!(remover.finish().is_ok());
    }

    #[test]
    fn remover_accepts_that_a_file_is_gone() {
        let mut remover = Remover::default();
        remover.remove(std::env::temp_dir().join("multicast-no-such-file")).unwrap();
        assert!(remover.finish().is_ok());
    }
}
