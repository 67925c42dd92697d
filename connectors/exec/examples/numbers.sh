#!/bin/sh
# The same in shell: the numbers from 0 on. Positions are digits alone, so sed can find them.
read -r line || exit
number=$(printf '%s\n' "$line" | sed -n 's/.*"position":"\([0-9]*\)".*/\1/p')
number=${number:-0}
while :; do
  printf '{"events":[{"number":%d}],"position":"%d"}\n' "$number" $((number + 1))
  number=$((number + 1))
  read -r line || exit
done
