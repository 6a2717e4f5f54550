//! Every order in which the threads of a small model can run, tried by loom. A wait here never times out: what would
//! only be noticed by the next tick of a waiting consumer is a deadlock, which loom reports.

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use super::handover::Handover;
use super::samples::batch;
use super::{RingConfig, RingPolicy};
use crate::Error;

fn check(capacity: usize, policy: RingPolicy, model: impl Fn(Arc<Handover>) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || model(Arc::new(Handover::new(RingConfig { capacity, policy }, 5000))));
}

/// Takes one datagram, singly, as `recv` does.
fn receive(ring: &Handover) -> Option<u8> {
    loop {
        if let Some(octet) = ring.next(|datagram| datagram.data[0]) {
            return Some(octet);
        }
        match ring.fetch().and_then(|found| if found { Ok(()) } else { ring.wait(None).map(|_| ()) }) {
            Ok(()) => {}
            Err(Error::Closed(_)) => return None,
            Err(e) => panic!("{e}"),
        }
    }
}

/// Takes some datagrams at once, as `recv_batch` does.
fn receive_batch(ring: &Handover, max: usize) -> Vec<u8> {
    loop {
        match ring.take(max) {
            Ok(Some(taken)) => return taken.iter().map(|datagram| datagram.data[0]).collect(),
            Ok(None) => match ring.wait(None) {
                Ok(_) => {}
                Err(Error::Closed(_)) => return Vec::new(),
                Err(e) => panic!("{e}"),
            },
            Err(Error::Closed(_)) => return Vec::new(),
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn loom_two_consumers_get_one_each_of_what_comes_together() {
    check(4, RingPolicy::DropOldest, |ring| {
        let others: Vec<_> = (0..2)
            .map(|_| {
                let ring = Arc::clone(&ring);
                thread::spawn(move || receive(&ring))
            })
            .collect();
        assert!(ring.put(&batch(&[b"a", b"b"])));
        let mut found: Vec<_> = others.into_iter().filter_map(|other| other.join().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, b"ab");
        assert_eq!(ring.account().dropped.datagrams(), 0);
    });
}

#[test]
fn loom_singly_and_in_batches_at_once() {
    check(4, RingPolicy::DropOldest, |ring| {
        let single = thread::spawn({
            let ring = Arc::clone(&ring);
            move || receive(&ring)
        });
        let thread = thread::spawn({
            let ring = Arc::clone(&ring);
            move || assert!(ring.put(&batch(&[b"a"])) && ring.put(&batch(&[b"b"])))
        });
        let mut found = receive_batch(&ring, 1);
        found.extend(single.join().unwrap());
        thread.join().unwrap();
        found.sort_unstable();
        assert_eq!(found, b"ab");
    });
}

#[test]
fn loom_a_full_ring_waits_for_its_consumer() {
    check(1, RingPolicy::Block, |ring| {
        let thread = thread::spawn({
            let ring = Arc::clone(&ring);
            move || assert!(ring.put(&batch(&[b"a", b"b", b"c"])))
        });
        let mut found = Vec::new();
        while found.len() < 3 {
            found.extend(receive_batch(&ring, 2));
        }
        thread.join().unwrap();
        assert_eq!(found, b"abc");
    });
}

#[test]
fn loom_closing_wakes_everybody_and_counts_the_rest() {
    check(1, RingPolicy::Block, |ring| {
        let thread = thread::spawn({
            let ring = Arc::clone(&ring);
            move || ring.put(&batch(&[b"a", b"b"]))
        });
        let consumer = thread::spawn({
            let ring = Arc::clone(&ring);
            move || receive(&ring).into_iter().chain(receive(&ring)).count()
        });
        ring.close();
        thread.join().unwrap();
        let found = consumer.join().unwrap();
        let account = ring.account();
        assert_eq!((account.kept.datagrams(), account.dropped.datagrams()), (found as u64, 2 - found as u64));
    });
}

#[test]
fn loom_an_error_reaches_one_consumer() {
    check(1, RingPolicy::DropNewest, |ring| {
        let thread = thread::spawn({
            let ring = Arc::clone(&ring);
            move || assert!(ring.fail(Error::Unsupported("told once".into())) && ring.put(&batch(&[b"a"])))
        });
        let mut told = 0;
        let found = loop {
            match ring.take(1) {
                Ok(Some(taken)) => break taken.len(),
                Ok(None) => _ = ring.wait(None).unwrap(),
                Err(_) => told += 1,
            }
        };
        thread.join().unwrap();
        assert_eq!((told, found), (1, 1));
    });
}
