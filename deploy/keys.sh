#!/bin/sh
# Makes the keys that are missing, and hands to each service those that it needs: what `keys` of compose.secure.yaml runs.
set -eu
workspace=${THALWEG_WORKSPACE:?}
thalweg keys init /keys --workspace "$workspace" --host nats --host localhost --host 127.0.0.1 --server-path /etc/thalweg/keys

hand() { # SERVICE FILE…
    folder=/handed/$1
    shift
    for file; do # whole or not at all: a service may read it at this moment
        install -m 640 "/keys/$file" "$folder/.new"
        mv "$folder/.new" "$folder/${file##*/}"
    done
}

hand nats nats.conf accounts.conf tls.conf ca.pem server.pem server.key
hand coordinator ca.pem "$workspace/coordinator.creds" "$workspace/issuer.json"
hand gateway ca.pem "$workspace/gateway.creds"
hand client ca.pem "$workspace/client.creds"
