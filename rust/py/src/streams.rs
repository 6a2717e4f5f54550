//! `multicast._core._Streams` and `_Wire`: the statistics of streams, for `multicast.apps.streams` and
//! `multicast.apps.wire`.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use multicast_core::net;
use multicast_core::pure::streams::burst::Amount;
use multicast_core::pure::streams::sequence::Counts;
use multicast_core::pure::streams::stream::{Arrival, Kind, Stream};
use multicast_core::pure::streams::table::{Key, Streams};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::Batch;
use crate::convert;
use crate::datagram::Datagram;
use crate::errors::to_python;
use crate::interner::host;

/// A gap: the first and the last missing number, and when the datagrams around it arrived.
type Gap = (u64, u64, i64, i64);

/// The statistics of streams.
#[pyclass(frozen, module = "multicast._core")]
#[derive(Default)]
pub(crate) struct _Streams {
    /// Only locked without the GIL, because the lock is held while many packets are read.
    table: Mutex<Streams>,
    /// The names of interfaces at the last look. One that is gone keeps its name.
    names: Mutex<HashMap<u32, String>>,
}

impl _Streams {
    /// A thread that panicked leaves counters that are still right.
    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the names of all interfaces seen so far. Those in `interfaces` are looked up again, because they may
    /// have been renamed.
    fn names_now(&self, interfaces: impl Iterator<Item = u32>) -> HashMap<u32, String> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for index in interfaces.collect::<HashSet<_>>() {
            if let Some(name) = net::interface_name(index) {
                names.insert(index, name);
            }
        }
        names.clone()
    }

    /// Returns the result of `read` for a stream.
    fn with<T: Send>(&self, py: Python<'_>, number: usize, read: impl FnOnce(&Stream) -> T + Send) -> PyResult<T> {
        py.detach(|| {
            let table = self.lock();
            table.get(number).map(read).ok_or_else(|| table.iter().len())
        })
        .map_err(|most| PyIndexError::new_err(format!("number must be below {most}, got {number}")))
    }
}

#[pymethods]
impl _Streams {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Account for the datagrams of a batch, which were sent to `port`.
    ///
    /// Args:
    ///     batch: the batch.
    ///     port: the port of its receiver.
    ///     now_ns: the time of datagrams of which the system does not say when they arrived.
    fn add(&self, py: Python<'_>, batch: &Batch, port: u16, now_ns: i64) {
        py.detach(|| {
            let mut table = self.lock();
            for datagram in batch.core().iter() {
                let origin = datagram.origin;
                let arrival = Arrival {
                    time_ns: origin.timestamp_ns.unwrap_or(now_ns),
                    interface: origin.interface,
                    ttl: origin.ttl,
                    dscp: None,
                };
                table.add(&Key { sender: origin.sender, group: origin.group, port }, datagram.data, arrival);
            }
        });
    }

    /// Account for one datagram, as `add` does for a batch.
    fn add_datagram(&self, py: Python<'_>, datagram: &Datagram, port: u16, now_ns: i64) -> PyResult<()> {
        let (sender, interface) = convert::origin(py, datagram)?;
        let group = match &datagram.group {
            Some(group) => Some(group.bind(py).to_str()?.parse()?),
            None => None,
        };
        let time_ns = datagram.timestamp_ns.unwrap_or(now_ns);
        let arrival = Arrival { time_ns, interface, ttl: datagram.ttl, dscp: None };
        let payload = datagram.data.bind(py).as_bytes();
        py.detach(|| self.lock().add(&Key { sender, group, port }, payload, arrival));
        Ok(())
    }

    /// Return the fields of `multicast.apps.streams.Stream` for each stream, in the order in which they began.
    fn look<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let found: Vec<_> = py.detach(|| {
            let table = self.lock();
            table.iter().map(|(key, stream)| (*key, stream.last, Figures::of(stream))).collect()
        });
        let names = py.detach(|| self.names_now(found.iter().map(|(_, last, _)| last.interface)));
        found.into_iter().map(|(key, last, figures)| figures.fields(py, &names, &key, last)).collect()
    }

    /// Return the gaps of a stream, in order.
    fn gaps(&self, py: Python<'_>, number: usize) -> PyResult<Vec<Gap>> {
        self.with(py, number, |stream| {
            stream.gaps().map(|gap| (gap.first, gap.last, gap.since_ns, gap.until_ns)).collect()
        })
    }

    /// Return percentiles of the delays of a stream, less that of the first datagram, in nanoseconds; None if it has
    /// none.
    fn delays(&self, py: Python<'_>, number: usize, percents: Vec<f64>) -> PyResult<Option<Vec<i64>>> {
        self.with(py, number, |stream| {
            let (delays, _) = stream.delays()?;
            percents.into_iter().map(|percent| delays.percentile(percent)).collect()
        })
    }

    /// Datagrams of streams that are not listed because there are too many.
    #[getter]
    fn unlisted(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.lock().unlisted())
    }
}

/// The figures of a stream at one time.
struct Figures {
    kind: Kind,
    received: u64,
    bytes: u64,
    first_ns: i64,
    counts: Option<Counts>,
    jitter_ns: Option<f64>,
    burst: Amount,
    delay: Option<(i64, i64, i64)>,
}

impl Figures {
    fn of(stream: &Stream) -> Self {
        let delay = stream.delays().and_then(|(delays, base)| {
            let (lowest, highest) = delays.range()?;
            Some((base, lowest, highest))
        });
        Self {
            kind: stream.kind(),
            received: stream.received,
            bytes: stream.bytes,
            first_ns: stream.first_ns,
            counts: stream.counts(),
            jitter_ns: stream.jitter_ns(),
            burst: stream.burst(),
            delay,
        }
    }

    fn fields<'py>(
        &self,
        py: Python<'py>,
        names: &HashMap<u32, String>,
        key: &Key,
        last: Arrival,
    ) -> PyResult<Bound<'py, PyDict>> {
        let kind = match self.kind {
            Kind::Unknown => "unknown",
            Kind::Rtp => "rtp",
            Kind::MpegTs => "mpegts",
            Kind::Numbered => "numbered",
            Kind::Iperf => "iperf",
        };
        let dict = PyDict::new(py);
        dict.set_item("group", key.group.map(|group| group.to_string()))?;
        dict.set_item("port", key.port)?;
        dict.set_item("sender", host(&key.sender, |zone| names.get(&zone).cloned()))?;
        dict.set_item("sender_port", key.sender.port())?;
        dict.set_item("interface", names.get(&last.interface))?;
        dict.set_item("ttl", last.ttl)?;
        dict.set_item("dscp", last.dscp)?;
        dict.set_item("kind", kind)?;
        dict.set_item("received", self.received)?;
        dict.set_item("bytes", self.bytes)?;
        dict.set_item("first_ns", self.first_ns)?;
        dict.set_item("last_ns", last.time_ns)?;
        dict.set_item("lost", self.counts.map(|counts| counts.lost))?;
        dict.set_item("duplicates", self.counts.map(|counts| counts.duplicates))?;
        // The counters of transport streams say nothing about the order.
        let reordered = self.counts.filter(|_| self.kind != Kind::MpegTs).map(|counts| counts.reordered);
        dict.set_item("reordered", reordered)?;
        dict.set_item("restarts", self.counts.map_or(0, |counts| counts.restarts))?;
        dict.set_item("jitter_us", self.jitter_ns.map(|jitter| jitter / 1000.0))?;
        dict.set_item("burst_packets", self.burst.packets)?;
        dict.set_item("burst_bytes", self.burst.bytes)?;
        dict.set_item("burst_memory", self.burst.memory)?;
        dict.set_item("delays_ns", self.delay)?;
        Ok(dict)
    }
}

/// All datagrams to groups that arrive on an interface.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct _Wire {
    core: net::Wire,
}

#[pymethods]
impl _Wire {
    /// Open rings of about `size` bytes for the packets of the interface with this index.
    #[new]
    fn new(py: Python<'_>, interface: u32, size: usize) -> PyResult<Self> {
        let core = py.detach(|| net::Wire::open(interface, size)).map_err(to_python)?;
        Ok(Self { core })
    }

    /// Account for what has arrived since the last call, without waiting.
    ///
    /// Returns the datagrams, their bytes, the packets that were dropped because a ring was full, those with a wrong
    /// header or checksum, and the datagrams that lack a fragment.
    fn read(&self, py: Python<'_>, streams: &_Streams) -> PyResult<[u64; 5]> {
        let new = py.detach(|| self.core.read(&mut streams.lock())).map_err(to_python)?;
        Ok([new.received, new.bytes, new.dropped, new.invalid, new.unassembled])
    }
}
