//! The kernel's filter of a packet ring: a program of the classic Berkeley packet filter (socket(7),
//! `SO_ATTACH_FILTER`).
//!
//! It keeps out what is not for the receiver, so that the ring has room for what is. The receiver makes the final
//! decision: it also checks the sources, and distinguishes IPv6 groups that end with the same 32 bits.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// One instruction (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions to skip if a comparison holds.
    pub jt: u8,
    /// How many instructions to skip if it does not hold.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}

/// The most instructions that the kernel accepts (`BPF_MAXINSNS`).
const MAX_INSTRUCTIONS: usize = 4096;

const LOAD_BYTE: u16 = 0x30;
const LOAD_SHORT: u16 = 0x28;
const LOAD_WORD: u16 = 0x20;
const LOAD_SHORT_AT_X: u16 = 0x48;
const TO_X: u16 = 0x07;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_GREATER_EQUAL: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Facts that are not in the packet, as negative positions (linux/filter.h).
const PACKET_TYPE: u32 = -0x1000_i32 as u32 + 4;
const INTERFACE: u32 = -0x1000_i32 as u32 + 8;
const LINK_TYPE: u32 = -0x1000_i32 as u32 + 28;
/// The start of the network header, as a negative position.
const NETWORK: u32 = -0x10_0000_i32 as u32;

/// Link types with a header of 14 bytes (netdevice(7)): Ethernet and the loopback interface.
const ETHERNET: u32 = 1;
const LOOPBACK: u32 = 772;
const ETHERNET_HEADER: u32 = 14;
/// Packets for this host, for all, and for groups come before those for other hosts and outgoing ones (packet(7)).
const LAST_INCOMING: u32 = 2;
/// More than any packet has: keep it whole.
const WHOLE: u32 = 0x4_0000;

const UDP: u32 = 17;
/// Extension headers of IPv6 that can come before the UDP header: the receiver looks behind them. The system discards
/// packets to a group with a routing header.
const EXTENSIONS: [u32; 3] = [0, 44, 60];

/// Let a packet pass if it is for this port and one of these groups on its interface; interface 0 stands for any. All
/// groups must be of the IP version. If there are too many groups, only the port is compared.
pub fn program(is_ipv4: bool, port: u16, joined: &[(IpAddr, u32)]) -> Vec<Instruction> {
    let exact = Program::build(is_ipv4, port, Some(joined));
    if exact.len() <= MAX_INSTRUCTIONS { exact } else { any_group(is_ipv4, port) }
}

/// Let every packet for this port pass.
pub fn any_group(is_ipv4: bool, port: u16) -> Vec<Instruction> {
    Program::build(is_ipv4, port, None)
}

/// Let every UDP packet to a group pass that arrives on one interface.
pub fn every_group(is_ipv4: bool, interface: u32) -> Vec<Instruction> {
    Program::for_each_link(|program, base, (accept, reject)| {
        let at = |offset| base.wrapping_add(offset);
        let first = if is_ipv4 {
            let is_group = program.jump_if(IF_EQUAL, 0xe0, accept, reject);
            program.push_before(AND, 0xf0, is_group);
            program.push(LOAD_BYTE, at(16))
        } else {
            let is_group = program.jump_if(IF_EQUAL, 0xff, accept, reject);
            program.push_before(LOAD_BYTE, at(24), is_group)
        };
        let kinds = program.udp_check(base, is_ipv4, (first, reject));
        let here = program.jump_if(IF_EQUAL, interface, kinds, reject);
        program.push_before(LOAD_WORD, INTERFACE, here)
    })
}

/// Let nothing pass.
pub fn nothing() -> Vec<Instruction> {
    vec![Instruction { code: RETURN, jt: 0, jf: 0, k: 0 }]
}

/// The last 32 bits of a group.
fn key(group: IpAddr) -> u32 {
    match group {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => ip.to_bits() as u32,
    }
}

/// A place in a program, counted from its end.
type Place = usize;

/// A program under construction, from its last instruction to the first: each jump then knows its target.
struct Program(Vec<Instruction>);

impl Program {
    fn build(is_ipv4: bool, port: u16, joined: Option<&[(IpAddr, u32)]>) -> Vec<Instruction> {
        Self::for_each_link(|program, base, ends| program.body(base, is_ipv4, port, joined, ends))
    }

    /// Check incoming packets with a part of the program, which gets the position of the IP header and the places to
    /// continue at.
    fn for_each_link(body: impl Fn(&mut Self, u32, (Place, Place)) -> Place) -> Vec<Instruction> {
        let mut program = Self(Vec::new());
        let accept = program.push(RETURN, WHOLE);
        let reject = program.push(RETURN, 0);
        let other_link = body(&mut program, NETWORK, (accept, reject));
        let ethernet = body(&mut program, ETHERNET_HEADER, (accept, reject));
        let is_loopback = program.jump_if(IF_EQUAL, LOOPBACK, ethernet, other_link);
        program.jump_if(IF_EQUAL, ETHERNET, ethernet, is_loopback);
        let link = program.push(LOAD_WORD, LINK_TYPE);
        program.jump_if(IF_GREATER, LAST_INCOMING, reject, link);
        program.push(LOAD_WORD, PACKET_TYPE);
        program.0.reverse();
        program.0
    }

    /// Compare protocol, interface, group and port of a packet whose IP header is at `base`.
    fn body(
        &mut self,
        base: u32,
        is_ipv4: bool,
        port: u16,
        joined: Option<&[(IpAddr, u32)]>,
        (accept, reject): (Place, Place),
    ) -> Place {
        let port = self.port_check(base, is_ipv4, port, (accept, reject));
        let group_at = if is_ipv4 { 16 } else { 36 };
        let groups = match joined {
            Some(joined) => self.groups(base.wrapping_add(group_at), joined, (port, reject)),
            None => port,
        };
        self.udp_check(base, is_ipv4, (groups, reject))
    }

    /// Compare the protocol.
    fn udp_check(&mut self, base: u32, is_ipv4: bool, (found, reject): (Place, Place)) -> Place {
        let (kind_at, kinds): (u32, &[u32]) = if is_ipv4 { (9, &[]) } else { (6, &EXTENSIONS) };
        let mut next = reject;
        for kind in kinds.iter().chain([&UDP]) {
            next = self.jump_if(IF_EQUAL, *kind, found, next);
        }
        self.push(LOAD_BYTE, base.wrapping_add(kind_at))
    }

    /// Compare the port, if the packet has one at its usual place.
    fn port_check(&mut self, base: u32, is_ipv4: bool, port: u16, (accept, reject): (Place, Place)) -> Place {
        let at = |offset| base.wrapping_add(offset);
        self.jump_if(IF_EQUAL, port.into(), accept, reject);
        if is_ipv4 {
            self.push(LOAD_SHORT_AT_X, at(2));
            self.push(TO_X, 0);
            self.push(SHIFT_LEFT, 2);
            self.push(AND, 0xf);
            let place = self.push(LOAD_BYTE, at(0));
            // Only the first fragment has the port. It passes with any port, so that the receiver can recognize
            // fragments of other datagrams.
            self.jump_if(IF_ANY_BIT, 0x3fff, accept, place);
            self.push(LOAD_SHORT, at(6))
        } else {
            let place = self.push(LOAD_SHORT, at(42));
            self.jump_if(IF_EQUAL, UDP, place, accept);
            self.push(LOAD_BYTE, at(6))
        }
    }

    /// Compare the group, which is at `group_at`, with those that are joined on the interface of the packet.
    fn groups(&mut self, group_at: u32, joined: &[(IpAddr, u32)], (found, reject): (Place, Place)) -> Place {
        let mut by_interface: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (group, interface) in joined {
            by_interface.entry(*interface).or_default().push(key(*group));
        }
        let anywhere = by_interface.remove(&0).unwrap_or_default();
        let mut next = self.one_of(group_at, anywhere.clone(), (found, reject));
        for (interface, mut keys) in by_interface {
            keys.extend(&anywhere);
            let here = self.one_of(group_at, keys, (found, reject));
            next = self.jump_if(IF_EQUAL, interface, here, next);
        }
        self.push_before(LOAD_WORD, INTERFACE, next)
    }

    fn one_of(&mut self, group_at: u32, mut keys: Vec<u32>, (found, reject): (Place, Place)) -> Place {
        keys.sort_unstable();
        keys.dedup();
        let search = self.search(&keys, (found, reject));
        self.push_before(LOAD_WORD, group_at, search)
    }

    /// Look a number up among sorted ones.
    fn search(&mut self, keys: &[u32], (found, reject): (Place, Place)) -> Place {
        if keys.len() <= 3 {
            return keys.iter().fold(reject, |next, key| self.jump_if(IF_EQUAL, *key, found, next));
        }
        let (low, high) = keys.split_at(keys.len() / 2);
        let (first, low, high) = (high[0], self.search(low, (found, reject)), self.search(high, (found, reject)));
        self.jump_if(IF_GREATER_EQUAL, first, high, low)
    }

    /// Add an instruction that is followed by the one that was added before it.
    fn push(&mut self, code: u16, k: u32) -> Place {
        self.0.push(Instruction { code, jt: 0, jf: 0, k });
        self.0.len() - 1
    }

    /// Add an instruction that continues at `next`.
    fn push_before(&mut self, code: u16, k: u32, next: Place) -> Place {
        self.reachable(next, 0);
        self.push(code, k)
    }

    /// Add a comparison.
    fn jump_if(&mut self, code: u16, k: u32, on_true: Place, on_false: Place) -> Place {
        // A jump that is added for one target moves the other one away by one.
        let near = usize::from(u8::MAX) - 1;
        let on_true = self.reachable(on_true, near);
        let on_false = self.reachable(on_false, near);
        let end = self.0.len();
        let distance = |target: Place| (end - target - 1) as u8;
        self.0.push(Instruction { code, jt: distance(on_true), jf: distance(on_false), k });
        end
    }

    /// Return a place that leads to `target` and is at most `limit` instructions away.
    fn reachable(&mut self, target: Place, limit: usize) -> Place {
        let distance = self.0.len() - target - 1;
        if distance <= limit {
            return target;
        }
        self.push(JUMP, distance as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::packet::samples::{Noise, packet_v4, packet_v6};

    struct Seen<'a> {
        packet: &'a [u8],
        link: u32,
        interface: u32,
        kind: u32,
    }

    /// Runs a program as the kernel does: a load outside of the packet ends it with 0.
    fn run(program: &[Instruction], seen: &Seen<'_>) -> u32 {
        let frame = [&[0; ETHERNET_HEADER as usize][..], seen.packet].concat();
        let load = |at: u32, size: usize| -> Option<u32> {
            let bytes = if at >= NETWORK && at < -0x1000_i32 as u32 {
                seen.packet.get((at - NETWORK) as usize..)
            } else {
                match at {
                    PACKET_TYPE => return Some(seen.kind),
                    INTERFACE => return Some(seen.interface),
                    LINK_TYPE => return Some(seen.link),
                    _ if seen.link == ETHERNET || seen.link == LOOPBACK => frame.get(at as usize..),
                    _ => panic!("the link header of another link was read"),
                }
            };
            Some(bytes?.get(..size)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
        };
        let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let mut branch = |holds: bool| at += usize::from(if holds { jt } else { jf });
            let loaded = match code {
                LOAD_BYTE => load(k, 1),
                LOAD_SHORT => load(k, 2),
                LOAD_WORD => load(k, 4),
                LOAD_SHORT_AT_X => load(k.wrapping_add(x), 2),
                AND => Some(a & k),
                SHIFT_LEFT => Some(a << k),
                _ => Some(a),
            };
            match code {
                RETURN => return k,
                JUMP => at += k as usize,
                IF_EQUAL => branch(a == k),
                IF_GREATER => branch(a > k),
                IF_GREATER_EQUAL => branch(a >= k),
                IF_ANY_BIT => branch(a & k != 0),
                TO_X => x = a,
                _ => match loaded {
                    Some(value) => a = value,
                    None => return 0,
                },
            }
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn passes(program: &[Instruction], packet: &[u8], interface: u32) -> bool {
        let on = |link| run(program, &Seen { packet, link, interface, kind: 2 });
        let passed = on(ETHERNET);
        assert_eq!([on(LOOPBACK), on(65_534)], [passed; 2]);
        passed == WHOLE
    }

    #[test]
    fn program_admits_its_groups_on_their_interfaces_and_port_only() {
        for (packet, group, other) in
            [(packet_v4(b"x"), "239.1.2.3", "239.1.2.4"), (packet_v6(b"x"), "ff15::114", "ff15::115")]
        {
            let is_ipv4 = packet[0] == 0x45;
            let one = program(is_ipv4, 5000, &[(ip(group), 2)]);
            assert!(passes(&one, &packet, 2) && !passes(&one, &packet, 3));
            assert!(!passes(&program(is_ipv4, 5001, &[(ip(group), 2)]), &packet, 2));
            assert!(!passes(&program(is_ipv4, 5000, &[(ip(other), 2)]), &packet, 2));
            assert!(passes(&program(is_ipv4, 5000, &[(ip(group), 0), (ip(other), 2)]), &packet, 2));
            assert!(passes(&program(is_ipv4, 5000, &[(ip(group), 0)]), &packet, 9));
            assert!(!passes(&program(is_ipv4, 5000, &[]), &packet, 2));
            assert!(passes(&any_group(is_ipv4, 5000), &packet, 2));
            assert!(!passes(&any_group(is_ipv4, 5001), &packet, 2));
            assert!(!passes(&nothing(), &packet, 2));
        }
    }

    #[test]
    fn program_rejects_packets_for_others_and_outgoing_ones() {
        let program = program(true, 5000, &[(ip("239.1.2.3"), 2)]);
        let packet = packet_v4(b"x");
        let kinds =
            (0..6).filter(|&kind| run(&program, &Seen { packet: &packet, link: ETHERNET, interface: 2, kind }) != 0);
        assert_eq!(kinds.collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn program_admits_later_fragments_and_extension_headers_of_its_groups() {
        let v4 = program(true, 9, &[(ip("239.1.2.3"), 2)]);
        let mut packet = packet_v4(b"x");
        assert!(!passes(&v4, &packet, 2));
        for place in [[0x20, 0], [0, 1], [0x20, 1]] {
            packet[6..8].copy_from_slice(&place);
            assert!(passes(&v4, &packet, 2));
        }
        packet[9] = 6;
        assert!(!passes(&v4, &packet, 2));
        let v6 = program(false, 9, &[(ip("ff15::114"), 2)]);
        let mut packet = packet_v6(b"x");
        for (kind, admitted) in [(44, true), (0, true), (60, true), (43, false), (58, false), (17, false)] {
            packet[6] = kind;
            assert_eq!(passes(&v6, &packet, 2), admitted, "{kind}");
        }
    }

    #[test]
    fn program_of_many_groups_finds_each_and_nothing_else() {
        let mut noise = Noise::default();
        for count in [4, 5, 100, 300, 500] {
            let joined: Vec<_> =
                (0..count).map(|n| (IpAddr::from([239, 1, (n / 100) as u8, (n % 100 * 2) as u8]), 1 + n % 3)).collect();
            let program = program(true, 5000, &joined);
            assert!(program.len() <= MAX_INSTRUCTIONS, "{count}: {}", program.len());
            for _ in 0..400 {
                let mut packet = packet_v4(b"x");
                packet[18] = noise.below(count as usize / 100 + 1) as u8;
                packet[19] = noise.below(201) as u8;
                let interface = noise.below(4) as u32;
                let group = IpAddr::from([239, 1, packet[18], packet[19]]);
                assert_eq!(passes(&program, &packet, interface), joined.contains(&(group, interface)));
            }
        }
    }

    #[test]
    fn program_for_every_group_passes_groups_of_its_interface_only() {
        for link in [ETHERNET, LOOPBACK, 65_534] {
            let seen = |packet: &[u8], interface, kind, program: &[Instruction]| {
                run(program, &Seen { packet, link, interface, kind }) > 0
            };
            let (v4, v6) = (every_group(true, 7), every_group(false, 7));
            let mut packet = packet_v4(b"x");
            assert!(seen(&packet, 7, 2, &v4));
            assert!(!seen(&packet, 8, 2, &v4));
            assert!(!seen(&packet, 7, 4, &v4));
            for (first, passes) in [(223, false), (224, true), (239, true), (240, false), (10, false)] {
                packet[16] = first;
                assert_eq!(seen(&packet, 7, 0, &v4), passes, "{first}");
            }
            packet[9] = 6;
            packet[16] = 239;
            assert!(!seen(&packet, 7, 2, &v4));
            let mut packet = packet_v6(b"x");
            assert!(seen(&packet, 7, 2, &v6));
            packet[24] = 0xfe;
            assert!(!seen(&packet, 7, 2, &v6));
        }
    }

    #[test]
    fn program_of_too_many_groups_compares_the_port_only() {
        let joined: Vec<_> = (0..5000u32).map(|n| (IpAddr::from((0xef00_0000 + n).to_be_bytes()), 2)).collect();
        assert_eq!(program(true, 5000, &joined), any_group(true, 5000));
    }
}
