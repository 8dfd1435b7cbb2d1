#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz target of the module for the given time, one after the other.
# A failing input is kept by `go test` under testdata/fuzz of the package. The time
# is for running: making inputs small that are merely interesting takes most of it
# otherwise.
set -eu
time=${1:-2s}
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for file in $(grep -rl --include='*_test.go' '^func Fuzz' pkg internal cmd test 2>/dev/null | sort); do
    dir=$(dirname "$file")
    for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
        if ! ${GO:-go} test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 20x -timeout 0 "./$dir" >"$log" 2>&1; then
            # On a busy machine go's own fuzzing engine takes the end of the time for a failure (go issue 48591). There is
            # no failing input then.
            if grep -q 'Failing input' "$log" || ! grep -q '^ *context deadline exceeded$' "$log"; then
                cat "$log"
                exit 1
            fi
        fi
        echo "fuzz  $dir $target $time: $(sed -n 's/^fuzz: elapsed.*\(execs: [0-9]*\).*/\1/p' "$log" | tail -1)"
    done
done
