"""What `icelane doctor` is told: the settings of a relay, or some of them, or none."""

from pathlib import Path

from relay.config.fields import FilePath, HostAddresses, Hosts, setting
from relay.dataplane.interface import DataplaneChoice
from relay.run.settings import RelaySettings


class DoctorSettings(RelaySettings):
    """The section ``[relay]``, of which nothing has to be there."""

    vip: HostAddresses = setting(
        (), help="a public address of the relay", metavar="IP:PORT", shown="none"
    )
    upstream: Hosts = setting(
        (), help="an internal address of the relay", metavar="IP", shown="none"
    )
    keys: FilePath | None = setting(  # type: ignore[assignment]  # here it may be missing
        None, help="the key file", metavar="FILE", shown="none"
    )

    @property
    def given(self) -> bool:
        """Whether anything describes a relay."""
        return any((self.vip, self.upstream, self.keys, self.registry, self.redis, self.interface))

    @property
    def missing(self) -> list[str]:
        """What a relay could not be run without, as options."""
        wanted = {"--vip": self.vip, "--upstream": self.upstream, "--keys": self.keys}
        found = [name for name, value in wanted.items() if not value]
        return found if self.registry or self.redis else [*found, "--registry or --redis"]

    @property
    def may_use_kernel(self) -> bool:
        """Whether the kernel may come to forward; of a host alone it may."""
        if self.dataplane is DataplaneChoice.USERSPACE:
            return False
        return bool(self.interface) or self.dataplane is DataplaneChoice.XDP or not self.given

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it reads."""
        return tuple(path for path in (self.keys, self.registry) if path is not None)
