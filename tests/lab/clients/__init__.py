"""Real WebRTC clients, each a small program with one interface, and what they are put through.

A client is a process in the lab's client host. It writes events to its standard output and takes
commands from its standard input, one JSON object a line. Every event has ``event`` and ``at``,
milliseconds since 1970:

* ``offer`` with ``sdp``: a complete offer, at first and after ``restart``. The answer comes as a
  command; signaling is not what differs between clients, so the harness does it for all.
* ``connected`` with ``step``, ``ice`` or ``dtls``: for the first time.
* ``open`` with ``channel``, and ``message`` with ``channel`` and ``text``.
* ``stats`` with ``packets``, and ``energy`` or ``payloads``: the RTP packets that came, and what
  was in them since the last time: the energy of decoded audio (mean square of samples, full scale
  is 1, times seconds), or Opus packets in base64, which the harness decodes.
* ``unsupported`` with ``text``: it cannot do what was commanded.
* ``error`` with ``text``, and ``closed``, after which the process ends.

Commands have ``command``: ``answer`` with ``sdp``, ``restart`` (ICE), ``send`` with ``channel`` and
``text``, ``stats``, ``hangup``. The end of the input is a hang-up, too.

Every client makes two data channels, ``oai-events`` and ``echo``, and sends two tones in turn.
With a number of a stream in the variable `NEGOTIATED`, those in Python and Chromium make the first
of them on that stream, without a message that opens it (RFC 8831, section 6.5).
"""

NEGOTIATED = "ICELANE_NEGOTIATED_CHANNEL"
