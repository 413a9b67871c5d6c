#!/usr/bin/env bash
# One container, one VPC.
#
#    w1-c1                       gateway           w1-orders (VPC 10.1.0.0/16)
#   ┌──────────────────┐      ┌───────────┐      ┌─────────────────────────────┐
#   │ eth0 169.254.1.2 ├──────┤ 10.1.0.10 ├──────┤ wharf0 10.1.0.1  web server │
#   └──────────────────┘ TAP  └───────────┘  TAP └─────────────────────────────┘
#
# Shows that a container reaches nothing before it is attached, that the server then sees the external address
# 10.1.0.10 in place of the container's own, and that detaching takes the permission away again.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

say 'A VPC with a web server, and a container'
netns w1-orders
make vpcs w1-orders '{
    "name": "w1-orders",
    "cidr": "10.1.0.0/16",
    "external_addresses": ["10.1.0.10"],
    "uplink": {"kind": "tap", "netns": {"name": "w1-orders"}, "device": "wharf0", "address": "10.1.0.1/16"}
}'
wait_for 5 'the VPC' in_state vpcs w1-orders ready
serve w1-orders 10.1.0.1 orders
make connectors w1-db '{"name": "w1-db", "vpc": "w1-orders"}'

netns w1-c1
make containers w1-c1 '{"name": "w1-c1", "netns": {"name": "w1-c1"}, "device": "eth0"}'
wait_for 5 'the container' in_state containers w1-c1 ready
ip -n w1-c1 -brief -4 address

say 'Before it is attached, the container reaches nothing'
refused w1-c1 http://10.1.0.1/ || fail 'the server was reached'
api GET /v1/containers/w1-c1/drops | grep -q no_connector || fail 'the drops do not say why'
ok 'dropped: no_connector'

say 'Attach'
attach w1-c1 w1-db
page=$(fetch w1-c1 http://10.1.0.1/)
[ "$page" = 'hello from orders' ] || fail "fetched: $page"
ok "fetched: $page"
saw orders 10.1.0.10 || fail 'the server saw somebody else'
ok 'the server saw 10.1.0.10'
ip netns exec w1-c1 ping -c 2 -i 0.2 -W 2 10.1.0.1 >/dev/null || fail 'no answer to ping'
ok 'ping is answered'

say 'The session table'
api GET '/v1/sessions?container=w1-c1'

say 'Detach'
detach w1-c1 w1-db
refused w1-c1 http://10.1.0.1/ || fail 'the server was reached'
ok 'the container reaches nothing again'
