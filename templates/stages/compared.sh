#!/bin/sh
# Compares every derived graph with its original, and lays what was measured out in /out; fails below a threshold.
set -eu

epoch=$1

rm -rf /out
mkdir -p /out/opt/bundle
python3 -m runtime compare /originals /compare >/out/opt/bundle/accuracy.json
sh /stages/normalise.sh "$epoch"
