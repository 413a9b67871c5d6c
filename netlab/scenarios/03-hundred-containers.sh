#!/usr/bin/env bash
# A hundred containers with one address.
#
#    w3-c1    169.254.1.2:40000 ──┐
#    w3-c2    169.254.1.2:40000 ──┤
#     …                           ├─ gateway ─ 10.1.0.10:many ── w3-orders, web server 10.1.0.1
#    w3-c100  169.254.1.2:40000 ──┘
#
# Shows that all of them, at the same time, from the same address and port, have a connection of their own: the gateway
# gives each its own external port.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

count=100

# sessions: how many different external endpoints there are.
sessions() {
    api GET '/v1/sessions?vpc=w3-orders&protocol=tcp&limit=1000' |
        grep -o '"external":"[^"]*"' | sort -u | wc -l
}
all_have_one() { [ "$(sessions)" -eq $count ]; }

say 'A VPC with a web server'
netns w3-orders
make vpcs w3-orders '{
    "name": "w3-orders",
    "cidr": "10.1.0.0/16",
    "external_addresses": ["10.1.0.10"],
    "uplink": {"kind": "tap", "netns": {"name": "w3-orders"}, "device": "wharf0", "address": "10.1.0.1/16"}
}'
wait_for 5 'the VPC' in_state vpcs w3-orders ready
serve w3-orders 10.1.0.1 w3-orders
make connectors w3-db '{"name": "w3-db", "vpc": "w3-orders"}'

say "$count containers, all 169.254.1.2"
for i in $(seq $count); do
    netns "w3-c$i"
    make containers "w3-c$i" '{"name": "w3-c'"$i"'", "netns": {"name": "w3-c'"$i"'"}}'
    wait_for 5 "container $i" in_state containers "w3-c$i" ready
    attach "w3-c$i" w3-db >/dev/null
done
ok "made and attached in $SECONDS s"

say 'All fetch at the same time, from source port 40000'
# So much and so slowly that the first is not done when the last begins.
head -c 40000 /dev/zero >"$work/w3-orders/slow"
clients=()
for i in $(seq $count); do
    fetch "w3-c$i" http://10.1.0.1/slow --local-port 40000 --max-time 60 --limit-rate 10k -o "$work/got.$i" &
    clients+=($!)
done
wait_for 30 "$count external ports" all_have_one
ok "$count sessions, each with its own external port"
for client in "${clients[@]}"; do
    wait "$client" || fail 'a container could not fetch'
done
for i in $(seq $count); do
    cmp -s "$work/w3-orders/slow" "$work/got.$i" || fail "container $i got something else"
done
ok "$count files arrived whole"
seen=$(log w3-orders | grep '^10\.1\.0\.10 ' | grep -c '"GET /slow HTTP/1.1" 200')
[ "$seen" -eq $count ] || fail "the server saw $seen requests from 10.1.0.10"
ok "the server saw $seen requests, all from 10.1.0.10"
