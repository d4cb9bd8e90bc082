#!/bin/sh
# Gathers in /out/supplies what the stages of a server install, for a build that has no network: Debian's packages
# with all that they need beyond the base image, an index of them for apt, and the wheels.
set -eu

packages=/out/supplies/packages
wheels=/out/supplies/wheels

export DEBIAN_FRONTEND=noninteractive
mkdir -p "$packages" "$wheels"
apt-get update -qq
# Every name that a stage installs.
apt-get install -qq --yes --no-install-recommends --download-only \
    binutils ca-certificates libgomp1 python3 python3-venv >/dev/null
find /var/cache/apt/archives -maxdepth 1 -name '*.deb' -exec cp -t "$packages" {} +

apt-get install -qq --yes --no-install-recommends python3 python3-venv >/dev/null
python3 -m venv /opt/installer
# One call for each list: they may pin one wheel with other hashes, which pip refuses in one.
for requirements in /stages/requirements.txt /stages/optimizer-requirements.txt; do
    [ -f "$requirements" ] || continue # an optimiser is only gathered for a manifest that wants it
    /opt/installer/bin/pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps \
        --only-binary :all: --require-hashes --requirement "$requirements" --dest "$wheels"
done

cd "$packages"
for package in *.deb; do
    [ -f "$package" ] || continue # the base may have them all
    dpkg-deb --field "$package"
    digest=$(sha256sum "$package" | cut -d ' ' -f 1)
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$package" "$(stat --format %s "$package")" "$digest"
done >Packages
