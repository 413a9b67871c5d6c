#!/usr/bin/env bash
# One container and one VPC with IPv4 and IPv6, and a port of the container that the VPC can call.
#
#    w6-c1                         gateway             w6-orders (VPC 10.1.0.0/16, fd00:6::/64)
#   ┌────────────────────────┐    ┌────────────┐      ┌─────────────────────────────┐
#   │ eth0 169.254.1.2       ├────┤ 10.1.0.10  ├──────┤ wharf0 10.1.0.1  fd00:6::1  │
#   │      fd00:c::2         │TAP │ fd00:6::10 │  TAP │        web server           │
#   └────────────────────────┘    └────────────┘      └─────────────────────────────┘
#                                  fd00:6::10 port 80 leads to port 80 of the container
#
# Shows that the same connector serves both versions, that the server sees the external address of the version that is spoken,
# that a datagram larger than the link gets through in fragments, and that the VPC reaches what is published and nothing else.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

say 'A VPC with addresses of both versions, and a container'
netns w6-orders
make vpcs w6-orders '{
    "name": "w6-orders",
    "cidr": "10.1.0.0/16",
    "cidr6": "fd00:6::/64",
    "external_addresses": ["10.1.0.10", "fd00:6::10"],
    "uplink": {"kind": "tap", "netns": {"name": "w6-orders"}, "device": "wharf0",
               "address": "10.1.0.1/16", "address6": "fd00:6::1/64"}
}'
wait_for 5 'the VPC' in_state vpcs w6-orders ready
serve w6-orders fd00:6::1 orders
make connectors w6-web '{
    "name": "w6-web", "vpc": "w6-orders",
    "publications": [{"protocol": "tcp", "external_address": "fd00:6::10", "external_port": 80}]
}'

netns w6-c1
make containers w6-c1 '{"name": "w6-c1", "netns": {"name": "w6-c1"}, "address6": "fd00:c::2"}'
wait_for 5 'the container' in_state containers w6-c1 ready
attach w6-c1 w6-web
ip -n w6-c1 -brief address show dev eth0
ip -n w6-c1 -6 route show default

say 'Out, by both versions'
page=$(fetch w6-c1 'http://[fd00:6::1]/')
[ "$page" = 'hello from orders' ] || fail "fetched: $page"
saw orders fd00:6::10 || fail 'the server saw somebody else'
ok 'the server saw fd00:6::10'
ip netns exec w6-c1 ping -c 2 -i 0.2 -W 2 10.1.0.1 >/dev/null || fail 'no answer to ping'
ip netns exec w6-c1 ping -c 2 -i 0.2 -W 2 -s 4000 fd00:6::1 >/dev/null || fail 'no answer to a ping in fragments'
ok 'ping is answered, and so is one of 4,000 bytes'

say 'In, to what is published'
serve w6-c1 fd00:c::2 container
page=$(fetch w6-orders 'http://[fd00:6::10]/')
[ "$page" = 'hello from container' ] || fail "fetched: $page"
saw container fd00:6::1 || fail 'the container saw somebody else'
ok "the VPC fetched: $page"
refused w6-orders 'http://[fd00:6::10]:81/' || fail 'an unpublished port was reached'
ok 'port 81 is nobody'"'"'s'

say 'Detach'
detach w6-c1 w6-web
refused w6-orders 'http://[fd00:6::10]/' || fail 'the container was reached'
ok 'the VPC reaches nothing of the container any more'
