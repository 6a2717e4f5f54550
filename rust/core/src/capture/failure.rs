//! The reasons why a recording ends early.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::Error;

/// The result of a part of the work. Its failure becomes an error once the number of lost datagrams is known.
pub(super) type Attempt<T> = std::result::Result<T, Failure>;

/// The reason why a recording ends.
#[derive(Debug)]
pub(super) struct Failure {
    /// The operation, with its file: "write feed.pcapng".
    operation: String,
    /// Advice for the caller, or the state of the file.
    hint: Option<&'static str>,
    cause: io::Error,
}

impl Failure {
    pub(super) fn to_create(path: &Path, cause: io::Error) -> Self {
        let exists = cause.kind() == ErrorKind::AlreadyExists;
        let hint = exists.then_some("choose another name, or overwrite it");
        Self { operation: format!("create {}", path.display()), hint, cause }
    }

    /// Given how many bytes of whole blocks the file has, and whether a part of another block follows them.
    pub(super) fn to_write(path: &Path, whole: u64, is_cut_off: bool, cause: io::Error) -> Self {
        let hint = match (whole, is_cut_off) {
            (0, false) => "the file is empty",
            (0, true) => "the file has only a part of its header",
            (_, false) => "the file is readable",
            (_, true) => "the last packet of the file may be incomplete",
        };
        Self { operation: format!("write {}", path.display()), hint: Some(hint), cause }
    }

    pub(super) fn to_remove(path: &Path, cause: io::Error) -> Self {
        Self { operation: format!("remove {}", path.display()), hint: None, cause }
    }

    /// Make the error, given how many received datagrams are in no file.
    pub(super) fn into_error(self, unwritten: u64) -> Error {
        let is_full = self.cause.kind() == ErrorKind::StorageFull;
        let lost = (unwritten > 0).then(|| format!("{unwritten} received datagrams were not written"));
        let parts = [
            self.hint.map(str::to_owned),
            lost,
            is_full.then(|| "free some space, or limit the size of the recording".to_owned()),
        ];
        let advice = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        Error::file(self.operation, self.cause).advise(|_| (!advice.is_empty()).then_some(advice))
    }
}
