"""Print results as JSON or text."""

import sys
from typing import Any

import msgspec

from crudjt._core.clock import iso
from crudjt._core.report import Report
from crudjt._core.session import Session
from crudjt.cli import json_values
from crudjt.cli.context import Settings, with_times
from crudjt.cli.errors import NoSuchSession
from crudjt.cli.terminal import painted, printable


def show_listed(settings: Settings, session: Session, *, data: bool) -> None:
    """Print one session for an operator, as columns with tabs between."""
    seen, end = session.last_seen, session.expires_at
    times = [iso(session.created_at), iso(seen) if seen else "-", iso(end) if end else "never"]
    address = "-" if session.client is None else session.client.address or "-"
    columns = [session.id, printable(session.subject or "-"), *times, printable(address)]
    if data:
        columns.append(_data(session))
    settings.show(document(session, data=data), "\t".join(columns))


def show_properties(settings: Settings, session: Session, *, data: bool) -> None:
    """Print a session for an operator, one property a line."""
    properties = with_times(document(session, data=data))
    absent = {"subject": "none", "expires_at": "never", "expires_in": "never", "reads_left": "unlimited"}
    lines = [
        f"{name}: {absent.get(name, 'unknown') if value is None else printable(str(value))}"
        for name, value in properties.items()
        if name not in {"data", "client", "labels"}
    ]
    lines += [f"label: {printable(label)}" for label in session.labels]
    if session.client is not None:
        lines.append(f"client: {printable(', '.join(filter(None, (session.client.address, session.client.agent))))}")
    if data:
        lines.append(f"data: {_data(session)}")
    settings.show(properties, "\n".join(lines))


def show_session(settings: Settings, session: Session | None) -> None:
    """Print a session; as text, only its data."""
    if session is None:
        raise NoSuchSession
    settings.show(document(session, data=True), _data(session))


def show_line(settings: Settings, session: Session) -> None:
    """Print one session of a list, as columns with tabs between."""
    end = session.expires_at
    times = (iso(session.created_at), iso(end) if end else "never")
    reads_left = "unlimited" if session.reads_left is None else session.reads_left
    columns = (session.id, session.version, *times, reads_left, _data(session))
    settings.show(document(session, data=True), "\t".join(map(str, columns)))


def show_done(settings: Settings, deed: str, *, done: bool, what: str = "token") -> None:
    """Report a change that prints nothing as text; `what` named the session."""
    if not done:
        raise NoSuchSession(what)
    settings.show({deed: True})


def show_report(settings: Settings, report: Report) -> None:
    """Print the findings about the files of a store."""
    findings = [
        {"healthy": each.healthy, "path": str(each.path), "offset": each.offset, "text": each.text}
        for each in report.findings
    ]
    lines = (
        f"{'ok' if each.healthy else painted('FAULT', sys.stdout, fg='red', bold=True)}\t{each.text}"
        for each in report.findings
    )
    settings.show({"healthy": report.healthy, "findings": findings}, "\n".join(lines))


def document(session: Session, *, data: bool) -> dict[str, Any]:
    """Return the JSON form of a session."""
    return {
        **({"data": json_values.to_json(session.data)} if data else {}),
        "id": session.id,
        "subject": session.subject,
        "version": session.version,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "expires_in": session.expires_in,
        "reads_left": session.reads_left,
        "last_seen": session.last_seen,
        **_details(session),
    }


def _details(session: Session) -> dict[str, Any]:
    """Return what few sessions have, where this one has it."""
    client = session.client
    details = {
        "client": None if client is None else {"address": client.address, "agent": client.agent},
        "bound_to": session.bound_to,
        "labels": session.labels,
    }
    return {name: value for name, value in details.items() if value}


def _data(session: Session) -> str:
    return printable(msgspec.json.encode(json_values.to_json(session.data)).decode())
