#!/bin/sh
# Writes as fast as it can, without an end; not numbered: see tests/helpers/lines.c for that.
exec yes "${1:-a line of a flood that does not end}"
