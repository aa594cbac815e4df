"""Two users at one store: its owner works, while root runs commands on it; some of either are killed.

The owner may never be locked out: what root makes belongs to the owner of the directory.
"""

import os
import pwd
import shutil
import stat
import time
from functools import partial
from pathlib import Path
from random import Random

import crudjt
from crudjt._backends.embedded.doctor.check import examine
from crudjt._filesystem import host
from tests.faults.model.lives import Lives, finished
from tests.faults.tally import Tally, Unavailable, Violation
from tests.support.embedded import compact
from tests.support.processes import Fork

OWNER = "nobody"
COMMANDS = 6
ENDLESS = 10**9


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Let them meet at as many stores."""
    if os.geteuid() != 0:
        raise Unavailable("only root can be another user")
    for above in directory.parents:
        mode = stat.S_IMODE(above.stat().st_mode)
        if not mode & stat.S_IXOTH:
            above.chmod(mode | 0o011)
    directory.chmod(0o711)
    tally = Tally()
    for number in range(rounds):
        place = directory / str(number)
        place.mkdir()
        place.chmod(0o711)  # whatever the umask is
        _meet(Random(f"{seed} {number}"), place, tally)
        shutil.rmtree(place)
    return tally


def _meet(random: Random, directory: Path, tally: Tally) -> None:
    owner = pwd.getpwnam(OWNER)
    for name in ("store", "journals"):
        (directory / name).mkdir(mode=0o700)
        os.chown(directory / name, owner.pw_uid, owner.pw_gid)
    lives = Lives(directory / "store", directory / "journals", crudjt.generate_secret_key())
    become_owner = partial(_become, owner.pw_uid, owner.pw_gid)
    boot = host.Boot("boot 0", 1_700_000_000)
    working: Fork | None = None
    try:
        for number in range(COMMANDS):
            if random.random() < 0.3:
                if working is not None:
                    _end(working, lives)
                    working = None
                    tally.kills += 1
                boot = boot._replace(id=f"boot {number}")  # the next to open makes the view again
            root_first = random.random() < 0.5
            if working is None and not root_first:
                working = lives.begin(random, boot, full=False, operations=ENDLESS, before=become_owner)
                time.sleep(random.uniform(0, 0.1))
            command = Fork(_command, random.randrange(10**9), lives.path, lives.secret_key, boot)
            if random.random() < 0.3:
                time.sleep(random.uniform(0, 0.05))
                command.kill()
                tally.kills += 1
            finished(command, lives.events())
            if working is None:
                working = lives.begin(random, boot, full=False, operations=ENDLESS, before=become_owner)
            time.sleep(random.uniform(0.01, 0.05))
        assert working is not None
        _end(working, lives)
        tally.kills += 1
        working = None
        _require_owner(lives.path, owner.pw_uid)
    finally:
        if working is not None:
            working.end()
    tally.operations += lives.operations()
    lives.check(boot, power_failed=False)
    finished(lives.begin(random, boot._replace(id="the last boot"), full=True, operations=20, before=become_owner), [])
    _require_owner(lives.path, owner.pw_uid)
    lives.check(boot._replace(id="the last boot"), power_failed=False)


def _become(user: int, group: int) -> None:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)


def _end(working: Fork, lives: Lives) -> None:
    working.kill()
    finished(working, lives.events())


def _command(seed: int, path: Path, secret_key: str, boot: host.Boot) -> None:
    """Do as root what the commands of the shell do; nothing of it changes a session."""
    host.current_boot = lambda: boot  # this process ends with the function
    random = Random(seed)
    action = random.choice(["sweep", "compact", "backup", "doctor", "create"])
    if action == "doctor" and (path / "manifest").exists():
        examine(path)
        return
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as store:
        if action == "sweep":
            store.sweep()
        elif action == "compact":
            compact(store, 0)
        elif action == "backup":
            store.backup(path.with_name(f"backup-{seed}"))
        else:
            store.delete(store.create({"by": "root"}))


def _require_owner(path: Path, user: int) -> None:
    strange = [str(each.relative_to(path)) for each in (path, *path.rglob("*")) if each.stat().st_uid != user]
    if strange:
        raise Violation(f"what root made does not belong to the owner of the store: {', '.join(strange)}")
