#!/usr/bin/env bash
# Builds the image and runs tests/docker: with the Docker engine there is, else (root) with one started for it and removed again.
# Arguments go to pytest. ENGINE_DIR keeps the started engine's images for the next run; without it nothing stays.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
export PATH=$PWD/.venv/bin:$PATH PYTHONSAFEPATH=1 THALWEG_DOCKER_TESTS=1
work=$(mktemp -d)
within=()

image_of() { sed -n "s/.*image: \${$1:-\(.*\)}/\1/p" deploy/compose.yaml; }

# pip's own settings go into the build as secrets, so that they are in no layer.
printf '[global]\n' >"$work/pip.conf"
index=$(python -m pip config get global.index-url 2>/dev/null || true)
[ -z "$index" ] || printf 'index-url = %s\n' "$index" >>"$work/pip.conf"
secrets="--secret id=pipconf,src=$work/pip.conf"
if [ -n "${PIP_CERT:-}" ]; then
    printf 'cert = /run/secrets/ca.pem\n' >>"$work/pip.conf"
    secrets+=" --secret id=cabundle,src=$PIP_CERT"
fi
export IMAGE_ARGS="$secrets"

if docker info >/dev/null 2>&1; then
    trap 'rm -rf "$work"' EXIT
    make image
else
    [ "$(id -u)" = 0 ] || { echo "error: no Docker engine answers, and only root can start one" >&2; exit 6; }
    engine=$here/engine.sh
    if [ -n "${ENGINE_DIR:-}" ]; then trap '"$engine" stop; rm -rf "$work"' EXIT; else
        export ENGINE_DIR=$work/e
        trap '"$engine" clean; rm -rf "$work"' EXIT
    fi
    export DOCKER_HOST=unix://$ENGINE_DIR/s/d.sock
    [ ! -x /usr/bin/docker ] || export DOCKER=/usr/bin/docker # Debian's client of the engine builds with BuildKit without a plugin
    "$engine" install
    "$engine" start host
    docker pull -q "$(sed -n 's/^ARG BASE_IMAGE=//p' deploy/Dockerfile)" >/dev/null 2>&1 ||
        "$engine" bases deploy/Dockerfile "$(image_of NATS_IMAGE)" "$(image_of S3_IMAGE)"
    export IMAGE_ARGS="--network=host $secrets"
    make image
    "$engine" stop
    "$engine" start net
    within=(nsenter "--net=$ENGINE_DIR/s/net")
fi
# `docker compose` is the compose of the lock file, whatever plugins there are.
mkdir -p "$work/config/cli-plugins"
ln -s "$PWD/.venv/bin/docker-compose" "$work/config/cli-plugins/docker-compose"
export DOCKER_CONFIG=$work/config
"${within[@]}" python -m pytest -q tests/docker "$@"
