#!/bin/sh
# Installs what a stage needs to derive a graph; none of it reaches the image.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends python3 python3-venv >/dev/null
python3 -m venv /opt/optimizer
/opt/optimizer/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
    --requirement /stages/optimizer-requirements.txt
