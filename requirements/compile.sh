#!/bin/sh
# Compiles NAME.in to OUT. Pins that OUT holds are kept where they still resolve. UV is the path of uv, and OUT is
# absolute or in this folder:
#   UV=/path/of/uv requirements/compile.sh cpu cpu.txt [--upgrade]
set -eu
name=$1
out=$2
shift 2
cd "$(dirname "$0")"
case $name in cpu | cpu-server) set -- "$@" --override cpu-overrides.txt ;; esac
# its packages go beside a trainer's, which have what these need
case $name in real) set -- "$@" --no-deps ;; esac
case $name in cpu* | *-cpu) [ -n "${UV_FIND_LINKS:-}" ] || set -- "$@" --torch-backend cpu ;; esac
"$UV" pip compile -q "$@" --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
  --no-header --no-annotate "$name.in" -o "$out"
# Beside a CPU torch, these two have no hash: where they come from differs from machine to machine.
case $name in
  cpu* | *-cpu)
    awk '/^(torch|triton)==/ { sub(/ \\$/, ""); print; bare = 1; next } bare && /^ / { next } { bare = 0; print }' \
      "$out" > "$out.new"
    mv "$out.new" "$out"
    ;;
esac
