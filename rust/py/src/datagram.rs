//! One received datagram, as Python sees it.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// One received datagram. Immutable.
///
/// ::
///
///     with multicast.Receiver("239.1.2.3:5000") as rx:
///         msg = rx.recv(timeout=1.0)
///     host, port = msg.sender
///     print(f"{len(msg)} bytes from {host} on {msg.interface}")
///     payload = bytes(msg)
///
/// A field that the platform cannot fill is `None`, never a guess.
/// Datagrams can be compared, hashed and pickled.
#[pyclass(frozen, module = "multicast")]
pub(crate) struct Datagram {
    /// The payload.
    #[pyo3(get)]
    pub(crate) data: Py<PyBytes>,
    /// `(host, port)` of the sender; the host of a link-local IPv6 address with
    /// its zone, as in `fe80::1%eth0`.
    #[pyo3(get)]
    pub(crate) sender: Py<PyTuple>,
    /// The address that it was sent to, as text: the group or, for an answer to
    /// a sender, an address of this machine.
    #[pyo3(get)]
    pub(crate) group: Option<Py<PyString>>,
    /// Name of the interface that received it; `None` also if the interface no
    /// longer exists.
    #[pyo3(get)]
    pub(crate) interface: Option<Py<PyString>>,
    /// Index of the interface that received it.
    #[pyo3(get)]
    pub(crate) interface_index: Option<u32>,
    /// When the kernel received it, in nanoseconds since the Unix epoch.
    #[pyo3(get)]
    pub(crate) timestamp_ns: Option<i64>,
    /// Number of router hops that it had left (IPv6: hop limit).
    #[pyo3(get)]
    pub(crate) ttl: Option<u8>,
    /// Whether its end is missing, because it was longer than a UDP datagram
    /// can be, or metadata is missing, because the kernel had no room for it.
    #[pyo3(get)]
    pub(crate) truncated: bool,
}

/// The most bytes of the payload that `repr` shows.
const SHOWN: usize = 64;

type Parts<'py> = (
    &'py Bound<'py, PyBytes>,
    &'py Bound<'py, PyTuple>,
    Option<&'py Bound<'py, PyString>>,
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
            self.interface.as_ref().map(|interface| interface.bind(py)),
            self.interface_index,
            self.timestamp_ns,
            self.ttl,
            self.truncated,
        )
    }
}

#[pymethods]
impl Datagram {
    #[new]
    #[pyo3(signature = (data, sender, group=None, interface=None, interface_index=None, timestamp_ns=None, ttl=None,
                        truncated=false))]
    #[expect(clippy::too_many_arguments, reason = "one for each field")]
    fn new(
        data: Py<PyBytes>,
        sender: Py<PyTuple>,
        group: Option<Py<PyString>>,
        interface: Option<Py<PyString>>,
        interface_index: Option<u32>,
        timestamp_ns: Option<i64>,
        ttl: Option<u8>,
        truncated: bool,
    ) -> Self {
        Self { data, sender, group, interface, interface_index, timestamp_ns, ttl, truncated }
    }

    fn __bytes__(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data.clone_ref(py)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.data.as_bytes(py).len()
    }

    fn __bool__(&self) -> bool {
        // An empty datagram is still a datagram: `if msg` must not lose it.
        true
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Self>() else { return Ok(false) };
        let other = other.get();
        let plain = |d: &Self| (d.interface_index, d.timestamp_ns, d.ttl, d.truncated);
        let same_text = |mine: &Option<Py<PyString>>, theirs: &Option<Py<PyString>>| match (mine, theirs) {
            (Some(mine), Some(theirs)) => mine.bind(py).as_any().eq(theirs.bind(py)),
            (None, None) => Ok(true),
            _ => Ok(false),
        };
        Ok(plain(self) == plain(other)
            && self.data.as_bytes(py) == other.data.as_bytes(py)
            && self.sender.bind(py).eq(other.sender.bind(py))?
            && same_text(&self.group, &other.group)?
            && same_text(&self.interface, &other.interface)?)
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
        let (data, sender, group, interface, interface_index, timestamp_ns, ttl, truncated) = self.parts(py);
        let length = data.as_bytes().len();
        let data = if length <= SHOWN {
            data.repr()?.to_string()
        } else {
            format!("{}... ({length} bytes)", PyBytes::new(py, &data.as_bytes()[..SHOWN]).repr()?)
        };
        let text = |value: Option<&Bound<'_, PyString>>| {
            value.map_or_else(|| Ok("None".to_owned()), |value| value.repr().map(|text| text.to_string()))
        };
        let number = |value: Option<i64>| value.map_or_else(|| "None".to_owned(), |value| value.to_string());
        Ok(format!(
            "Datagram(data={data}, sender={}, group={}, interface={}, interface_index={}, timestamp_ns={}, ttl={}, \
             truncated={})",
            sender.repr()?,
            text(group)?,
            text(interface)?,
            number(interface_index.map(i64::from)),
            number(timestamp_ns),
            number(ttl.map(i64::from)),
            if truncated { "True" } else { "False" },
        ))
    }
}
