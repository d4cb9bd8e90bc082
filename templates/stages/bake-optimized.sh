#!/bin/sh
# Derives a model's graph, and lays the model out in /out with it in place of the one that it was derived from.
set -eu

source=$1 # organisation/name
revision=$2
name=$3
epoch=$4

repository=models--${source%/*}--${source#*/}
original=/originals/$name
derived=/out/opt/hf-cache/optimized/$repository/$revision/$name

rm -rf /out
mkdir -p "$derived"
export PYTHONPATH=/ # where the package `stages` lies
/opt/optimizer/bin/python -P -m stages.optimize_model /derive/request.json \
    "$original/opt/hf-cache/hub/$repository/snapshots/$revision" "$derived"
/opt/optimizer/bin/python -P -m stages.bake_optimized /derive "$original" "$derived" /out
sh /stages/normalise.sh "$epoch"
