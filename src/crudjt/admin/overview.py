"""The overview: the state of the store, as a page and as a stream of its changes."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from crudjt._core.stats import Stats
from crudjt.admin.access import Access
from crudjt.admin.graphs import graphs, rate
from crudjt.admin.health import concerns
from crudjt.admin.pages import Pages
from crudjt.admin.pulse import SECONDS, Beat, Pulse
from crudjt.admin.words import moment, size

_RECENT = 10  # beats, over which a rate is taken


class Tile(NamedTuple):
    """One number: `id` names it to the stream."""

    id: str
    label: str
    value: str
    note: str


class Overview:
    """Shows the state of the store."""

    def __init__(self, pulse: Pulse, access: Access, pages: Pages, *, can_check: bool) -> None:
        """Take where the counters come from, who may see them, what shows them, and whether to offer a check."""
        self._can_check = can_check
        self._pulse = pulse
        self._access = access
        self._pages = pages

    async def page(self, request: Request) -> Response:
        """Show the page."""
        beat = await self._pulse.latest()
        return self._pages.show(
            request,
            "overview",
            status=200 if beat.stats else 503,
            error=beat.error,
            can_check=self._can_check,
            tiles=[] if beat.stats is None else tiles(self._pulse.beats),
            graphs=graphs(self._pulse.beats),
            concerns=[] if beat.stats is None else list(concerns(beat.stats, beat.time)),
        )

    async def live(self, request: Request) -> Response:
        """Stream the page's numbers as server-sent events until the operator's session ends."""
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(request), media_type="text/event-stream", headers=headers)

    async def _events(self, request: Request) -> AsyncIterator[bytes]:
        closing = self._access.closing
        while not closing.is_set() and await self._access.still_in(request):
            beat = await self._pulse.latest()
            yield b"data: " + msgspec.json.encode(self._message(beat)) + b"\n\n"
            with anyio.move_on_after(SECONDS):
                await closing.wait()
        yield b"event: end\ndata:\n\n"

    def _message(self, beat: Beat) -> dict[str, Any]:
        if beat.stats is None:
            return {"error": beat.error}
        return {
            "error": "",
            "tiles": {tile.id: [tile.value, tile.note] for tile in tiles(self._pulse.beats)},
            "graphs": graphs(self._pulse.beats),
            "concerns": list(concerns(beat.stats, beat.time)),
        }


def tiles(beats: Sequence[Beat]) -> list[Tile]:
    """Return the numbers of the last beat, whose store has answered."""
    beat = beats[-1]
    stats = beat.stats
    assert stats is not None, "the store has answered"
    shown = [
        Tile("sessions", "Sessions", f"{stats.sessions:,}", "expired ones count until they are swept"),
        *_rates(beats),
    ]
    shown += _of_directory(stats, beat) if stats.primaries is None else _of_servers(stats)
    return shown


def _rates(beats: Sequence[Beat]) -> list[Tile]:
    recent = list(beats)[-_RECENT:]
    if beats[-1].counts is None:
        grown = rate([(beat.at, beat.stats.sessions) for beat in recent if beat.stats])
        return [Tile("change", "Change", grown, "sessions begun less those ended")]
    begun = rate([(beat.at, beat.counts.begun) for beat in recent if beat.counts])
    ended = rate([(beat.at, beat.counts.ended) for beat in recent if beat.counts])
    return [
        Tile("begun", "Begun", begun.lstrip("+"), "new sessions"),
        Tile("ended", "Ended", ended.lstrip("+"), "ended, revoked, or expired and swept"),
    ]


def _of_directory(stats: Stats, beat: Beat) -> list[Tile]:
    times = (
        ("synced", "Last sync", stats.synced_at),
        ("swept", "Last sweep", stats.swept_at),
        ("compacted", "Last compaction", stats.compacted_at),
    )
    shown = [
        Tile("log", "Log", size(stats.log_bytes), "what a recovery would read"),
        Tile("view", "Live data", size(stats.view_bytes), f"of at most {size(stats.max_size)}"),
        Tile("unsynced", "Not on disk yet", size(stats.unsynced_bytes), "what a power failure would undo"),
    ]
    for name, label, time in times:
        when = moment(time, beat.time)
        shown.append(Tile(name, label, when.relative if when else "never", when.utc if when else "since the last boot"))
    return shown


def _of_servers(stats: Stats) -> list[Tile]:
    limit = stats.max_memory_bytes
    return [
        Tile("memory", "Memory", size(stats.memory_bytes or 0), f"of {size(limit)}" if limit else "without a limit"),
        Tile("primaries", "Primaries", str(stats.primaries or 0), "that hold the store"),
        Tile("replicas", "Replicas", str(stats.replicas or 0), "of the primaries, connected"),
    ]
