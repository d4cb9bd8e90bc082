#!/bin/sh
# Installs the image's few system packages and leaves no lists, logs or caches of it, nor the time at which it ran.
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
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache \
    /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/lib/dpkg/*-old
# What came in a package has the package's time, and compiled modules tell that of their source; the rest gets one.
find / -xdev -newer "$begun" -exec touch --no-dereference --date="@$epoch" {} +
