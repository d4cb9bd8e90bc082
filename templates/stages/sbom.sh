#!/bin/sh
# Completes the bill of materials by what is installed, and lays it out in /out.
set -eu

epoch=$1

rm -rf /out
mkdir -p /out/opt/bundle
PYTHONUTF8=1 python3 /stages/sbom.py /sbom.json /installed.json >/out/opt/bundle/sbom.cdx.json
sh /stages/normalise.sh "$epoch"
