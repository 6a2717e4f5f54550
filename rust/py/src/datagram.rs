//! One received datagram as Python sees it.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// One received datagram. Immutable.
///
/// What the platform cannot tell is `None`, never a guess.
#[pyclass(frozen, module = "multicast")]
pub(crate) struct Datagram {
    /// The payload, `bytes`.
    #[pyo3(get)]
    pub(crate) data: Py<PyBytes>,
    /// `(host, port)` of the sender; a link-local IPv6 host with its zone.
    #[pyo3(get)]
    pub(crate) sender: Py<PyTuple>,
    /// The group it was sent to, as text.
    #[pyo3(get)]
    pub(crate) group: Option<Py<PyString>>,
    /// Index of the interface it came in by.
    #[pyo3(get)]
    pub(crate) interface: Option<u32>,
    /// When the kernel received it, in nanoseconds since the Unix epoch.
    #[pyo3(get)]
    pub(crate) timestamp_ns: Option<i64>,
    /// Its remaining hops (IPv6: hop limit).
    #[pyo3(get)]
    pub(crate) ttl: Option<u8>,
    /// The end of it is missing, because it was longer than any UDP datagram may be, or of what the kernel told of it.
    #[pyo3(get)]
    pub(crate) truncated: bool,
}

type Parts<'py> = (
    &'py Bound<'py, PyBytes>,
    &'py Bound<'py, PyTuple>,
    Option<&'py Bound<'py, PyString>>,
    Option<u32>,
    Option<i64>,
    Option<u8>,
    bool,
);

impl Datagram {
    fn parts<'py>(&'py self, py: Python<'py>) -> Parts<'py> {
        (
            self.data.bind(py),
            self.sender.bind(py),
            self.group.as_ref().map(|group| group.bind(py)),
            self.interface,
            self.timestamp_ns,
            self.ttl,
            self.truncated,
        )
    }
}

#[pymethods]
impl Datagram {
    #[new]
    #[pyo3(signature = (data, sender, group=None, interface=None, timestamp_ns=None, ttl=None, truncated=false))]
    fn new(
        data: Py<PyBytes>,
        sender: Py<PyTuple>,
        group: Option<Py<PyString>>,
        interface: Option<u32>,
        timestamp_ns: Option<i64>,
        ttl: Option<u8>,
        truncated: bool,
    ) -> Self {
        Self { data, sender, group, interface, timestamp_ns, ttl, truncated }
    }

    fn __bytes__(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data.clone_ref(py)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.data.as_bytes(py).len()
    }

    fn __bool__(&self) -> bool {
        // An empty datagram is a datagram: `if msg` must not lose it.
        true
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Self>() else { return Ok(false) };
        let other = other.get();
        let plain = |d: &Self| (d.interface, d.timestamp_ns, d.ttl, d.truncated);
        Ok(plain(self) == plain(other)
            && self.data.as_bytes(py) == other.data.as_bytes(py)
            && self.sender.bind(py).eq(other.sender.bind(py))?
            && match (&self.group, &other.group) {
                (Some(mine), Some(theirs)) => mine.bind(py).as_any().eq(theirs.bind(py))?,
                (None, None) => true,
                _ => false,
            })
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        (self.data.as_bytes(py), self.sender.bind(py).hash()?, self.timestamp_ns).hash(&mut hasher);
        Ok(hasher.finish())
    }

    fn __reduce__<'py>(slf: &'py Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Parts<'py>)> {
        Ok((slf.get_type().into_any(), slf.get().parts(slf.py())))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (data, sender, group, interface, timestamp_ns, ttl, truncated) = self.parts(py);
        let option = |value: Option<String>| value.unwrap_or_else(|| "None".to_owned());
        Ok(format!(
            "Datagram(data={}, sender={}, group={}, interface={}, timestamp_ns={}, ttl={}, truncated={})",
            data.repr()?,
            sender.repr()?,
            option(group.map(|group| group.repr().map(|text| text.to_string())).transpose()?),
            option(interface.map(|n| n.to_string())),
            option(timestamp_ns.map(|n| n.to_string())),
            option(ttl.map(|n| n.to_string())),
            if truncated { "True" } else { "False" },
        ))
    }
}
