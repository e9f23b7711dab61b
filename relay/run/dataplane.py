"""Open the dataplane that a relay is to use."""

import logging
from dataclasses import replace

from relay.config.registry import Registry
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import DataplaneError
from relay.run.config import RelayConfig
from relay.wire.keys import KeyRing

_log = logging.getLogger(__name__)


def open_dataplane(config: RelayConfig, keys: KeyRing, registry: Registry) -> Dataplane:
    """The dataplane that the configuration chooses, loaded and told its settings.

    Raises:
        DataplaneError: XDP is wanted and cannot be had; the text says why and what to do.
    """
    if config.dataplane is DataplaneChoice.USERSPACE:
        return _taken_from_kernel(config) or UserspaceDataplane()
    if config.dataplane is DataplaneChoice.AUTO and not config.interfaces:
        _log.info("userspace dataplane: no --interface was named for XDP")
        return UserspaceDataplane()
    try:
        return open_xdp(config, keys, registry, pass_all=False)
    except DataplaneError as error:
        if config.dataplane is DataplaneChoice.XDP:
            raise
        _log.warning("userspace dataplane, because XDP cannot be had: %s", error)
        return _taken_from_kernel(config) or UserspaceDataplane()


def require_no_program(instance: str) -> None:
    """Make sure that the kernel forwards nothing for this instance.

    Raises:
        DataplaneError: Its program is loaded.
    """
    from relay.dataplane import xdp  # noqa: PLC0415  # see open_xdp

    if xdp.is_loaded(instance):
        raise DataplaneError(
            f"the XDP program of instance {instance} is loaded, and several workers cannot take "
            "its flows over: remove it with `icelane relay unload`, or start without --workers"
        )


def _taken_from_kernel(config: RelayConfig) -> Dataplane | None:
    """The program of this instance, if one is loaded, with everything left to the agent.

    It would drop what it does not know, and know nothing of the flows that are still to come.
    """
    from relay.dataplane import xdp  # noqa: PLC0415  # see open_xdp

    if not xdp.is_loaded(config.instance):
        return None
    _log.warning(
        "the XDP program of instance %s is loaded, and will pass everything up; "
        "`icelane relay unload` removes it",
        config.instance,
    )
    dataplane = xdp.XdpDataplane(config.instance, config.mode)
    dataplane.deactivate()
    return dataplane


def open_xdp(
    config: RelayConfig, keys: KeyRing, registry: Registry, *, pass_all: bool
) -> Dataplane:
    """The XDP dataplane, loaded where it is not; it may take seconds.

    Args:
        config: The relay's settings.
        keys: The cluster's keys.
        registry: The transceivers.
        pass_all: Whether everything goes to the agent until `Dataplane.activate`.

    Raises:
        DataplaneError: It cannot be had; the text says why and what to do.
    """
    from relay.dataplane import xdp  # noqa: PLC0415  # it brings what userspace mode does not need

    report = xdp.load(replace(config.load_config(keys, registry), pass_all=pass_all))
    for warning in report.warnings:
        _log.warning("%s", warning)
    if report.object is not None:
        _log.info(
            "XDP program loaded in %.0f ms on kernel %s, %s",
            report.seconds * 1000,
            report.kernel,
            report.object,
        )
    for interface, mode in report.interfaces.items():
        _log.info("XDP program %s on %s, %s mode", report.program, interface, mode)
    return xdp.XdpDataplane(config.instance, config.mode, report.facts)
