#!/bin/bash
# A script with a child of its own: stopping it must take both.
trap 'echo "stopping"; exit 0' INT TERM
echo "started: process $$ waits for its child"
sleep 1000000 &
echo "note: this line goes to the error log" >&2
wait
