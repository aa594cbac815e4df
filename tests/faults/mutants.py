"""Mutants: a store with a defect each. A scenario has to catch it, else harness or guard proves nothing."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.faults import defects, defects_of_moves, defects_on_servers
from tests.faults.scenarios import (
    crash_states,
    damage,
    forks,
    histories,
    interleavings,
    io_errors,
    kills,
    lost_replies,
    move,
    replaced_files,
    servers,
    users,
)
from tests.faults.tally import Scenario, Violation, play
from tests.support.processes import Fork, ForkFailure

PATIENCE = 300.0


class Mutant(NamedTuple):
    """A defect, and the scenario that catches it in so many rounds."""

    name: str
    make: Callable[[], None]
    scenario: Scenario
    rounds: int
    quick: bool = False  # caught in about a second


class Verdict(NamedTuple):
    """The end of a mutant: caught by a violation, missed, or broken by any other error, which proves nothing."""

    mutant: Mutant
    outcome: str
    by: str = ""


CAUGHT, MISSED, BROKEN = "caught", "MISSED", "BROKEN"

MUTANTS = [
    Mutant(
        "the word of the cache is set after the commit",
        defects.word_set_after_the_commit, interleavings.run, 2, quick=True,
    ),
    Mutant("the cache is filled without its check", defects.cache_filled_unchecked, interleavings.run, 2, quick=True),
    Mutant("the cache is used without its check", defects.cache_used_unchecked, interleavings.run, 2),
    Mutant(
        "a write does not look whether what it rests on holds",
        defects.write_with_what_was_known, histories.run, 30,
    ),
    Mutant(
        "the log end is believed without its check",
        defects.log_end_believed_unchecked, interleavings.run, 2,
    ),
    Mutant("no directory is synced", defects.no_directory_synced, crash_states.run, 2, quick=True),
    Mutant(
        "only the last of the new directories above a store is synced",
        defects.only_the_last_directory_synced, crash_states.run, 2,
    ),
    Mutant(
        "a file is renamed before it is synced",
        defects.file_renamed_before_its_sync, crash_states.run, 4, quick=True,
    ),
    Mutant("a base is renamed before it is synced", defects.base_renamed_before_its_sync, crash_states.run, 8),
    Mutant(
        "old segments go before the manifest names the base",
        defects.segments_gone_before_the_manifest, crash_states.run, 8,
    ),
    Mutant("what a failed write left is not cut off", defects.failed_write_not_cut_off, crash_states.run, 30),
    Mutant("the entry of a dead writer is not cut off", defects.dead_writer_not_cut_off, kills.run, 6),
    Mutant("a cut is not synced", defects.cut_not_synced, crash_states.run, 60),
    Mutant("an entry is copied without a look at the room", defects.room_not_looked_at, kills.run, 12),
    Mutant("a cut does not say that the room is gone", defects.room_not_given_back, kills.run, 12),
    Mutant("zeros before the synced mark are taken for room", defects.zeros_taken_for_room, damage.run, 4, quick=True),
    Mutant("an entry is accepted without its CRC", defects.entry_accepted_without_crc, damage.run, 16),
    Mutant("the sequence of an entry is not checked", defects.sequence_unchecked, damage.run, 4, quick=True),
    Mutant(
        "a sync is tried again after one has failed",
        defects.sync_tried_again_after_a_failure, crash_states.run, 4,
    ),
    Mutant("the synced mark is written before the sync", defects.mark_before_the_sync, crash_states.run, 8),
    Mutant(
        "a recovery from a failed sync marks the old segment as synced",
        defects.doubtful_segment_marked_as_synced, crash_states.run, 12,
    ),
    Mutant(
        "a recovery from a failed sync writes nothing again",
        defects.nothing_written_again_after_a_failed_sync, crash_states.run, 8,
    ),
    Mutant("a torn tail is not cut off", defects.torn_tail_not_cut_off, crash_states.run, 12),
    Mutant("full durability does not wait", defects.full_durability_does_not_wait, crash_states.run, 4, quick=True),
    Mutant("a delete is not logged", defects.delete_not_logged, crash_states.run, 4),
    Mutant("a rotate is two transactions", defects.rotate_in_two_transactions, crash_states.run, 8),
    Mutant("the log is written after the commit", defects.log_written_after_the_commit, kills.run, 12),
    Mutant("the log end is kept in one slot", defects.log_end_in_one_slot, kills.run, 6),
    Mutant("a refused write is not undone", defects.refused_write_not_undone, io_errors.run, 3),
    Mutant(
        "a header is believed before the record is opened",
        defects.header_believed_unopened, damage.run, 4,
    ),
    Mutant(
        "an ended session stays filed under its labels",
        defects.labels_of_an_ended_session_stay, kills.run, 4,
    ),
    Mutant(
        "a recovery files no labels",
        defects.labels_not_filed_by_a_recovery, kills.run, 4,
    ),
    Mutant("revoke looks once", defects.revoke_looks_once, histories.run, 600),
    Mutant("a fork is not noticed", defects.fork_not_noticed, forks.run, 40),
    Mutant("files that were replaced are not noticed", defects.replaced_files_not_noticed, replaced_files.run, 4),
    Mutant("a commit does not compare", defects_on_servers.commit_does_not_compare, lost_replies.run, 3),
    Mutant(
        "an index is written outside of the script",
        defects_on_servers.index_written_outside_of_the_script, lost_replies.run, 3,
    ),
    Mutant(
        "a session is filed under its labels after it has begun",
        defects_on_servers.labels_filed_after_the_session, lost_replies.run, 6,
    ),
    Mutant("a lost answer is sent again as new", defects_on_servers.lost_answer_sent_again_as_new, lost_replies.run, 3),
    Mutant(
        "acknowledgements of replicas are ignored",
        defects_on_servers.acknowledgements_ignored, servers.run, 1, quick=True,
    ),
    Mutant("WAIT is sent to another node", defects_on_servers.wait_sent_to_another_node, servers.run_on_shards, 1),
    Mutant(
        "an ending of nothing does not write",
        defects_on_servers.ending_of_nothing_does_not_write, servers.run, 2, quick=True,
    ),
    Mutant("a script puts before it ends", defects_on_servers.put_before_the_endings, servers.run, 1),
    Mutant(
        "the place of a subject comes from the newest key",
        defects_on_servers.place_from_the_newest_key, servers.run, 1, quick=True,
    ),
    Mutant(
        "a login ends the old session first",
        defects_on_servers.login_ends_the_old_session_first, servers.run, 1,
    ),
    Mutant("a session is marked that has changed", defects_of_moves.mark_does_not_compare, move.forth, 2),
    Mutant("a mark is taken for an end", defects_of_moves.mark_taken_for_an_end, move.forth, 6),
    Mutant("a session is marked before its stage", defects_of_moves.sessions_copied_and_marked_at_once, move.forth, 3),
    Mutant("servers mark a session that has changed", defects_of_moves.mark_on_servers_does_not_compare, move.back, 24),
]  # fmt: skip
if os.geteuid() == 0:
    MUTANTS += [
        Mutant("what root makes stays root's", defects.files_of_root_not_given_away, users.run, 4, quick=True),
        Mutant(
            "what root makes has its name before its owner",
            defects.files_named_before_they_are_given_away, users.run, 24,
        ),
        Mutant(
            "what a member of a group makes is not for the group",
            defects.files_of_a_member_not_for_the_group, users.run, 8,
        ),
    ]  # fmt: skip


def judge(mutant: Mutant, seed: int, directory: Path, patience: float = PATIENCE) -> Verdict:
    """Run a mutant against its scenario, in a process of its own. A signal that ends that process is a violation."""
    fork = Fork(_run, mutant, seed, directory)
    try:
        promise = fork.wait(patience).result
    except ForkFailure as failure:
        outcome = {"signal": CAUGHT, "time": MISSED, "raised": BROKEN}[failure.cause]
        return Verdict(mutant, outcome, str(failure))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(fork.pid, signal.SIGKILL)  # the processes of its scenario
    return Verdict(mutant, CAUGHT if promise else MISSED, promise or "")


def _run(mutant: Mutant, seed: int, directory: Path) -> str | None:
    """Return the promise that was seen broken."""
    os.setpgid(0, 0)
    mutant.make()
    try:
        play(mutant.scenario, seed, mutant.rounds, directory)
    except Violation as violation:
        return violation.promise
    return None


def verdicts(seed: int, directory: Path, mutants: list[Mutant], patience: float = PATIENCE) -> Iterator[Verdict]:
    """Judge mutants, one after the other."""
    for number, mutant in enumerate(mutants):
        place = directory / f"mutant-{number}"
        place.mkdir()
        yield judge(mutant, seed, place, patience)
