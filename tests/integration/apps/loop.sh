#!/bin/sh
# Says hello, then sleeps in a child; the sleeper must go with it.
echo "hello from sh $$ $*"
while :; do
	sleep 3600
done
