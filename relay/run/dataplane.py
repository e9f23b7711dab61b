"""Open the dataplane that a relay is to use."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from relay.config.registry import Finder
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import DataplaneError
from relay.run.config import RelayConfig
from relay.wire.keys import KeyRing

if TYPE_CHECKING:
    from relay.dataplane.kernel.privileged import Privileged

_log = logging.getLogger(__name__)


def own_privileges(config: RelayConfig) -> "Privileged":
    """What this process may do about the kernel's program of a relay."""
    from relay.dataplane.kernel.privileged import AsRoot  # noqa: PLC0415  # see open_xdp

    return AsRoot(config.instance)


def open_dataplane(
    config: RelayConfig, keys: KeyRing, registry: Finder, kernel: "Privileged | None" = None
) -> Dataplane:
    """The dataplane that the configuration chooses, loaded and told its settings.

    Args:
        config: The relay's settings.
        keys: The cluster's keys.
        registry: The transceivers.
        kernel: Does what needs privileges; None: this process.

    Raises:
        DataplaneError: XDP is wanted and cannot be had, or another network namespace has this
            instance; the text says why and what to do.
    """
    kernel = kernel or own_privileges(config)
    kernel.require_not_elsewhere()
    if config.dataplane is DataplaneChoice.USERSPACE:
        return _taken_from_kernel(config, kernel) or UserspaceDataplane()
    if config.dataplane is DataplaneChoice.AUTO and not config.interfaces:
        _log.info("userspace dataplane: no --interface was named for XDP")
        return _taken_from_kernel(config, kernel) or UserspaceDataplane()
    try:
        return open_xdp(config, keys, registry, kernel, pass_all=False)
    except DataplaneError as error:
        if config.dataplane is DataplaneChoice.XDP:
            raise
        _log.warning("userspace dataplane, because XDP cannot be had: %s", error)
        return _taken_from_kernel(config, kernel) or UserspaceDataplane()


def require_no_program(config: RelayConfig) -> None:
    """Make sure that the kernel forwards nothing for this instance.

    Raises:
        DataplaneError: Its program is loaded.
    """
    if own_privileges(config).is_loaded():
        raise DataplaneError(
            f"the XDP program of instance {config.instance} is loaded, and several workers cannot "
            "take its flows over: remove it with `icelane relay unload`, or start without --workers"
        )


def leave_to_agent(config: RelayConfig, kernel: "Privileged") -> None:
    """Let the program of an instance pass everything up, if it is loaded.

    Raises:
        DataplaneError: It is of another version, which cannot.
    """
    if (dataplane := _taken_from_kernel(config, kernel)) is not None:
        dataplane.close()


def _taken_from_kernel(config: RelayConfig, kernel: "Privileged") -> Dataplane | None:
    """The program of this instance, if one is loaded, with everything left to the agent.

    It would drop what it does not know, and know nothing of the flows that are still to come.
    """
    from relay.dataplane import xdp  # noqa: PLC0415  # see open_xdp

    if not kernel.is_loaded():
        return None
    _log.warning(
        "the XDP program of instance %s is loaded, and will pass everything up; "
        "`icelane relay unload` removes it",
        config.instance,
    )
    dataplane = xdp.XdpDataplane(config.instance, config.mode, kernel=kernel)
    dataplane.deactivate()
    return dataplane


def open_xdp(
    config: RelayConfig, keys: KeyRing, registry: Finder, kernel: "Privileged", *, pass_all: bool
) -> Dataplane:
    """The XDP dataplane, loaded where it is not; it may take seconds.

    Args:
        config: The relay's settings.
        keys: The cluster's keys.
        registry: The transceivers.
        kernel: Does what needs privileges.
        pass_all: Whether everything goes to the agent until `Dataplane.activate`.

    Raises:
        DataplaneError: It cannot be had; the text says why and what to do.
    """
    from relay.dataplane import xdp  # noqa: PLC0415  # it brings what userspace mode does not need

    report = kernel.load(replace(config.load_config(keys, registry), pass_all=pass_all))
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
    return xdp.XdpDataplane(
        config.instance, config.mode, report.facts, told=report.warnings, kernel=kernel
    )
