//! The ring between threads, by the real primitives. What needs sockets is tested from Python.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::handover::Handover;
use super::samples::{Random, batch};
use super::{RingConfig, RingPolicy};
use crate::net::Wake;
use crate::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(20);

fn handover(capacity: usize, policy: RingPolicy) -> Handover {
    Handover::new(RingConfig { capacity, policy }, 5000)
}

/// Puts the numbers up to `count` in, some at a time.
fn produce(ring: &Handover, count: u32) -> bool {
    let mut random = Random(7);
    let mut next = 0;
    while next < count {
        let end = count.min(next + 1 + random.below(100) as u32);
        let payloads: Vec<_> = (next..end).map(u32::to_be_bytes).collect();
        let slices: Vec<&[u8]> = payloads.iter().map(|payload| &payload[..]).collect();
        if !ring.put(&batch(&slices)) {
            return false;
        }
        next = end;
    }
    true
}

/// Takes until it is closed, in turns singly and in batches.
fn consume(ring: &Handover, seed: u64) -> Vec<u32> {
    let number = |data: &[u8]| u32::from_be_bytes(data.try_into().unwrap());
    let mut random = Random(seed);
    let mut found = Vec::new();
    let mut once = || -> Result<()> {
        if random.below(2) == 0 {
            match ring.next(|datagram| number(datagram.data)) {
                Some(one) => found.push(one),
                None if ring.fetch()? => {}
                None => assert_ne!(ring.wait(Some(PATIENCE))?, Wake::TimedOut),
            }
        } else if let Some(taken) = ring.take(random.below(50) + 1)? {
            found.extend(taken.iter().map(|datagram| number(datagram.data)));
        } else {
            assert_ne!(ring.wait(Some(PATIENCE))?, Wake::TimedOut);
        }
        Ok(())
    };
    while let Ok(()) = once() {}
    found
}

/// Several consumers: every number comes once or is counted as dropped, and each consumer sees them in order.
fn all_accounted_for(policy: RingPolicy, capacity: usize, count: u32) -> u64 {
    let ring = handover(capacity, policy);
    let found: Vec<Vec<u32>> = thread::scope(|scope| {
        let consumers: Vec<_> = (1..4)
            .map(|seed| {
                scope.spawn({
                    let ring = &ring;
                    move || consume(ring, seed)
                })
            })
            .collect();
        assert!(produce(&ring, count));
        ring.close();
        consumers.into_iter().map(|consumer| consumer.join().unwrap()).collect()
    });
    for one in &found {
        assert!(one.is_sorted_by(|a, b| a < b));
    }
    let mut all = found.concat();
    all.sort_unstable();
    assert!(all.is_sorted_by(|a, b| a < b), "no number comes twice");
    let dropped = ring.account().dropped.datagrams();
    assert_eq!(all.len() as u64 + dropped, u64::from(count));
    assert_eq!(ring.account().kept.datagrams(), all.len() as u64);
    dropped
}

#[test]
fn nothing_is_lost_or_doubled() {
    let dropped = all_accounted_for(RingPolicy::Block, 100, 50_000);
    // Only what was left when it was closed: the content of the ring and of the hand.
    assert!(dropped <= 164, "{dropped}");
    all_accounted_for(RingPolicy::DropOldest, 100, 50_000);
    all_accounted_for(RingPolicy::DropNewest, 100, 50_000);
}

#[test]
fn closing_wakes_consumers_and_the_thread() {
    let ring = handover(1, RingPolicy::Block);
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let producer = scope.spawn(|| {
            assert!(ring.put(&batch(&[b"in"])));
            barrier.wait();
            ring.put(&batch(&[b"waits", b"too"]))
        });
        barrier.wait();
        ring.close();
        assert!(!producer.join().unwrap());
    });
    assert_eq!(ring.account().dropped.datagrams(), 3);
    assert!(matches!(ring.take(1), Err(Error::Closed(_))));
    assert!(matches!(ring.fetch(), Err(Error::Closed(_))));
    assert!(matches!(ring.wait(None), Err(Error::Closed(_))));
    assert!(ring.next(|_| ()).is_none());

    let ring = handover(1, RingPolicy::Block);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| ring.wait(Some(PATIENCE)));
        ring.close();
        assert!(matches!(waiter.join().unwrap(), Err(Error::Closed(_))));
    });
}

#[test]
fn an_error_comes_after_what_was_received_before_it_and_once() {
    let ring = handover(10, RingPolicy::DropOldest);
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            assert!(ring.put(&batch(&[b"before"])));
            assert!(ring.fail(Error::system("receive", std::io::Error::from_raw_os_error(5))));
            ring.put(&batch(&[b"after"]))
        });
        let mut outcomes = Vec::new();
        while outcomes.len() < 3 {
            match ring.take(1) {
                Ok(Some(taken)) => outcomes.push(String::from_utf8(taken.get(0).unwrap().data.to_vec()).unwrap()),
                Ok(None) => assert_ne!(ring.wait(Some(PATIENCE)).unwrap(), Wake::TimedOut),
                Err(e) => outcomes.push(format!("{:?}", e.os_error())),
            }
        }
        assert_eq!(outcomes, ["before", "Some(5)", "after"]);
        assert!(thread.join().unwrap());
    });
    assert_eq!(ring.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
}

#[test]
fn the_bell_tells_whether_there_is_something() {
    let ring = handover(10, RingPolicy::DropOldest);
    let readable = || ring.with_bell(|socket| socket.peek(&mut [std::mem::MaybeUninit::new(0)]).is_ok()).unwrap();
    assert!(ring.put(&batch(&[b"before it was hung up"])));
    assert!(readable());
    assert!(ring.take(5).unwrap().is_some());
    assert!(!readable());
    assert!(ring.put(&batch(&[b"a", b"b"])));
    assert!(ring.put(&batch(&[b"c"])));
    for _ in 0..3 {
        assert!(readable());
        assert!(ring.fetch().unwrap());
        assert!(readable());
        assert!(ring.next(|_| ()).is_some());
    }
    assert!(!readable());
    assert!(!ring.fetch().unwrap());
    assert_eq!(ring.held(), 0);
}

#[test]
fn who_sleeps_is_told_of_what_another_took_to_hand() {
    // Two consumers that take one datagram each: the second may find it in the hand of the first only.
    for _ in 0..500 {
        let ring = handover(10, RingPolicy::DropOldest);
        let taken = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while ring.next(|_| ()).is_none() {
                        if !ring.fetch().unwrap() {
                            assert_ne!(ring.wait(Some(PATIENCE)).unwrap(), Wake::TimedOut);
                        }
                    }
                    taken.fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(ring.put(&batch(&[b"a", b"b"])));
        });
        assert_eq!(taken.into_inner(), 2);
    }
}
