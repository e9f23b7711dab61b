"""What of an answer is ICE's: a fragment of SDP (RFC 8840, section 9), as WHIP and WHEP tell it.

A client that restarts ICE without an offer is told new credentials and candidates, and nothing
else changes (RFC 9725, section 4.3.3).
"""

from relay.wire.transport import Transport
from transceiver.plan import Credentials

_OF_SESSION = ("a=ice-lite", "a=group:")
_CANDIDATE = "a=candidate:"
_OF_SECTION = ("a=mid:", "a=ice-ufrag:", "a=ice-pwd:", _CANDIDATE, "a=end-of-candidates")


def restarted(answer: str, before: Credentials, now: Credentials) -> str:
    """An answer of ours in which one transport has other credentials.

    Args:
        answer: The answer.
        before: The transport's credentials in it.
        now: Those that it is to have.
    """
    changes = {
        f"a=ice-ufrag:{before.ufrag}": f"a=ice-ufrag:{now.ufrag}",
        f"a=ice-pwd:{before.password}": f"a=ice-pwd:{now.password}",
    }
    return "".join(f"{changes.get(line, line)}\r\n" for line in answer.splitlines())


def fragment_of(answer: str, transport: Transport) -> str:
    """The ICE of an answer: what it says of the session, and of the first section in use.

    Of the candidates it has one, the preferred one of the transport that the client has come by:
    whip.js 1.2 joins several with a comma, and fails to read what it has made of them.

    Args:
        answer: An answer of ours.
        transport: How the client reaches the relay.
    """
    session, *sections = answer.split("\r\nm=")
    used = next(each for each in sections if each.split()[1] != "0")
    media, *attributes = used.splitlines()
    lines = [line for line in session.splitlines() if line.startswith(_OF_SESSION)]
    lines.append(f"m={media}")
    lines += [line for line in attributes if line.startswith(_OF_SECTION)]
    candidates = [line for line in lines if line.startswith(_CANDIDATE)]
    told = next((each for each in candidates if f" {transport.value} " in each), candidates[0])
    return "".join(f"{line}\r\n" for line in lines if line not in candidates or line is told)
