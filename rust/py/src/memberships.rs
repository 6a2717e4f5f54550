//! The memberships of a receiver as Python objects, which are created once after each change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use multicast_core::pure::filter::Membership;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::convert::sources_as_text;
use crate::interner::Interner;

/// The names of the interfaces of memberships, by index.
type Names = BTreeMap<u32, Option<Py<PyString>>>;

/// The Python objects for the last memberships: a tuple with the fields of `multicast.Membership` for each.
#[derive(Default)]
pub(crate) struct Memberships {
    last: Mutex<Option<Snapshot>>,
}

struct Snapshot {
    memberships: Arc<[Membership]>,
    names: Names,
    fields: Py<PyTuple>,
}

impl Memberships {
    /// Returns the fields of these memberships: the same object as last time if nothing has changed.
    pub(crate) fn fields(
        &self,
        py: Python<'_>,
        memberships: Arc<[Membership]>,
        interner: &Interner,
    ) -> PyResult<Py<PyTuple>> {
        let is_known = |last: &&Snapshot| Arc::ptr_eq(&last.memberships, &memberships);
        let known =
            self.lock().as_ref().filter(is_known).map(|last| (cloned(py, &last.names), last.fields.clone_ref(py)));
        // An interface may have another name now.
        let has_name = |(index, name): (&u32, &Option<Py<PyString>>)| {
            text(py, name.as_ref()) == text(py, interner.interface(py, *index).as_ref())
        };
        if let Some((names, fields)) = known {
            if names.iter().all(has_name) {
                return Ok(fields);
            }
        }
        let mut names = Names::new();
        let fields = memberships.iter().map(|membership| {
            let index = membership.interface;
            let name = names.entry(index).or_insert_with(|| interner.interface(py, index));
            let (sources, excluded) = sources_as_text(membership.sources.clone());
            let name = name.as_ref().map(|name| name.clone_ref(py));
            (membership.group.to_string(), name, (index != 0).then_some(index), sources, excluded)
        });
        let fields = PyTuple::new(py, fields.collect::<Vec<_>>())?.unbind();
        let snapshot = Snapshot { memberships, names, fields: fields.clone_ref(py) };
        let last = self.lock().replace(snapshot);
        // Not under the lock: the release of objects can run any Python code.
        drop(last);
        Ok(fields)
    }

    /// While this lock is held, no Python object is made or released: that could run any code.
    fn lock(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cloned(py: Python<'_>, names: &Names) -> Names {
    names.iter().map(|(index, name)| (*index, name.as_ref().map(|name| name.clone_ref(py)))).collect()
}

fn text(py: Python<'_>, name: Option<&Py<PyString>>) -> Option<String> {
    name.map(|name| name.bind(py).to_string_lossy().into_owned())
}
