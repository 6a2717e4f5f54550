//! The packets of one capture file after the other, or of a pipe.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Instant;

use super::reader::{Packet, PacketReader, ReadError};
use crate::error::{Error, Result};
use crate::sys;

/// The name that stands for standard input.
const STANDARD_INPUT: &str = "-";
/// Bytes that are read from a file at once.
const BUFFER: usize = 1 << 18;
/// Packets of a pipe that are read ahead.
const PIPE_PACKETS: usize = 1024;

/// The next item of a source.
#[derive(Debug)]
pub(super) enum Next {
    /// A packet, whose bytes are in the source.
    Packet(Packet),
    /// The end of the last file.
    Ended,
    /// The pipe has no packet yet.
    Waiting,
}

/// Where packets are read from.
#[derive(Debug)]
pub(super) struct Source {
    /// The files in order of time, with their sizes. A pipe is alone.
    files: Vec<(PathBuf, u64)>,
    /// The number of the file that is read.
    current: usize,
    input: Input,
    /// A file ended in the middle of a packet.
    is_cut: bool,
}

#[derive(Debug)]
enum Input {
    File(PacketReader<BufReader<File>>),
    Pipe { packets: Receiver<Piped>, latest: Vec<u8> },
}

/// A message of the thread that reads a pipe.
#[derive(Debug)]
enum Piped {
    Packet(Packet, Vec<u8>),
    Failed(Error),
    Ended { is_cut: bool },
}

impl Source {
    /// Open one file, several, which are sorted by the time of their first packet, or one pipe.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            let size = file_size(path)?;
            if paths.len() == 1 {
                let input = if size.is_some() { Input::File(open(path)?) } else { Input::pipe(path.clone())? };
                return Ok(Self { files: vec![(path.clone(), size.unwrap_or(0))], current: 0, input, is_cut: false });
            }
            let Some(size) = size else {
                let text = format!("several captures must be files, got {}, which cannot be read twice", name(path));
                return Err(Error::Invalid(text));
            };
            files.push((first_time(path)?, path.clone(), size));
        }
        // Files without packets come first.
        files.sort_by_key(|(time, ..)| *time);
        let files: Vec<_> = files.into_iter().map(|(_, path, size)| (path, size)).collect();
        let Some((first, _)) = files.first() else { return Err(Error::Invalid("captures must be one or more".into())) };
        Ok(Self { input: Input::File(open(first)?), files, current: 0, is_cut: false })
    }

    /// The file that is read now, in words.
    pub(super) fn name(&self) -> String {
        name(&self.files[self.current].0)
    }

    /// Whether it can be read again from its beginning.
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(self.input, Input::File(_))
    }

    /// Whether a file ended in the middle of a packet.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The share that was read, from 0 to 1; `None` if the size is unknown.
    pub(super) fn progress(&self) -> Option<f64> {
        let Input::File(reader) = &self.input else { return None };
        let sum = |files: &[(PathBuf, u64)]| files.iter().map(|(_, size)| size).sum::<u64>();
        let read = sum(&self.files[..self.current]) + reader.position();
        Some(read as f64 / sum(&self.files).max(1) as f64)
    }

    /// The bytes of the packet that was read last.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.input {
            Input::File(reader) => reader.bytes(),
            Input::Pipe { latest, .. } => latest,
        }
    }

    /// Read the next packet. If a pipe has none, this waits until the given moment.
    pub(super) fn next(&mut self, until: Option<Instant>) -> Result<Next> {
        loop {
            match &mut self.input {
                Input::Pipe { packets, latest } => {
                    let left = until.map_or_else(Default::default, |at| at.saturating_duration_since(Instant::now()));
                    return Ok(match packets.recv_timeout(left) {
                        Ok(Piped::Packet(packet, bytes)) => {
                            *latest = bytes;
                            Next::Packet(packet)
                        }
                        Ok(Piped::Failed(error)) => return Err(error),
                        Ok(Piped::Ended { is_cut }) => {
                            self.is_cut |= is_cut;
                            Next::Ended
                        }
                        Err(RecvTimeoutError::Timeout) => Next::Waiting,
                        Err(RecvTimeoutError::Disconnected) => Next::Ended,
                    });
                }
                Input::File(reader) => {
                    if let Some(packet) = reader.next().map_err(|e| read_error(&self.files[self.current].0, e))? {
                        return Ok(Next::Packet(packet));
                    }
                    self.is_cut |= reader.is_cut();
                    let Some((next, _)) = self.files.get(self.current + 1) else { return Ok(Next::Ended) };
                    self.input = Input::File(open(next)?);
                    self.current += 1;
                }
            }
        }
    }

    /// Begin again with the first file.
    pub(super) fn rewind(&mut self) -> Result<()> {
        let (first, size) = &mut self.files[0];
        (self.input, self.current) = (Input::File(open(first)?), 0);
        // It may have grown.
        *size = file_size(first)?.unwrap_or(*size);
        Ok(())
    }
}

impl Input {
    /// Read a pipe in a thread, which ends with the pipe, or with the next packet after this input was dropped.
    fn pipe(path: PathBuf) -> Result<Self> {
        let (sender, packets) = mpsc::sync_channel(PIPE_PACKETS);
        let failed = |e| Error::file(format!("start the thread that reads {}", name(&path)), e);
        let (builder, its) = (thread::Builder::new().name("multicast-pipe".into()), path.clone());
        sys::with_signals_blocked(|| builder.spawn(move || read_pipe(&its, &sender))).map_err(failed)?;
        Ok(Self::Pipe { packets, latest: Vec::new() })
    }
}

fn read_pipe(path: &Path, sender: &SyncSender<Piped>) {
    let last = send_packets(path, sender).map_or_else(Piped::Failed, |is_cut| Piped::Ended { is_cut });
    // If the player was closed in the meantime, nothing receives it.
    drop(sender.send(last));
}

/// Send all packets of a pipe. Returns whether it ended in the middle of one.
fn send_packets(path: &Path, sender: &SyncSender<Piped>) -> Result<bool> {
    let input: Box<dyn Read> = if path == Path::new(STANDARD_INPUT) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|e| Error::file(format!("open {}", name(path)), e))?)
    };
    let failed = |error| read_error(path, error);
    let mut reader = PacketReader::open(BufReader::with_capacity(BUFFER, input)).map_err(failed)?;
    while let Some(packet) = reader.next().map_err(failed)? {
        if sender.send(Piped::Packet(packet, reader.bytes().to_vec())).is_err() {
            break;
        }
    }
    Ok(reader.is_cut())
}

fn open(path: &Path) -> Result<PacketReader<BufReader<File>>> {
    let file = File::open(path).map_err(|e| Error::file(format!("open {}", name(path)), e))?;
    PacketReader::open(BufReader::with_capacity(BUFFER, file)).map_err(|e| read_error(path, e))
}

/// The size of a file; `None` for a pipe. A directory counts as a file, which the system refuses to read.
fn file_size(path: &Path) -> Result<Option<u64>> {
    if path == Path::new(STANDARD_INPUT) {
        return Ok(None);
    }
    let about = fs::metadata(path).map_err(|e| Error::file(format!("open {}", name(path)), e))?;
    Ok((about.is_file() || about.is_dir()).then_some(about.len()))
}

/// The time of the first packet of a file; `None` if it has none.
fn first_time(path: &Path) -> Result<Option<u64>> {
    let packet = open(path)?.next().map_err(|e| read_error(path, e))?;
    Ok(packet.map(|packet| packet.timestamp_ns))
}

fn name(path: &Path) -> String {
    if path == Path::new(STANDARD_INPUT) { "standard input".into() } else { path.display().to_string() }
}

fn read_error(path: &Path, error: ReadError) -> Error {
    match error {
        ReadError::System(error) => Error::file(format!("read {}", name(path)), error),
        ReadError::Damaged(reason) => Error::Invalid(format!("cannot read {}: {reason}", name(path))),
    }
}
