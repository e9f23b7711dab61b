#!/bin/sh
# Runs all tests: `tests/run.sh PYTEST [ARGUMENT...]`. As root each of several processes has
# namespaces of its own (tests/isolation.py), and then there are three parts, of which the first two
# have three processes for two processors: with one each, processors idle while tests wait.
#
# Those that only compute, or talk to themselves, come first. Those that have to do with media and
# networks in real time (tests/conftest.py) are kept from their clocks by nobody but their like. What
# is heard or measured, or finds a host gone that is silent for some milliseconds, is alone.
set -u
pytest=$1
shift
# Each process would compile all tests again, and each program of theirs what it imports.
unset PYTHONDONTWRITEBYTECODE
worst=5 # pytest's code where there is no such test, which is fine for one part
trap 'exit 130' INT # once pytest has ended, which gets it, too

part() {
    "$pytest" "$@"
    code=$?
    case $code in
        5) ;;
        0) [ "$worst" != 5 ] || worst=0 ;;
        *) worst=$code ;;
    esac
}

if [ "$(id -u)" = 0 ]; then
    count=$(($(nproc) * 3 / 2))
    [ "$count" -le 4 ] || count=4
    part -n "$count" --dist loadfile -m "not realtime and not alone" "$@"
    part -n "$count" --dist loadfile -m "realtime and not alone" "$@"
else
    part -m "not alone" "$@"
fi
part -m alone "$@"
exit "$worst"
