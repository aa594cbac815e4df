"""Processes that share sessions on a server, and replies that are lost on the way: the answers fit one order.

Then processes that create sessions of subjects and labels are killed: every session is in the index of each.
"""

import time
from pathlib import Path
from random import Random

import crudjt
from tests.faults.model.sharing import Sharing
from tests.faults.tally import Tally, Violation
from tests.support.cluster_contents import contents
from tests.support.lossy_proxy import LossyProxy
from tests.support.processes import Fork
from tests.support.valkey_servers import ENGINES, SingleServer
from tests.support.valkey_stores import SINGLE

SECONDS = 1.0  # of a history
LOST = 0.1  # of the replies
KILLS = 12


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Play as many histories, and kill as many processes."""
    tally = Tally()
    random = Random(seed)
    with SingleServer(directory / "server", random.choice(ENGINES)) as server:
        for number in range(rounds):
            place = directory / str(number)
            place.mkdir()
            one_history(random, server, f"h{seed}-{number}", place, tally)
            kill_creators(random, server, f"k{seed}-{number}", tally)
    return tally


def one_history(random: Random, server: SingleServer, namespace: str, directory: Path, tally: Tally) -> None:
    """Let processes ask through a proxy that loses replies."""
    sharing = Sharing(server, namespace, directory, random, **SINGLE)
    with LossyProxy(server.node.port) as proxy:
        sharing.begin(f"valkey://127.0.0.1:{proxy.port}/{namespace}")
        try:
            time.sleep(0.2)
            proxy.lose_some(LOST, b"EVALSHA", b"GET", b"ZRANGE")
            time.sleep(SECONDS)
            proxy.pass_all()
            sharing.stop()
        finally:
            sharing.end()
        tally.faults += proxy.lost
    sharing.check(tally, undone=False)


def kill_creators(random: Random, server: SingleServer, namespace: str, tally: Tally) -> None:
    """Kill processes while they create sessions; each session is in its indexes, whenever that was."""
    url, key = server.url(namespace), crudjt.generate_secret_key()
    crudjt.open(url, secret_key=key, **SINGLE).close()
    for _ in range(KILLS):
        creator = Fork(_create, url, key)
        time.sleep(random.uniform(0.03, 0.08))
        creator.end()
        tally.kills += 1
        if differences := contents(server, namespace).differences():
            raise Violation("a session is in no index after its creator was killed", differences)


def _create(url: str, key: str) -> None:
    with crudjt.open(url, secret_key=key, **SINGLE) as store:
        while True:
            token = store.create({}, subject="ada", labels=("one", "two"))
            store.rotate(token, labels=("three",))
            store.create({}, subject="ada")
