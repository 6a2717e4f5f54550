//! The shared queue between real threads. Tests that need sockets are in Python.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::samples::{Random, batch};
use super::shared_queue::SharedQueue;
use crate::error::{Error, Result};
use crate::net::config::{RingConfig, RingPolicy};
use crate::pure::wake::Wake;

const PATIENCE: Duration = Duration::from_secs(20);

fn queue(capacity: usize, policy: RingPolicy) -> SharedQueue {
    SharedQueue::new(RingConfig { capacity, policy }, 5000)
}

/// Put in the numbers up to `count`, some at a time.
fn produce(ring: &SharedQueue, count: u32) -> bool {
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

/// Take until the queue is closed, singly or in batches at random.
fn consume(ring: &SharedQueue, seed: u64) -> Vec<u32> {
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

/// With several consumers, every number is taken once or counted as dropped, and each consumer sees them in order.
fn check_every_number(policy: RingPolicy, capacity: usize, count: u32) -> u64 {
    let ring = queue(capacity, policy);
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
    assert!(all.is_sorted_by(|a, b| a < b), "no number is taken twice");
    let dropped = ring.totals().dropped.datagrams();
    assert_eq!(all.len() as u64 + dropped, u64::from(count));
    assert_eq!(ring.totals().kept.datagrams(), all.len() as u64);
    dropped
}

#[test]
fn queue_with_several_consumers_loses_and_repeats_nothing() {
    let dropped = check_every_number(RingPolicy::Block, 100, 50_000);
    // Only what was left at the close: the content of the ring and of the hand.
    assert!(dropped <= 164, "{dropped}");
    check_every_number(RingPolicy::DropOldest, 100, 50_000);
    check_every_number(RingPolicy::DropNewest, 100, 50_000);
}

#[test]
fn close_wakes_consumers_and_the_producer() {
    let ring = queue(1, RingPolicy::Block);
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
    assert_eq!(ring.totals().dropped.datagrams(), 3);
    assert!(matches!(ring.take(1), Err(Error::Closed(_))));
    assert!(matches!(ring.fetch(), Err(Error::Closed(_))));
    assert!(matches!(ring.wait(None), Err(Error::Closed(_))));
    assert!(ring.next(|_| ()).is_none());

    let ring = queue(1, RingPolicy::Block);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| ring.wait(Some(PATIENCE)));
        ring.close();
        assert!(matches!(waiter.join().unwrap(), Err(Error::Closed(_))));
    });
}

#[test]
fn failure_is_returned_once_after_earlier_datagrams() {
    let ring = queue(10, RingPolicy::DropOldest);
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
fn ready_socket_is_readable_while_there_is_something_to_take() {
    let ring = queue(10, RingPolicy::DropOldest);
    let readable =
        || ring.with_ready_socket(|socket| socket.peek(&mut [std::mem::MaybeUninit::new(0)]).is_ok()).unwrap();
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
    assert_eq!(ring.pending(), 0);
}

#[test]
fn consumer_asleep_wakes_for_a_datagram_in_the_hand() {
    // Two consumers take one datagram each: the second one may find its datagram in the hand only.
    for _ in 0..500 {
        let ring = queue(10, RingPolicy::DropOldest);
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

#[test]
fn nap_lasts_while_there_is_something_to_take() {
    let ring = queue(10, RingPolicy::Block);
    let time_of = |ring: &SharedQueue, time| {
        let start = Instant::now();
        ring.nap(time);
        start.elapsed()
    };
    assert!(time_of(&ring, PATIENCE) < PATIENCE / 2, "nothing to take");
    assert!(ring.put(&batch(&[b"one", b"two"])));
    let short = Duration::from_millis(2);
    // Some clocks end a wait one tick early.
    assert!(time_of(&ring, short) > short / 2);
    thread::scope(|scope| {
        let nap = scope.spawn(|| time_of(&ring, PATIENCE));
        let taken = scope.spawn(|| {
            assert_eq!(ring.take(1).unwrap().unwrap().len(), 1);
            // Time for the nap to begin. If it begins later, it finds nothing to take, and must end as well.
            thread::sleep(Duration::from_millis(20));
            assert_eq!(ring.take(5).unwrap().unwrap().len(), 1);
        });
        taken.join().unwrap();
        assert!(nap.join().unwrap() < PATIENCE / 2);
    });
    assert!(ring.put(&batch(&[b"three"])));
    ring.close();
    assert!(time_of(&ring, PATIENCE) < PATIENCE / 2, "closed");
}
