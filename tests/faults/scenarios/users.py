"""Several users at one store: its owner works, while root runs commands on it; some of either are killed.

Half of the stores are shared with a group, and then a member of it works there too. No user may ever be locked out:
what root makes belongs to the owner of the directory, and what anybody makes in a shared one is there for the group.
"""

import os
import pwd
import shutil
import signal
import stat
import time
from functools import partial
from pathlib import Path
from random import Random

import crudjt
from crudjt._backends.embedded.doctor.check import examine
from crudjt._filesystem import host
from tests.faults.model.lives import OPERATOR, Lives, finished
from tests.faults.tally import Tally, Unavailable, Violation
from tests.support.embedded import compact
from tests.support.processes import Fork

OWNER = "nobody"
MEMBER = "daemon"
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
    shared = random.random() < 0.5
    for name in ("store", "journals"):
        (directory / name).mkdir()
        os.chown(directory / name, owner.pw_uid, owner.pw_gid)
        (directory / name).chmod(0o2770 if shared else 0o700)
    lives = Lives(directory / "store", directory / "journals", crudjt.generate_secret_key())
    users = [owner.pw_uid, pwd.getpwnam(MEMBER).pw_uid] if shared else [owner.pw_uid]
    boot = host.Boot("boot 0", 1_700_000_000)
    working: list[Fork] = []

    def begin(user: int, *, full: bool = False, operations: int = ENDLESS) -> Fork:
        become = partial(_become, user, owner.pw_gid)
        return lives.begin(random, boot, full=full, operations=operations, before=become)

    try:
        for number in range(COMMANDS):
            if random.random() < 0.3:
                tally.kills += _end_all(working, lives)
                boot = boot._replace(id=f"boot {number}")  # the next to open makes the view again
            if not working and random.random() < 0.5:
                working += map(begin, users)
                time.sleep(random.uniform(0, 0.1))
            command = Fork(_command, random.randrange(10**9), lives.path, lives.secret_key, boot)
            if random.random() < 0.3:
                time.sleep(random.uniform(0, 0.05))
                command.kill()
                tally.kills += 1
            finished(command, lives.events())
            if not working:
                working += map(begin, users)
            time.sleep(random.uniform(0.01, 0.05))
        tally.kills += _end_all(working, lives)
        _require_access(lives.path, users, shared=shared)
    finally:
        for each in working:
            each.end()
    tally.operations += lives.operations()
    lives.check(boot, power_failed=False)
    boot = boot._replace(id="the last boot")
    for user in users:
        finished(begin(user, full=True, operations=20), [])
    _require_access(lives.path, users, shared=shared)
    lives.check(boot, power_failed=False)


def _become(user: int, group: int) -> None:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)


def _end_all(working: list[Fork], lives: Lives) -> int:
    """Kill the processes; return how many."""
    count = len(working)
    while working:
        each = working.pop()
        each.kill()
        finished(each, lives.events())
    return count


def _command(seed: int, path: Path, secret_key: str, boot: host.Boot) -> None:
    """Do as root what the commands of the shell do; nothing of it changes a session."""
    host.current_boot = lambda: boot  # this process ends with the function
    random = Random(seed)
    if random.random() < 0.3:
        os.fchown = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # before what it has made belongs to the owner
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
            store.delete(store.create({}, subject=OPERATOR))


def _require_access(path: Path, users: list[int], *, shared: bool) -> None:
    group = path.stat().st_gid
    for each in (path, *path.rglob("*")):
        if each.suffix == ".tmp":  # of a killed process; the next opening removes it
            continue
        status = each.stat()
        if status.st_uid not in users:
            raise Violation(f"{each.relative_to(path)} belongs to uid {status.st_uid}, who does not use the store")
        if shared and (status.st_gid != group or status.st_mode & 0o060 != 0o060):
            raise Violation(f"{each.relative_to(path)} in a shared store is not there for its group")
