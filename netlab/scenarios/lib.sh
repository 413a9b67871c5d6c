# Shared by the scenarios: the API by curl, bounded waiting, and removing exactly what was made.
# shellcheck shell=bash
set -eu
shopt -s inherit_errexit

: "${WHARF_SOCKET:=/run/wharf/wharf.sock}"

# say TEXT: what comes next.
say() {
    if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

# ok TEXT: what was shown.
ok() { printf '  ok: %s\n' "$*"; }

# fail TEXT: ends the scenario.
fail() {
    printf '  FAILED: %s\n' "$*" >&2
    exit 1
}

# api METHOD PATH [JSON]: one request to the daemon. Prints the answer; anything but success is a failure.
api() {
    local answer body=()
    if [ $# -gt 2 ]; then body=(-H 'Content-Type: application/json' --data "$3"); fi
    answer=$(curl -sS --max-time 10 --unix-socket "$WHARF_SOCKET" -w '\n%{http_code}' \
        -X "$1" "${body[@]}" "http://wharf$2")
    local status=${answer##*$'\n'} text=${answer%$'\n'*}
    case $status in
        2??) printf '%s\n' "$text" ;;
        *)
            # No exit: cleaning up goes on without an answer.
            printf '  %s %s: %s %s\n' "$1" "$2" "$status" "$text" >&2
            return 1
            ;;
    esac
}

# later COMMAND...: does it when the scenario ends, however it ends. The last one is done first.
later() { undo+=("$(printf '%q ' "$@")"); }

# wait_for SECONDS WHAT COMMAND...: tries the command until it succeeds, at most that long.
wait_for() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fail "waited in vain for $what"
        sleep 0.1
    done
}

# hold, release: between them an interruption waits, so that nothing is made without its removal being noted.
hold() {
    trap 'pending=130' INT
    trap 'pending=143' TERM
}
release() {
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ -n "$pending" ]; then exit "$pending"; fi
}

# whole COMMAND...: not ended by Ctrl-C, which every process of the terminal gets.
whole() { (trap '' INT TERM && "$@"); }

# netns NAME: makes a namespace.
netns() {
    hold
    whole ip netns add "$1"
    later ip netns del "$1"
    release
    ip -n "$1" link set lo up
}

# make COLLECTION NAME JSON: makes a vpc, connector or container.
make() {
    hold
    whole api POST "/v1/$1" "$3" >/dev/null
    later api DELETE "/v1/$1/$2"
    release
}

# in_state COLLECTION NAME STATE
in_state() { api GET "/v1/$1/$2" | grep -q "\"state\":\"$3\""; }

# attach CONTAINER CONNECTOR, detach CONTAINER CONNECTOR
attach() { api PUT "/v1/containers/$1/connectors/$2"; }
detach() { api DELETE "/v1/containers/$1/connectors/$2"; }

# fetch NAMESPACE URL [CURL OPTIONS]: what a program inside the namespace gets.
fetch() {
    local namespace=$1 url=$2
    shift 2
    ip netns exec "$namespace" curl -sS --max-time 5 "$@" "$url"
}

# refused NAMESPACE URL: succeeds if nothing can be fetched.
refused() { ! ip netns exec "$1" curl -s --max-time 2 -o /dev/null "$2"; }

# serve NAMESPACE ADDRESS NAME: a web server on port 80 whose only page is "hello from NAME". Its log is log NAME.
serve() {
    local host=$2
    case $host in *:*) host="[$host]" ;; esac
    mkdir "$work/$3"
    echo "hello from $3" >"$work/$3/index.html"
    ip netns exec "$1" python3 -u -m http.server --bind "$2" --directory "$work/$3" 80 >"$work/$3.log" 2>&1 &
    wait_for 10 "the server $3" fetch "$1" "http://$host/"
}

# log NAME: what the server has seen, one line a request, the client's address first.
log() { cat "$work/$1.log"; }

# saw SERVER ADDRESS: whether a client with that address came.
saw() { log "$1" | grep -q "^$2 "; }

# Servers and clients first, then what was made, the last first.
clean_up() {
    local status=$? i
    trap - EXIT
    trap '' INT TERM
    set +e
    # shellcheck disable=SC2046 # one word a process
    kill $(jobs -p) 2>/dev/null
    wait 2>/dev/null
    for ((i = ${#undo[@]} - 1; i >= 0; i--)); do
        eval "${undo[i]}" >/dev/null
    done
    rm -r "$work"
    exit $status
}

if [ "$(id -u)" != 0 ]; then fail 'namespaces need root: run this as root'; fi
for program in ip curl python3 ping; do
    command -v $program >/dev/null || fail "the program $program is missing: install it"
done
if [ ! -S "$WHARF_SOCKET" ]; then
    fail "no daemon at $WHARF_SOCKET: start 'wharf serve' first, or say where it is by WHARF_SOCKET"
fi
undo=()
pending=
work=$(mktemp -d)
trap clean_up EXIT
release
