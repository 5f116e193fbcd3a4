# shellcheck shell=bash
# Shared by every script of the test bed: where things are, and how steps are printed. Sourced, never run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TESTBED=$ROOT/e2e/testbed
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/slipway
LOGS=$CACHE/logs
CLUSTER=${SLIPWAY_CLUSTER:-slipway}
export ROOT TESTBED CACHE LOGS CLUSTER
KUBECONFIG=$CACHE/kubeconfig$([ "$CLUSTER" = slipway ] || echo "-$CLUSTER")
export KUBECONFIG
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
export SLIPWAY_STARTED=${SLIPWAY_STARTED:-$(date +%s)}
mkdir -p "$LOGS" "$CACHE/bin"
export PATH=$CACHE/bin:$CACHE/venv/bin:$PATH:$HOME/.cargo/bin:/usr/local/go/bin:/usr/sbin:/sbin
# shellcheck source=versions.env
. "$TESTBED/versions.env"

# say TEXT: one line of progress, with the time since the command began.
say() {
    local t=$(($(date +%s) - SLIPWAY_STARTED))
    printf '==> [%02d:%02d] %s\n' $((t / 60)) $((t % 60)) "$*"
}

# detail TEXT: a line below a step.
detail() { printf '            %s\n' "$*"; }

# die TEXT [LOG]: ends the script with one line, and the log to look at.
die() {
    printf '\nerror: %s\n' "$1" >&2
    printf 'logs:  %s\n' "${2:-$LOGS}" >&2
    exit 1
}

# culprit LOG: the line of a log that most likely says what went wrong.
culprit() {
    local line
    line=$(grep -aE '^(error|fatal|panic)(\[|:| )|: (error|fatal):' "$1" | head -1) || true
    [ -n "$line" ] || line=$(grep -aiE 'error|fatal|panic|cannot|failed|no such|denied' "$1" | tail -1) || true
    [ -n "$line" ] || line=$(grep -av '^[[:space:]]*$' "$1" | tail -1) || true
    printf '%s' "${line:-no output}" | cut -c1-300
}

# step TEXT NAME COMMAND...: runs COMMAND with its output in $LOGS/NAME.log; says how long it took.
step() {
    local text=$1 log=$LOGS/$2.log begun status=0
    shift 2
    say "$text"
    begun=$(date +%s)
    # A subshell outside any condition, or `set -e` would not hold inside a COMMAND that is a function.
    set +e
    (set -e; "$@") >"$log" 2>&1 </dev/null
    status=$?
    set -e
    finish "$text" "$log" "$begun" "$status"
}

# show TEXT NAME COMMAND...: like step, but the output is shown as well as kept.
show() {
    local text=$1 log=$LOGS/$2.log begun status=0
    shift 2
    say "$text"
    begun=$(date +%s)
    set +e
    (set -e; "$@") 2>&1 </dev/null | tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    finish "$text" "$log" "$begun" "$status"
}

# finish TEXT LOG BEGUN STATUS: the end of a step.
finish() {
    local took=$(($(date +%s) - $3))
    [ "$4" -eq 0 ] || die "$1: $(culprit "$2")" "$2"
    [ "$took" -lt 2 ] || detail "done in ${took}s"
}

# until_true SECONDS COMMAND...: polls COMMAND until it succeeds or the time is up.
until_true() {
    local deadline=$(($(date +%s) + $1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 1
    done
}

# fingerprint PATH...: a short hash over the names and the contents of files and folders; words are hashed as they are.
fingerprint() {
    local path
    for path in "$@"; do
        if [ -d "$path" ]; then
            (cd "$path" && find . -type f -not -path '*/target/*' -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum)
        elif [ -f "$path" ]; then
            sha256sum <"$path"
        else
            printf '%s\n' "$path"
        fi
    done | sha256sum | cut -c1-12
}

# keep_only FOLDER PREFIX SUFFIX: removes the entries of FOLDER that begin with PREFIX and go on otherwise.
keep_only() {
    local entry
    for entry in "$1/$2"*; do
        [ "$entry" = "$1/$2$3" ] || rm -rf "$entry"
    done
}

# image_exists NAME: whether the Docker daemon holds an image.
image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

# cluster_nodes: the names of the cluster's node containers, running or not.
cluster_nodes() {
    docker ps -a --filter "label=io.x-k8s.kind.cluster=$CLUSTER" --format '{{.Names}}' | LC_ALL=C sort
}

# exclusively NAME: holds a lock until the script ends, so that two commands at once do not build or make the same thing.
exclusively() {
    exec 9>"$CACHE/$1.lock"
    flock -n 9 || {
        say "waiting for another command that holds $CACHE/$1.lock"
        flock 9
    }
}

have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: runs it as root, by sudo if need be.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "these commands need root, and there is no sudo: $*"
    fi
}

# debian_name ARCH: what Debian (and Go) call an architecture.
debian_name() {
    case $1 in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "no such architecture here: $1 (x86_64 and aarch64 are)" ;;
    esac
}

# module_key MODULE: changes with what the programs of a Go module are built from.
module_key() { fingerprint "$1" "$TESTBED/go/$1" "$TESTBED/binaries.sh" "$GO_TOOLCHAIN"; }

# module_bin MODULE: where binaries.sh puts them.
module_bin() { printf '%s/testbed/bin-%s-%s' "$CACHE" "$1" "$(module_key "$1")"; }
