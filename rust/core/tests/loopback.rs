//! The safe sockets on the loopback interface, as a Rust program uses them.
//!
//! No datagram leaves the host, in a private network or not: every sender and receiver names the loopback address. The
//! tests in `tests/wire` cover the same from Python.

use std::io::IoSlice;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use multicast_core::Error;
use multicast_core::net::{Batch, GroupSpec, Receiver, ReceiverConfig, Sender, SenderConfig, Wake};
use multicast_core::pure::address::InterfaceName;
use multicast_core::pure::filter::Sources;

const TIMEOUT: Duration = Duration::from_secs(10);

fn loopback() -> InterfaceName {
    InterfaceName::Address([127, 0, 0, 1].into())
}

fn group(last: u8) -> IpAddr {
    [239, 9, 8, last].into()
}

fn spec(last: u8) -> GroupSpec {
    GroupSpec { group: group(last), interface: loopback().into(), sources: Sources::Any }
}

fn receiver(groups: &[GroupSpec]) -> Receiver {
    Receiver::open(ReceiverConfig::default(), groups).unwrap()
}

fn sender(rx: &Receiver, last: u8) -> Sender {
    Sender::open(&SenderConfig {
        group: group(last),
        port: rx.port(),
        interface: loopback(),
        local: None,
        ttl: 1,
        dscp: None,
        loopback: true,
        send_buffer: None,
        coalesce: true,
        rate: None,
    })
    .unwrap()
}

fn send(tx: &Sender, messages: &[&[u8]]) {
    let slices: Vec<_> = messages.iter().map(|message| IoSlice::new(message)).collect();
    let mut done = 0;
    while done < slices.len() {
        done += tx.send(&slices[done..]).unwrap();
    }
}

/// Try, then wait: the loop that the crate leaves to its callers.
fn next(rx: &Receiver) -> Batch {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(batch) = rx.take(usize::MAX, usize::MAX).unwrap() {
            return batch;
        }
        assert!(Instant::now() < deadline, "nothing was received");
        rx.wait(Some(TIMEOUT)).unwrap();
    }
}

fn payloads(rx: &Receiver, count: usize) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(next(rx).iter().map(|datagram| datagram.data.to_vec()));
    }
    taken
}

#[test]
fn receiver_gets_what_was_sent_with_its_origin() {
    let rx = receiver(&[spec(7)]);
    let tx = sender(&rx, 7);
    let long = vec![5; 65_507];
    let messages: [&[u8]; 5] = [b"one", b"", b"two", b"two", &long];
    send(&tx, &messages);
    let batch = next(&rx);
    let origin = batch.get(0).unwrap().origin;
    assert_eq!((origin.sender.ip(), origin.group), ([127, 0, 0, 1].into(), Some(group(7))));
    assert!(!origin.truncated);
    let mut taken: Vec<_> = batch.iter().map(|datagram| datagram.data.to_vec()).collect();
    taken.extend(payloads(&rx, messages.len() - taken.len()));
    assert_eq!(taken, messages);
    assert_eq!((tx.stats().sent, rx.stats().unwrap().received), (5, 5));
}

#[test]
fn receiver_after_join_and_leave_gets_joined_groups_only() {
    let rx = receiver(&[spec(1), spec(2)]);
    let (to_first, to_third) = (sender(&rx, 1), sender(&rx, 3));
    send(&to_third, &[b"before"]);
    rx.join(&[spec(3)]).unwrap();
    send(&to_third, &[b"joined"]);
    assert_eq!(payloads(&rx, 1), [b"joined"]);
    rx.leave(&[group(3)], &InterfaceName::Default, &[]).unwrap();
    send(&to_third, &[b"after"]);
    send(&to_first, &[b"still joined"]);
    assert_eq!(payloads(&rx, 1), [b"still joined"]);
    assert!(matches!(rx.leave(&[group(3)], &InterfaceName::Default, &[]), Err(Error::Invalid(_))));
    assert!(matches!(rx.join(&[spec(1)]), Err(Error::Invalid(_))));
}

#[test]
fn wait_ends_at_its_timeout_or_at_close() {
    let rx = receiver(&[spec(7)]);
    assert_eq!(rx.wait(Some(Duration::from_millis(1))).unwrap(), Wake::TimedOut);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            loop {
                match rx.wait(Some(TIMEOUT)) {
                    Ok(Wake::Interrupted) => {}
                    other => return other,
                }
            }
        });
        rx.close();
        assert!(matches!(waiter.join().unwrap(), Err(Error::Closed(_))));
    });
    assert!(matches!(rx.take(1, 1), Err(Error::Closed(_))));
    rx.close();
    assert!(rx.is_closed());
}

#[test]
fn close_while_threads_receive_leaves_nothing_to_take() {
    for _ in 0..500 {
        let rx = receiver(&[spec(7)]);
        let tx = sender(&rx, 7);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| while rx.take(1, 1).is_ok() {});
            }
            send(&tx, &[&b"x"[..]; 64]);
            rx.close();
        });
        assert!(matches!(rx.take_pending(1), Ok(None)));
    }
}

#[test]
fn batch_held_keeps_its_content() {
    let rx = receiver(&[spec(7)]);
    let tx = sender(&rx, 7);
    send(&tx, &[b"kept"]);
    let kept = next(&rx);
    for number in 0..200u8 {
        send(&tx, &[&[number; 100]]);
        assert_eq!(payloads(&rx, 1), [[number; 100]]);
    }
    drop(rx);
    assert_eq!(kept.get(0).unwrap().data, b"kept");
}

#[test]
fn open_on_a_port_in_use_names_the_port_and_the_cause() {
    let own = ReceiverConfig { share: false, ..ReceiverConfig::default() };
    let first = Receiver::open(own.clone(), &[spec(7)]).unwrap();
    let refused = Receiver::open(ReceiverConfig { port: first.port(), ..own }, &[spec(7)]).unwrap_err();
    assert!(refused.os_error().is_some(), "{refused:?}");
    let text = refused.to_string();
    assert!(text.starts_with(&format!("cannot bind to port {}", first.port())), "{text}");
}
