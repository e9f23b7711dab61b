#!/bin/sh
# Runs all tests: `tests/run.sh PYTEST [ARGUMENT...]`. As root each of several processes has
# namespaces of its own (tests/isolation.py), and then there are three parts.
#
# Tests that have to do with media and networks in real time run in as many processes as there are
# processors: more of them would keep each other from their clocks. Beside them, with the time that
# they leave, run those that only compute (tests/conftest.py); what these say is told at their end.
# What is heard or measured, or finds a host gone that is silent for some milliseconds, is alone.
set -u
pytest=$1
shift
# Each process would compile all tests again, and each program of theirs what it imports.
unset PYTHONDONTWRITEBYTECODE
worst=5 # pytest's code where there is no such test, which is fine for one part

note() {
    case $1 in
        5) ;;
        0) [ "$worst" != 5 ] || worst=0 ;;
        *) worst=$1 ;;
    esac
}

if [ "$(id -u)" = 0 ]; then
    count=$(nproc)
    [ "$count" -le 4 ] || count=4
    said=$(mktemp)
    # A shell has what it starts beside it ignore Ctrl-C, which is to end both.
    env --default-signal=INT "$pytest" -n "$count" --dist loadfile \
        -m "not realtime and not alone" "$@" >"$said" 2>&1 &
    computing=$!
    trap 'wait "$computing"; cat "$said"; rm -f "$said"; exit 130' INT
    "$pytest" -n "$count" --dist loadfile -m "realtime and not alone" "$@"
    note $?
    echo "Waiting for the tests that only compute."
    wait "$computing"
    note $?
    trap - INT
    cat "$said"
    rm -f "$said"
else
    "$pytest" -m "not alone" "$@"
    note $?
fi
"$pytest" -m alone "$@"
note $?
exit "$worst"
