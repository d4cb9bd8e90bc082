#!/bin/sh
# Asks every model of the image and lays its golden answers out in /out.
set -eu

epoch=$1

rm -rf /out
mkdir -p /out/opt/bundle
python3 -m runtime golden >/out/opt/bundle/golden.json
sh /stages/normalise.sh "$epoch"
