#!/usr/bin/env bash
# netns.sh [--stock] [--hosts N] COMMAND [ARG ...]: run COMMAND in a network namespace of its own.
#
# A datagram sent in the namespace stays in it. The namespace has:
#   lo      up, with multicast enabled and the routes of 224.0.0.0/4 and ff00::/8
#   veth0   192.0.2.2/24 and 2001:db8::2/64 with the default routes, as a stand-in for a network interface
#   h1..hN  with --hosts N (2 to 9): hosts on one bridge, reached by `ip netns exec hK ...`. The interface eth0 of a host
#           has 10.77.0.K/24 and fd77::K/64. The namespace itself is called `private`.
# With --stock, the namespace is like an ordinary Linux machine instead: lo has neither the MULTICAST flag nor a route for
# ff00::/8, and eth0, the only other interface, has the addresses and the default routes of veth0.
#
# The script needs root or a kernel that allows `unshare -r`. COMMAND replaces it by exec and keeps its own exit code,
# signals and terminal. Nothing outlives COMMAND.
#
# The environment of COMMAND:
#   MULTICAST_NETNS=ID           the namespace, as `readlink /proc/self/ns/net` prints it
#   MULTICAST_HOSTS=N            the number of hosts
#   MULTICAST_LOOPBACK_ONLY=1    no namespace is available: COMMAND runs in the ordinary network and must name the
#                                loopback interface in everything that it sends
set -euo pipefail

usage() {
  echo "usage: netns.sh [--stock] [--hosts N] COMMAND [ARG ...]    (N from 2 to 9)" >&2
  exit 64
}

say() { echo "netns.sh: $*" >&2; }

# Run COMMAND without a namespace, and print the reason.
without_namespace() {
  say "no private network ($1): only the loopback interface may be used"
  shift
  exec env -u MULTICAST_NETNS MULTICAST_LOOPBACK_ONLY=1 MULTICAST_HOSTS=0 "$@"
}

# Make the IPv6 addresses of new interfaces usable at once: no duplicate can exist here. If this cannot be set, IPv6
# works a second or two later.
skip_duplicate_detection() {
  "$@" bash -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad' 2>/dev/null || true
}

# Add host K: a namespace whose eth0 is connected to the bridge.
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

# Let `ip netns` keep its names, which are under /run/netns, in a file system of our own: it hides the names of the
# machine from COMMAND, and those of COMMAND from the machine.
own_names() {
  mount --make-rprivate / || return 1
  # An unprivileged user may be unable to make the folder. Then all of /run is replaced.
  if mkdir -p /run/netns 2>/dev/null; then
    mount -t tmpfs tmpfs /run/netns || return 1
  else
    mount -t tmpfs tmpfs /run && mkdir /run/netns || return 1
  fi
  # Without a name, this namespace would end with all its interfaces as soon as COMMAND moves to that of a host.
  ip netns attach private $$
}

# Add the bridge and its hosts.
add_hosts() {
  local k
  # No snooping: a bridge that snoops without a querier forgets its listeners.
  ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up || return 1
  for ((k = 1; k <= $1; k++)); do
    add_host "$k" || return 1
  done
}

# Add interface $1 with the addresses and the default route. Its other end is $2, in namespace $3 if given.
add_interface() {
  ip link add "$1" type veth peer name "$2" ${3:+netns "$3"}
  ip ${3:+-n "$3"} link set "$2" up
  ip addr add 192.0.2.2/24 dev "$1"
  # The kernel may be built without IPv6.
  if [ -e /proc/net/if_inet6 ]; then ip -6 addr add 2001:db8::2/64 dev "$1" nodad; fi
  ip link set "$1" up
  ip route add default dev "$1"
}

# The interfaces of an ordinary machine. The other end of eth0 is out of sight.
stock_interfaces() {
  ip netns add beyond
  add_interface eth0 beyond0 beyond
  if [ -e /proc/net/if_inet6 ]; then ip -6 route add default dev eth0; fi
}

# The interfaces of the tests, where groups are routed to lo.
test_interfaces() {
  ip link set lo multicast on
  add_interface veth0 veth1
  ip route add 224.0.0.0/4 dev lo
  # The type must be "local": Linux rejects everything on any other IPv6 route through lo.
  if [ -e /proc/net/if_inet6 ]; then ip -6 route add local ff00::/8 dev lo table local metric 1; fi
}

# Inside the namespace: add the interfaces, then run COMMAND.
inside() {
  local stock=$1 hosts=$2
  shift 2
  ip link set lo up
  skip_duplicate_detection env
  if [ "$stock" = 1 ] || [ "$hosts" -gt 0 ]; then own_names || say "there are no names for namespaces"; fi
  if [ "$stock" = 1 ]; then stock_interfaces; else test_interfaces; fi
  if [ "$hosts" -gt 0 ] && ! add_hosts "$hosts"; then
    say "cannot create the hosts: COMMAND runs without them"
    hosts=0
  fi
  MULTICAST_NETNS=$(readlink /proc/self/ns/net)
  export MULTICAST_NETNS MULTICAST_HOSTS=$hosts
  unset MULTICAST_LOOPBACK_ONLY
  exec "$@"
}

# The second half of the script, started by `unshare` below.
if [ "${1:-}" = --inside ]; then
  shift
  inside "$@"
fi

stock=0 hosts=0
while :; do
  case ${1:-} in
    --stock)
      stock=1
      shift
      ;;
    --hosts)
      [[ ${2:-} =~ ^[2-9]$ ]] || usage
      hosts=$2
      shift 2
      ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || usage

for tool in ip unshare; do
  command -v "$tool" >/dev/null || without_namespace "there is no \`$tool\`" "$@"
done
as_root=()
[ "$(id -u)" = 0 ] || as_root=(-r)
if ! reason=$(unshare "${as_root[@]}" -n -m ip link set lo up 2>&1); then
  without_namespace "${reason%%$'\n'*}" "$@"
fi
exec unshare "${as_root[@]}" -n -m bash "$0" --inside "$stock" "$hosts" "$@"
