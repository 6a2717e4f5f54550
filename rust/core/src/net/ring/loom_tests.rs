//! Models for loom, which tries every order in which their threads can run. No wait times out here: a missing wake-up
//! is a deadlock, which loom reports.

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use super::samples::batch;
use super::shared_queue::SharedQueue;
use crate::error::Error;
use crate::net::config::{RingConfig, RingPolicy};

fn check(capacity: usize, policy: RingPolicy, model: impl Fn(Arc<SharedQueue>) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || model(Arc::new(SharedQueue::new(RingConfig { capacity, policy }, 5000))));
}

/// Take one datagram, as `recv` does.
fn receive(ring: &SharedQueue) -> Option<u8> {
    loop {
        if let Some(byte) = ring.next(|datagram| datagram.data[0]) {
            return Some(byte);
        }
        match ring.fetch().and_then(|found| if found { Ok(()) } else { ring.wait(None).map(|_| ()) }) {
            Ok(()) => {}
            Err(Error::Closed(_)) => return None,
            Err(e) => panic!("{e}"),
        }
    }
}

/// Take some datagrams together, as `recv_batch` does.
fn receive_batch(ring: &SharedQueue, max: usize) -> Vec<u8> {
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
fn loom_two_consumers_get_one_datagram_each() {
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
        assert_eq!(ring.totals().dropped.datagrams(), 0);
    });
}

#[test]
fn loom_single_and_batch_consumers_share_the_queue() {
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
fn loom_full_ring_waits_for_its_consumer() {
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
fn loom_close_wakes_every_thread_and_counts_the_rest() {
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
        let totals = ring.totals();
        assert_eq!((totals.kept.datagrams(), totals.dropped.datagrams()), (found as u64, 2 - found as u64));
    });
}

#[test]
fn loom_failure_reaches_one_consumer() {
    check(1, RingPolicy::DropNewest, |ring| {
        let thread = thread::spawn({
            let ring = Arc::clone(&ring);
            move || assert!(ring.fail(Error::Unsupported("once".into())) && ring.put(&batch(&[b"a"])))
        });
        let mut errors = 0;
        let found = loop {
            match ring.take(1) {
                Ok(Some(taken)) => break taken.len(),
                Ok(None) => _ = ring.wait(None).unwrap(),
                Err(_) => errors += 1,
            }
        };
        thread.join().unwrap();
        assert_eq!((errors, found), (1, 1));
    });
}
