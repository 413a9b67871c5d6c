#!/usr/bin/env bash
# Two VPCs with the same addresses, which are those of the containers too.
#
#    w2-c1  10.1.0.77 ──┐           ┌── w2-orders   10.1.0.0/16, web server 10.1.0.1
#    w2-c2  10.1.0.77 ──┼─ gateway ─┤
#    w2-c3  10.1.0.77 ──┘           └── w2-billing  10.1.0.0/16, web server 10.1.0.1
#
# Shows that a packet belongs to the link it came from, never to the address it carries: c1 gets to orders, c2 to
# billing by the same URL, and c3, which is not attached, to neither.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

say 'Two VPCs, both 10.1.0.0/16, each with a web server at 10.1.0.1'
for vpc in w2-orders w2-billing; do
    netns $vpc
    make vpcs $vpc '{
        "name": "'$vpc'",
        "cidr": "10.1.0.0/16",
        "external_addresses": ["10.1.0.10"],
        "uplink": {"kind": "tap", "netns": {"name": "'$vpc'"}, "device": "wharf0", "address": "10.1.0.1/16"}
    }'
    wait_for 5 "the VPC $vpc" in_state vpcs $vpc ready
    serve $vpc 10.1.0.1 $vpc
    make connectors $vpc '{"name": "'$vpc'", "vpc": "'$vpc'"}'
done

say 'Three containers, all 10.1.0.77'
for container in w2-c1 w2-c2 w2-c3; do
    netns $container
    make containers $container '{
        "name": "'$container'",
        "netns": {"name": "'$container'"},
        "address": "10.1.0.77",
        "gateway": "10.1.0.254"
    }'
    wait_for 5 "the container $container" in_state containers $container ready
done
attach w2-c1 w2-orders
attach w2-c2 w2-billing

say 'The same URL from each'
page=$(fetch w2-c1 http://10.1.0.1/)
[ "$page" = 'hello from w2-orders' ] || fail "c1 fetched: $page"
ok "c1 fetched: $page"
page=$(fetch w2-c2 http://10.1.0.1/)
[ "$page" = 'hello from w2-billing' ] || fail "c2 fetched: $page"
ok "c2 fetched: $page"
refused w2-c3 http://10.1.0.1/ || fail 'c3 reached a server'
ok 'c3 reached nobody'

say 'What would happen to a packet of c3, by the gateway itself'
api POST /v1/explain '{"container": "w2-c3", "protocol": "tcp", "destination": "10.1.0.1", "port": 80}'
