#!/bin/sh
# Lays one model out in /out as a Hugging Face cache: real files, no blobs, no links among them.
set -eu

source=$1 # organisation/name
revision=$2
epoch=$3

organisation=${source%/*}
name=${source#*/}
cache=/out/opt/hf-cache
repository=models--$organisation--$name
snapshot=$cache/hub/$repository/snapshots/$revision

mkdir -p "$snapshot" "$cache/transformers/$organisation"
cp -R /model/cache/. "$cache/"
if [ -f /model/fetch.json ]; then
    export PYTHONPATH=/ # where the package `stages` lies
    sh /stages/network.sh /opt/hub/bin/python -P -m stages.fetch_model /model/fetch.json /kept --copy-to "$snapshot"
else
    cp -R /files/. "$snapshot/"
    # A folder may change while it is sent; a fetched file is verified by the program that fetches it.
    (cd "$snapshot" && sha256sum --check --strict --quiet /model/sha256sums)
fi
# transformers.js finds a model below its cache folder as organisation/name.
ln -s "../../hub/$repository/snapshots/$revision" "$cache/transformers/$organisation/$name"

sh /stages/normalise.sh "$epoch"
