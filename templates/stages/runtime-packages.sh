#!/bin/sh
# Installs the image's few system packages and lays out in /out what that made and changed, without lists, logs and
# caches, and without a trace of when it ran.
set -eu

epoch=$1
begun=/dev/shm/begun

touch "$begun"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends ca-certificates libgomp1 python3 >/dev/null
apt-get clean
# Parts of the standard library that only people at a prompt read.
rm -rf /usr/lib/python3.*/pydoc_data /usr/lib/python3.*/test /usr/lib/python3.*/lib2to3

mkdir /out
find / -xdev -cnewer "$begun" ! -type d \
    ! -path '/dev/*' ! -path '/run/*' ! -path '/stages/*' ! -path '/supplies/*' ! -path '/tmp/*' \
    ! -path '/var/cache/apt/*' ! -path '/var/cache/debconf/*-old' ! -path /var/cache/ldconfig/aux-cache \
    ! -path '/var/lib/apt/lists/*' ! -path '/var/lib/dpkg/*-old' ! -path '/var/lib/dpkg/lock*' ! -path '/var/log/*' \
    -exec cp --archive --parents --target-directory=/out {} +
# What came in a package keeps the package's time, since compiled modules tell that of their source; the rest gets one.
find /out \( -type d -o -newer "$begun" \) -exec touch --no-dereference --date="@$epoch" {} +
