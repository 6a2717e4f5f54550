#!/usr/bin/env bash
# netns.sh [--hosts N] COMMAND [ARG ...]: runs COMMAND in a network namespace of its own.
#
# A datagram sent in there stays in there. COMMAND finds:
#   lo      up, multicast on, and the way out for 224.0.0.0/4 and ff00::/8
#   veth0   192.0.2.2/24 and 2001:db8::2/64 with the default route: a stand-in for a network card
#   h1..hN  with --hosts N (2 to 9): hosts on one bridge, reached by `ip netns exec hK ...`; each has a card eth0 with
#           10.77.0.K/24 and fd77::K/64
# Needs root or a kernel that lets `unshare -r` pass. Nothing outlives COMMAND, which replaces this script by exec, so
# that its exit code, its signals and its terminal are its own.
#
# What COMMAND learns from its environment:
#   MULTICAST_NETNS=ID           the namespace it was put into, as `readlink /proc/self/ns/net` prints it
#   MULTICAST_HOSTS=N            how many hosts there are
#   MULTICAST_LOOPBACK_ONLY=1    no namespace could be had: COMMAND runs in the ordinary network all the same and must
#                                name the loopback interface in everything that it sends
set -euo pipefail

usage() {
  echo "usage: netns.sh [--hosts N] COMMAND [ARG ...]    (N from 2 to 9)" >&2
  exit 64
}

say() { echo "netns.sh: $*" >&2; }

# Runs COMMAND without a namespace, and says why.
without_namespace() {
  say "no private network ($1): only the loopback interface may be used"
  shift
  exec env -u MULTICAST_NETNS MULTICAST_LOOPBACK_ONLY=1 MULTICAST_HOSTS=0 "$@"
}

# Makes new interfaces' IPv6 addresses usable at once: a duplicate cannot exist here, so nobody need look for one.
# Where this cannot be set, IPv6 works too, a second or two later.
skip_duplicate_detection() {
  "$@" bash -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad' 2>/dev/null || true
}

# One host K: a namespace whose eth0 is plugged into the bridge.
add_host() {
  local k=$1
  ip netns add "h$k" &&
    skip_duplicate_detection ip netns exec "h$k" &&
    ip link add "p$k" type veth peer name eth0 netns "h$k" &&
    ip link set "p$k" master br0 up &&
    ip -n "h$k" link set lo up &&
    ip -n "h$k" addr add "10.77.0.$k/24" dev eth0 &&
    ip -n "h$k" -6 addr add "fd77::$k/64" dev eth0 nodad &&
    ip -n "h$k" link set eth0 up &&
    ip -n "h$k" route add default dev eth0
}

# The bridge and its hosts. `ip netns` keeps names under /run/netns: a file system of our own there hides the
# machine's names from us and ours from the machine.
add_hosts() {
  local k
  mount --make-rprivate / || return 1
  # Not being root outside, we may be unable to make the folder: then all of /run is replaced.
  if mkdir -p /run/netns 2>/dev/null; then
    mount -t tmpfs tmpfs /run/netns || return 1
  else
    mount -t tmpfs tmpfs /run && mkdir /run/netns || return 1
  fi
  # Without snooping: with it a bridge that has no querier forgets its listeners.
  ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up || return 1
  for ((k = 1; k <= $1; k++)); do
    add_host "$k" || return 1
  done
}

# Inside the namespace: the interfaces, then COMMAND.
inside() {
  local hosts=$1
  shift
  ip link set lo up
  ip link set lo multicast on
  skip_duplicate_detection env
  ip link add veth0 type veth peer name veth1
  ip link set veth1 up
  ip addr add 192.0.2.2/24 dev veth0
  # A kernel built without IPv6 is a good test machine all the same.
  if [ -e /proc/net/if_inet6 ]; then ip -6 addr add 2001:db8::2/64 dev veth0 nodad; fi
  ip link set veth0 up
  ip route add default dev veth0
  ip route add 224.0.0.0/4 dev lo
  # Of type "local": Linux makes any other IPv6 route by lo one that refuses everything.
  if [ -e /proc/net/if_inet6 ]; then ip -6 route add local ff00::/8 dev lo table local metric 1; fi
  if [ "$hosts" -gt 0 ] && ! add_hosts "$hosts"; then
    say "the hosts could not be made: COMMAND runs without them"
    hosts=0
  fi
  MULTICAST_NETNS=$(readlink /proc/self/ns/net)
  export MULTICAST_NETNS MULTICAST_HOSTS=$hosts
  unset MULTICAST_LOOPBACK_ONLY
  exec "$@"
}

# The second half of the script, reached by `unshare` below.
if [ "${1:-}" = --inside ]; then
  shift
  inside "$@"
fi

hosts=0
if [ "${1:-}" = --hosts ]; then
  [[ ${2:-} =~ ^[2-9]$ ]] || usage
  hosts=$2
  shift 2
fi
[ $# -gt 0 ] || usage

for tool in ip unshare; do
  command -v "$tool" >/dev/null || without_namespace "there is no \`$tool\`" "$@"
done
as_root=()
[ "$(id -u)" = 0 ] || as_root=(-r)
if ! reason=$(unshare "${as_root[@]}" -n -m ip link set lo up 2>&1); then
  without_namespace "${reason%%$'\n'*}" "$@"
fi
exec unshare "${as_root[@]}" -n -m bash "$0" --inside "$hosts" "$@"
