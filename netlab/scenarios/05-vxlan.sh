#!/usr/bin/env bash
# An uplink on a VXLAN device.
#
#                        w5-host                            w5-vpc
#                       ┌──────────────────────────┐       ┌───────────────────────────────────┐
#    w5-c1 ── gateway ──┤ vx0 ── eth1 192.168.50.1 ├───────┤ eth0 192.168.50.2 ── vx0 10.1.0.1 │
#            10.1.0.10  └──────────────────────────┘  UDP  └───────────────────────────────────┘
#
# Shows that a VPC may live in a VXLAN segment on another machine: the gateway uses the segment's device (kind "packet"; it
# takes over MAC address and MTU). On a real machine w5-host is the host itself: leave "netns" out.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

say 'Two machines and a VXLAN segment between them'
netns w5-host
netns w5-vpc
ip -n w5-host link add eth1 type veth peer name eth0 netns w5-vpc
ip -n w5-host address add 192.168.50.1/24 dev eth1
ip -n w5-vpc address add 192.168.50.2/24 dev eth0
ip -n w5-host link set eth1 up
ip -n w5-vpc link set eth0 up
ip -n w5-host link add vx0 type vxlan id 42 dev eth1 remote 192.168.50.2 dstport 4789
ip -n w5-vpc link add vx0 type vxlan id 42 dev eth0 remote 192.168.50.1 dstport 4789
ip -n w5-vpc address add 10.1.0.1/16 dev vx0
ip -n w5-host link set vx0 up
ip -n w5-vpc link set vx0 up
serve w5-vpc 10.1.0.1 vxlan
head -c 1000000 /dev/urandom >"$work/vxlan/million"

say 'The gateway uses the segment'
make vpcs w5-vpc '{
    "name": "w5-vpc",
    "cidr": "10.1.0.0/16",
    "external_addresses": ["10.1.0.10"],
    "uplink": {"kind": "packet", "netns": {"name": "w5-host"}, "device": "vx0"}
}'
wait_for 5 'the VPC' in_state vpcs w5-vpc ready

say 'A container, with the MTU that the segment leaves'
make connectors w5-db '{"name": "w5-db", "vpc": "w5-vpc"}'
netns w5-c1
make containers w5-c1 '{"name": "w5-c1", "netns": {"name": "w5-c1"}, "mtu": 1450}'
wait_for 5 'the container' in_state containers w5-c1 ready
attach w5-c1 w5-db
page=$(fetch w5-c1 http://10.1.0.1/)
[ "$page" = 'hello from vxlan' ] || fail "fetched: $page"
saw vxlan 10.1.0.10 || fail 'the server saw somebody else'
ok "fetched: $page; the server saw 10.1.0.10"
fetch w5-c1 http://10.1.0.1/million -o "$work/million"
cmp "$work/vxlan/million" "$work/million" || fail 'the file arrived changed'
ok 'a million bytes arrived unchanged'
