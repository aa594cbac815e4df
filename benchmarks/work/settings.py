"""How much a run of the suite does."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contestants import Contestant
from benchmarks.peers.catalogue import Peer
from benchmarks.sites.catalogue import Framework

REMOTE_FRACTION = 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the command line asks for.

    Attributes:
        contestants: by name, in the order of the catalogue.
        operations: of each kind in a round.
        rounds: whose median counts.
        payloads: bytes of MessagePack.
        seconds: how long a mix lasts.
        shuffle: take tokens in random order, not in that of creation.
        sizes: populations of large stores.
        frameworks: whose sessions are compared.
        pause_seconds: how long the machine is left alone before each turn.

    """

    contestants: dict[str, Contestant]
    operations: int
    rounds: int
    payloads: tuple[int, ...]
    seconds: float
    shuffle: bool
    sizes: tuple[int, ...]
    frameworks: tuple[Framework, ...]
    pause_seconds: float

    def of(self, *peers: Peer) -> Iterator[Contestant]:
        """Yield those of some peers that take part."""
        for peer in peers:
            if peer.name in self.contestants:
                yield self.contestants[peer.name]

    @property
    def remote_operations(self) -> int:
        """How many where each is a request over gRPC."""
        return max(1, self.operations // REMOTE_FRACTION)
