#!/bin/sh
# Asks every model of the image, the originals of those that were optimised, and lays the answers out in /out.
set -eu

epoch=$1

rm -rf /out
mkdir -p /out/opt/bundle
if [ -d /originals ]; then # of models whose graph was derived
    set -- --originals /originals
else
    set --
fi
python3 -m runtime golden "$@" >/out/opt/bundle/golden.json
sh /stages/normalise.sh "$epoch"
