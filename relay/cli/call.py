"""`icelane call`: place a call, send audio, and account for every packet."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from yarl import URL

    from relay.caller.report import Report


def call(
    url: Annotated[
        str,
        typer.Argument(metavar="URL", help="The signaling server, such as http://192.0.2.1:8080."),
    ],
    *,
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar="ICELANE_API_KEY",
            help="The API key; better in the environment, where others of this host do not see it.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Who is to answer, such as echo or agent; `/v1/models` lists them. "
            "Default: the server's first.",
        ),
    ] = None,
    wav: Annotated[
        Path | None,
        typer.Option(
            help="Audio file to send, of any format. Default: a spoken sentence.", readable=False
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Record what comes back to this WAV file.", readable=False),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="How long to send audio; it is repeated.")
    ] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object.")
    ] = False,
    progress_json: Annotated[
        bool,
        typer.Option(
            "--progress-json", help="Print a JSON object per step; the last one is the report."
        ),
    ] = False,
) -> None:
    """Place a call, send audio, and account for every packet.

    Ctrl-C ends the call early. The exit code is 0 for a good call; 3 when an audio file cannot
    be used, 4 when signaling cannot be reached, 5 when it refuses the call, 6 when ICE fails,
    7 when DTLS fails, 8 when no audio comes back, 9 when the other side ends the call early,
    130 when it was interrupted before it was set up.

    Examples:
        icelane call http://127.0.0.1:8080
        icelane call https://voice.example.net --model agent --seconds 30 --record answer.wav
        icelane call http://127.0.0.1:8080 --json | jq .rtt
    """
    from relay.caller.call import SPEECH, CallPlan, place_call
    from relay.caller.output import JsonLinesOutput, JsonOutput, Output, TerminalOutput

    plan = CallPlan(_server_url(url), seconds, wav or SPEECH, record, api_key, model)
    view: Output = (
        JsonLinesOutput() if progress_json else JsonOutput() if as_json else TerminalOutput()
    )

    async def placed() -> "Report":
        return await place_call(plan, stopped=_stop_on_signals(), progress=view.progress)

    with view:
        report = asyncio.run(placed())
    view.finish(report)
    if report.error is not None:
        typer.echo(f"icelane: {report.error['message']}", err=True)
        raise typer.Exit(int(report.error["code"]))


def _server_url(text: str) -> "URL":
    from yarl import URL

    try:
        url = URL(text)
        usable = url.scheme in {"http", "https"} and bool(url.host)
    except ValueError:
        usable = False
    if not usable:
        raise typer.BadParameter(
            f"{text!r} is not a URL such as http://192.0.2.1:8080", param_hint="URL"
        )
    return url


def _stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set from now on."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
