#!/bin/sh
# make-env.sh [FILE]: writes the settings of compose.yaml, with fresh passwords and keys, readable by their owner alone.
set -eu
file=${1:-$(dirname "$0")/.env}
[ -e "$file" ] && { echo "error: $file is there already; what it protects needs its keys" >&2; exit 3; }
hex() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
key() { head -c 32 /dev/urandom | base64; }
umask 077
# A letter in front: nats-server would read what looks like a number as one.
cat >"$file" <<END
NATS_USER=thalweg
NATS_PASSWORD=p$(hex 20)
NATS_ROUTE_PASSWORD=r$(hex 20)
THALWEG_S3_ACCESS_KEY=k$(hex 10)
THALWEG_S3_SECRET_KEY=s$(hex 20)
THALWEG_SECRET_KEY=$(key)
THALWEG_SIGNING_KEY=$(key)
END
