#!/bin/sh
# The life of a WHIP session, request by request, with curl: no sound is sent.
#
#     sh session.sh http://127.0.0.1:8080/whip
set -eu
url=${1:-http://127.0.0.1:8080/whip}
key=${OPENAI_API_KEY:-none}
here=$(dirname "$0")
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT
curl() { command curl --silent --show-error --fail --header "Authorization: Bearer $key" "$@"; }
header() { sed -n "s/^$1: \(.*\)\r$/\1/Ip" "$headers"; }

echo "# OPTIONS: what may be posted"
curl --request OPTIONS --dump-header - "$url" | grep -i '^accept-'

echo "# POST: an offer, answered"
curl --dump-header "$headers" --header 'Content-Type: application/sdp' --data-binary "@$here/offer.sdp" "$url" |
    grep -E '^a=(ice-lite|setup|candidate)'
session=$(header Location)
case $session in /*) session=$(echo "$url" | sed 's|\(//[^/]*\)/.*|\1|')$session ;; esac
echo "$session"

echo "# PATCH: a candidate"
{
    grep -E '^a=ice-(ufrag|pwd):' "$here/offer.sdp" | head -n 2
    printf 'm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n'
    printf 'a=candidate:1 1 UDP 2130706431 192.0.2.9 9999 typ host\r\n'
} |
    curl --request PATCH --header "If-Match: $(header ETag)" \
        --header 'Content-Type: application/trickle-ice-sdpfrag' --data-binary @- \
        --write-out '%{http_code}\n' "$session"

echo "# DELETE: the end"
curl --request DELETE --output /dev/null --write-out '%{http_code}\n' "$session"
