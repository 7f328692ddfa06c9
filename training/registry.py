"""The registry: which version is champion, which was before it, why each was promoted or refused, and the way back.

Aliases are `champion` (what is scored with), `challenger` (the newest version not yet judged well) and `previous` (a
label for people). What a rollback goes by is the tag `champion_before`, written before the alias `champion` moves:
moving that alias is the last step that matters, so a process killed earlier leaves the old champion in place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..riskcore.errors import MargincastError
from .mlflow_store import failures_as, is_there, open_client

REGISTERED = "margincast"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
UNGATED = "the first version of a registry becomes champion without a gate: there was nothing to score with before it"
LONGEST_TEXT = 2000
"""Reasons are cut to this many characters in tags, which MLflow limits; the artifact holds them whole."""


@dataclass(frozen=True)
class Event:
    """What happened to the registry: "first", "promoted", "refused", "rolled back", "fall-back on", "fall-back off".

    Parameters
    ----------
    at
        Time in ISO form, UTC, as the caller gave it.
    kind, version, before, reason
        What happened, to which version, which was champion before ("" for none), and why.
    """

    at: str
    kind: str
    version: str
    before: str
    reason: str


def iso(at: datetime) -> str:
    """An instant as text to the second, UTC.

    Examples
    --------
    >>> iso(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02T03:04:05Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_address(address: str) -> tuple[str, str, str]:
    """Name, version and alias of an address; version or alias is empty.

    Examples
    --------
    >>> parse_address("models:/margincast/3"), parse_address("champion")
    (('margincast', '3', ''), ('margincast', '', 'champion'))
    """
    text = address.removeprefix("models:/")
    if text in (CHAMPION, CHALLENGER, PREVIOUS):
        return REGISTERED, "", text
    if "@" in text:
        name, _, alias = text.partition("@")
        return name, "", alias
    name, _, version = text.partition("/")
    if not name or not version.isdecimal():
        problem = 'is no model folder, and a registered model is named like "models:/margincast/3" or "champion"'
        raise MargincastError(f"{address}: {problem}")
    return name, version, ""


@contextmanager
def open_registry(store: Path) -> Iterator[Registry]:
    """The registry of a store; its failures become one line. A store that is not there is not made."""
    if not is_there(store):
        raise MargincastError(f"{store}: there is no model store here; train a model first")
    with failures_as(f"{store}: the registry could not be read or written"):
        yield Registry(open_client(store), str(store))


class Registry:
    """Versions of the model, their aliases and tags, on an MLflow client; errors name `store`."""

    def __init__(self, client: Any, store: str = "the store") -> None:
        self.client = client
        self.store = store

    def find(self, address: str) -> Any:
        """The MLflow version at an address; MargincastError where there is none."""
        name, version, alias = parse_address(address)
        with failures_as(f"{address}: no such model in {self.store}"):
            if alias:
                return self.client.get_model_version_by_alias(name, alias)
            return self.client.get_model_version(name, version)

    def aliases(self) -> dict[str, str]:
        """Version by alias."""
        found = self.client.get_registered_model(REGISTERED).aliases
        return {str(alias): str(version) for alias, version in found.items()}

    def champion(self) -> str | None:
        """Version that is scored with; None before any was registered."""
        return self.aliases().get(CHAMPION)

    def tags(self, version: str) -> dict[str, str]:
        """Tags of a version."""
        return dict(self.client.get_model_version(REGISTERED, version).tags)

    def register(self, source: str, run_id: str) -> str:
        """A new version; with no champion yet it becomes that, ungated and recorded so, otherwise the challenger."""
        self._require_name()
        created = self.client.create_model_version(REGISTERED, source, run_id)
        version = str(created.version)
        if self.champion() is not None:
            self._alias(CHALLENGER, version)
            return version
        self._tag(version, gate="ungated", gate_reason=UNGATED)
        self._alias(CHAMPION, version)
        moment = datetime.fromtimestamp(int(created.creation_timestamp) / 1000, UTC)
        self._log(Event(iso(moment), "first", version, "", UNGATED))
        return version

    def promote(self, version: str, over: str | None, at: datetime, reasons: Sequence[str]) -> None:
        """Make a version that passed the gate champion in place of `over`, which the gate compared it with.

        Raises
        ------
        MargincastError
            Another version has become champion since.
        """
        self.require_champion(over, version)
        reason = "; ".join(reasons)
        self._tag(version, gate="passed", gate_reason=reason, gate_at=iso(at), champion_before=over or "")
        if over is not None:
            self._alias(PREVIOUS, over)
        self._alias(CHAMPION, version)  # from here on the new champion is scored with
        if self.aliases().get(CHALLENGER) == version:
            self.client.delete_registered_model_alias(REGISTERED, CHALLENGER)
        if "rolled_back" in self.tags(version):  # it passed the gate anew
            self.client.delete_model_version_tag(REGISTERED, version, "rolled_back")
        self._log(Event(iso(at), "promoted", version, over or "", reason))

    def require_champion(self, over: str | None, version: str) -> None:
        """Raise MargincastError if `over`, which a version was judged against, is not the champion any more."""
        if (champion := self.champion()) != over:
            raise MargincastError(
                f"version {champion} became champion while version {version} was judged against {over}; judge again"
            )

    def refuse(self, version: str, at: datetime, reasons: Sequence[str]) -> None:
        """Record why a version was refused; no alias moves."""
        reason = "; ".join(reasons)
        self._tag(version, gate="refused", gate_reason=reason, gate_at=iso(at))
        self._log(Event(iso(at), "refused", version, self.champion() or "", reason))

    def rollback(self, at: datetime, reason: str) -> Event:
        """Make the version that was champion before the present one champion again.

        Raises
        ------
        MargincastError
            The present champion replaced none.
        """
        current = self.champion()
        before = self._before(current) if current else None
        if current is None or before is None:
            raise MargincastError(f"version {current} replaced no champion; there is nothing to roll back to")
        event = Event(iso(at), "rolled back", before, current, reason)
        self._tag(current, rolled_back=f"{event.at}: {reason}")
        self._alias(CHAMPION, before)
        if earlier := self._before(before):
            self._alias(PREVIOUS, earlier)
        elif PREVIOUS in self.aliases():
            self.client.delete_registered_model_alias(REGISTERED, PREVIOUS)
        self._log(event)
        return event

    def _before(self, version: str) -> str | None:
        """The champion a version replaced, or the one before it, past those that were rolled back themselves."""
        seen, found = {version}, self.tags(version).get("champion_before")
        while found and found not in seen and "rolled_back" in self.tags(found):
            seen.add(found)
            found = self.tags(found).get("champion_before")
        return found if found and found not in seen else None

    def fall_back(self, version: str) -> str | None:
        """Why this version is to be scored with FHS alone; None: it is not."""
        return self.tags(version).get("fall_back")

    def set_fall_back(self, version: str, reason: str | None, at: datetime) -> None:
        """Have a version fall back to FHS for a reason, or with None score by itself again."""
        present = self.fall_back(version)
        if reason is not None:
            self._tag(version, fall_back=reason)
        elif present is not None:
            self.client.delete_model_version_tag(REGISTERED, version, "fall_back")
        if (reason is None) != (present is None):
            kind = "fall-back off" if reason is None else "fall-back on"
            self._log(Event(iso(at), kind, version, "", reason or "no alarm any more"))

    def history(self) -> list[Event]:
        """Everything that happened, oldest first; a move that a killed process did not record is the last line."""
        found = self.client.get_registered_model(REGISTERED)
        tags = sorted((name, text) for name, text in found.tags.items() if name.startswith("event_"))
        events = [Event(**json.loads(text)) for _, text in tags]
        moves = [event for event in events if event.kind in ("first", "promoted", "rolled back")]
        recorded, champion = (moves[-1].version if moves else ""), self.champion() or ""
        if champion != recorded:
            said = f"the alias stands on version {champion}, which no event says"
            events.append(Event("", "unrecorded", champion, recorded, said))
        return events

    def attach(self, version: str, files: Mapping[str, str]) -> None:
        """Keep texts as artifacts of a version's run, by file name."""
        run = str(self.client.get_model_version(REGISTERED, version).run_id)
        for name, text in files.items():
            self.client.log_text(run, text, name)

    def document(self, version: str, name: str) -> dict[str, Any] | None:
        """A JSON artifact of a version's run; None where there is none."""
        run = str(self.client.get_model_version(REGISTERED, version).run_id)
        folder = name.rpartition("/")[0] or None
        if name not in {str(found.path) for found in self.client.list_artifacts(run, folder)}:
            return None
        return dict(json.loads(Path(self.client.download_artifacts(run, name)).read_text(encoding="utf-8")))

    def newest_document(self, version: str, folder: str) -> dict[str, Any] | None:
        """The JSON artifact of a folder whose name sorts last, so names begin with the time; None without any."""
        run = str(self.client.get_model_version(REGISTERED, version).run_id)
        names = sorted(str(found.path) for found in self.client.list_artifacts(run, folder))
        return self.document(version, names[-1]) if names else None

    def _require_name(self) -> None:
        if not any(found.name == REGISTERED for found in self.client.search_registered_models()):
            self.client.create_registered_model(REGISTERED)

    def _alias(self, alias: str, version: str) -> None:
        self.client.set_registered_model_alias(REGISTERED, alias, version)

    def _tag(self, version: str, **tags: str) -> None:
        for name, text in tags.items():
            self.client.set_model_version_tag(REGISTERED, version, name, text[:LONGEST_TEXT])

    def _log(self, event: Event) -> None:
        tags = self.client.get_registered_model(REGISTERED).tags
        count = sum(name.startswith("event_") for name in tags)
        entry = asdict(event) | {"reason": event.reason[:LONGEST_TEXT]}
        self.client.set_registered_model_tag(REGISTERED, f"event_{count:06d}", json.dumps(entry))
