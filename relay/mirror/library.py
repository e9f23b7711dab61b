"""The functions in Redis by which relays agree who owns a flow; see flows.lua."""

from importlib import resources

from redis.exceptions import ResponseError

from relay.redisclient import Client, Pipe

CHANNEL = "icelane:flows:"  # and a VIP: where the writing and deleting of its records is told
_SOURCE = resources.files(__package__).joinpath("flows.lua").read_text("utf-8")


async def load(redis: Client) -> None:
    """Put the functions into a server, in the place of those of another version.

    Raises:
        RedisError: The server is away, is older than Redis 7, or does not permit it.
    """
    await redis.function_load(_SOURCE, replace=True)


def is_missing(error: object) -> bool:
    """Whether a server answers that it does not have the functions: it is new, or was flushed."""
    return isinstance(error, ResponseError) and "Function not found" in str(error)


def is_of_one_key(error: object) -> bool:
    """Whether a server refuses what concerns one key alone: its value is no text."""
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


def call(pipeline: Pipe, name: str, key: str, *arguments: str | bytes | int) -> None:
    """Add a call of ``icelane_flow2_claim``, ``_refresh`` or ``_release`` to a pipeline."""
    pipeline.execute_command("FCALL", f"icelane_flow2_{name}", 1, key, *arguments)
