#!/bin/sh
# Runs a command with apt and pip reading the packages in /supplies in place of a network, which it does not have.
# apt holds each package to its digest in packages/Packages, pip each wheel to those in the requirements.
set -eu

supplies=/supplies
scratch=/dev/shm

printf 'deb [trusted=yes] file:%s/packages ./\n' "$supplies" >"$scratch/supplies.list"
printf 'Dir::Etc::SourceList "%s/supplies.list";\nDir::Etc::SourceParts "-";\n' "$scratch" >"$scratch/apt.conf"
export APT_CONFIG="$scratch/apt.conf" PIP_NO_INDEX=1 PIP_FIND_LINKS="$supplies/wheels"

exec "$@"
