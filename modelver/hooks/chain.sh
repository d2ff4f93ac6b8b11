#!/bin/sh
# Written by modelver: its own part, then the hook that was here before.
@BLOCK@
modelver_before="${0%/*}/@NAME@.before-modelver"
if [ -x "$modelver_before" ]; then
    "$modelver_before" "$@"
    exit $?
fi
