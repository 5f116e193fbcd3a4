#!/usr/bin/env bash
# docker.sh up|down: a Docker daemon. One that answers already is used and never stopped; otherwise systemd's unit is
# started, and where there is no systemd (a container, a small VM) a daemon of our own, which `down` stops again.
. "$(dirname "$0")/lib.sh"

STATE=$CACHE/docker
PIDFILE=$STATE/dockerd.pid

answers() { timeout 20 docker info >/dev/null 2>&1; }

# ours: the pid of the daemon this script started, if it runs.
ours() {
    local pid
    pid=$(cat "$PIDFILE" 2>/dev/null) || return 1
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] && printf '%s' "$pid"
}

# Docker 20.10 gives a privileged container every capability the kernel knows. Where the bounding set lacks
# CAP_SYS_RESOURCE (bit 24), runc cannot grant it, so a wrapper takes it out of the OCI spec.
lacks_sys_resource() {
    local bounding
    bounding=$(awk '/^CapBnd:/ { print $2 }' /proc/self/status)
    (((0x$bounding >> 24 & 1) == 0))
}

start_own() {
    local -a options=(--data-root "$STATE/data" --exec-root /run/slipway-docker --pidfile "$PIDFILE")
    if lacks_sys_resource; then
        options+=(--add-runtime "narrow=$TESTBED/runc-narrow" --default-runtime narrow)
    fi
    mkdir -p "$STATE/data"
    # Left by a daemon that was killed: the pids may belong to other processes by now, which dockerd would take for it.
    rm -f "$PIDFILE" /run/slipway-docker/containerd/containerd.pid
    # Without the lock's descriptor, so that the daemon does not hold it.
    setsid nohup dockerd "${options[@]}" >"$LOGS/dockerd.log" 2>&1 </dev/null 9>&- &
}

up() {
    answers && return
    exclusively docker
    answers && return
    if [ -d /run/systemd/system ]; then
        step "starting Docker" docker-start systemctl start docker
    elif ours >/dev/null; then
        say "waiting for the Docker daemon that is starting"
    else
        say "starting a Docker daemon (log: $LOGS/dockerd.log)"
        start_own
    fi
    until_true 90 answers || die "the Docker daemon does not answer: $(culprit "$LOGS/dockerd.log")" "$LOGS/dockerd.log"
}

gone() { [ ! -e "/proc/$1" ]; }

down() {
    local pid
    pid=$(ours) || return 0
    say "stopping the Docker daemon"
    kill "$pid"
    until_true 60 gone "$pid" || die "the Docker daemon (pid $pid) does not stop" "$LOGS/dockerd.log"
}

case ${1:-} in
up) up ;;
down) down ;;
*) die "usage: docker.sh up|down" ;;
esac
