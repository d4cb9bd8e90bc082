#!/bin/sh
# Installs what a fetch stage needs; none of it reaches the image.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends ca-certificates python3 python3-venv >/dev/null
python3 -m venv /opt/hub
/opt/hub/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
    --requirement /stages/hub-requirements.txt
