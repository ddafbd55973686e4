#!/bin/sh
# Ignores every signal that can be ignored, and so does its child.
trap '' INT TERM HUP QUIT USR1 USR2
echo "deaf $$"
while :; do
	sleep 3600
done
