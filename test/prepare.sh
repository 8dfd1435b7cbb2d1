#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The race detector links with the C library, so it needs a C compiler.
set -eu
if command -v "${CC:-cc}" >/dev/null || command -v gcc >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "the race detector needs a C compiler: install gcc or clang and run again" >&2
    exit 1
fi
root=
if [ "$(id -u)" != 0 ]; then
    echo "the race detector needs a C compiler; installing gcc needs root:" >&2
    root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
set -- -q -y install --no-install-recommends gcc libc6-dev
$root apt-get "$@" || { $root apt-get -q update; $root apt-get "$@"; }
