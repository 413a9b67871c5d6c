#!/usr/bin/env bash
# An uplink on a bridge with two servers.
#
#                              w4-vpc
#                          ┌────────────────┐
#    w4-c1 ──── gateway ───┤ wharf0         │
#              10.1.0.10   │   └─ br0 ── p1 ├──── eth0  w4-web  10.1.0.1
#                          │       └──── p2 ├──── eth0  w4-db   10.1.0.2
#                          └────────────────┘
#
# Shows that the gateway is an ordinary host of an Ethernet segment: it finds both servers by ARP, and both find it.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

say 'A bridge with two servers'
netns w4-vpc
netns w4-web
netns w4-db
ip -n w4-vpc link add br0 type bridge
ip -n w4-vpc link set br0 up
ip -n w4-vpc link add p1 type veth peer name eth0 netns w4-web
ip -n w4-vpc link add p2 type veth peer name eth0 netns w4-db
ip -n w4-web address add 10.1.0.1/16 dev eth0
ip -n w4-db address add 10.1.0.2/16 dev eth0
for port in p1 p2; do ip -n w4-vpc link set $port master br0 up; done
for server in w4-web w4-db; do ip -n $server link set eth0 up; done
serve w4-web 10.1.0.1 web
serve w4-db 10.1.0.2 db

say 'The gateway puts its uplink on the bridge'
make vpcs w4-vpc '{
    "name": "w4-vpc",
    "cidr": "10.1.0.0/16",
    "external_addresses": ["10.1.0.10"],
    "uplink": {"kind": "tap", "netns": {"name": "w4-vpc"}, "device": "wharf0", "bridge": "br0"}
}'
wait_for 5 'the VPC' in_state vpcs w4-vpc ready
ip -n w4-vpc -brief link show master br0

say 'A container that may reach both'
make connectors w4-all '{"name": "w4-all", "vpc": "w4-vpc"}'
netns w4-c1
make containers w4-c1 '{"name": "w4-c1", "netns": {"name": "w4-c1"}}'
wait_for 5 'the container' in_state containers w4-c1 ready
attach w4-c1 w4-all
for server in web=10.1.0.1 db=10.1.0.2; do
    name=${server%=*} address=${server#*=}
    page=$(fetch w4-c1 "http://$address/")
    [ "$page" = "hello from $name" ] || fail "fetched from $address: $page"
    saw "$name" 10.1.0.10 || fail "$name saw somebody else"
    ok "fetched from $address: $page; it saw 10.1.0.10"
done

say 'Whom the web server knows as a neighbour'
ip -n w4-web neighbour show 10.1.0.10
