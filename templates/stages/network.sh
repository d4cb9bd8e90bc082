#!/bin/sh
# Runs a command with what the build's secrets say about the network. The secrets are mounts, and what is
# derived from them lies in memory, so nothing of it is in the layer.
set -eu

secrets=/run/secrets
scratch=/dev/shm

if [ -f "$secrets/network" ]; then
    set -a
    . "$secrets/network"
    set +a
fi

if [ -f "$secrets/pip_conf" ]; then
    export PIP_CONFIG_FILE="$secrets/pip_conf"
fi

if [ -f "$secrets/ca_bundle" ]; then
    export PIP_CERT="$secrets/ca_bundle" SSL_CERT_FILE="$secrets/ca_bundle" REQUESTS_CA_BUNDLE="$secrets/ca_bundle"
    printf 'Acquire::https::CAInfo "%s";\n' "$secrets/ca_bundle" >"$scratch/apt.conf"
    export APT_CONFIG="$scratch/apt.conf"
fi

exec "$@"
