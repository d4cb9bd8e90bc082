#!/bin/sh
# Lays the server and its decisions out in /out, compiled.
set -eu

epoch=$1

rm -rf /out
cp -R /app/. /out/
python3 -m compileall -q --invalidation-mode unchecked-hash -s /out -p / /out/app
sh /stages/normalise.sh "$epoch"
