#!/bin/sh
# Starts and ends a Consul for the tests of CTest; see consul_lockTesting.cmake.
#
#   consul_lock_test_consul.sh start FILE PROGRAM [OPTION]...     PROGRAM dev OPTION...
#   consul_lock_test_consul.sh stop FILE
#
# The first of these two processes ends at once, and consul-lock ends with its parent. So a process in between, the
# keeper, has consul-lock as its child. The keeper ends when FILE, with its number, is gone, and when CTest is.
set -u

what=$1 file=$2
shift 2

# Ends the keeper, and waits for that. A process that has ended may still count as one until its parent looks, so the
# keeper removes a file at its end.
stop() {
  [ -f "$file" ] || return 0
  keeper=$(cat "$file")
  mv "$file" "$file.end"
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      if ! [ -f "$file.end" ] || ! kill -0 "$keeper" 2> /dev/null; then
        rm -f "$file.end"
        return 0
      fi
      sleep 0.1
    done
  done
  echo "the Consul of $file does not end" >&2
  return 1
}

keep() {
  ctest=$1
  shift
  "$@" > "$file.said" 2>&1 < /dev/null &
  consul=$!
  while [ -f "$file" ] && kill -0 "$ctest" 2> /dev/null && kill -0 "$consul" 2> /dev/null; do sleep 0.1; done
  kill "$consul" 2> /dev/null
  wait "$consul"
  rm -f "$file" "$file.end"
}

if [ "$what" = stop ]; then
  stop
  exit
fi

program=${CONSUL_LOCK_COMMAND:-$1}
shift
if ! command -v "$program" > /dev/null; then
  echo "the program $program is missing: install libconsul_lock with its command (\`make\`, \`make install\`)," \
    "or name the program in CONSUL_LOCK_COMMAND" >&2
  exit 1
fi
# What an interrupted run has left.
stop || exit
: > "$file.said"
: > "$file"
(
  # CTest waits until its pipes are closed. (For a redirected function, a shell keeps the pipes aside.)
  exec > /dev/null 2>&1 < /dev/null
  keep "$PPID" "$program" dev "$@"
) &
keeper=$!
echo "$keeper" > "$file"
until grep -q '^CONSUL_HTTP_ADDR=' "$file.said"; do
  if ! kill -0 "$keeper" 2> /dev/null; then
    rm -f "$file"
    echo "$program dev $* did not serve:" >&2
    cat "$file.said" >&2
    exit 1
  fi
  sleep 0.02
done
cat "$file.said"
