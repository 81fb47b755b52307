"""The captures that a starting pod may be selected by, kept as the CapturePrograms change."""

from collections import defaultdict
from collections.abc import Mapping

from capture_agent.desired import Programs
from capture_api.contests import Candidate, contests
from capture_api.selection import winner


class Candidates:
    """What the CapturePrograms say of themselves; a namespace without any costs one look-up."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._by_namespace: defaultdict[str, dict[str, Candidate]] = defaultdict(dict)
        for namespace, name in programs:
            self.changed(namespace, name)

    def changed(self, namespace: str, name: str) -> None:
        """Take over a CaptureProgram that was added, changed or removed."""
        program = self._programs.get((namespace, name))
        found = contests([] if program is None else [program]).get(namespace, ())
        candidates = self._by_namespace[namespace]
        candidates.pop(name, None)
        candidates.update({candidate.name: candidate for candidate in found})
        if not candidates:
            del self._by_namespace[namespace]

    def named(self, namespace: str, name: str) -> Candidate | None:
        """Give the candidate of this name."""
        return self._by_namespace.get(namespace, {}).get(name)

    def winner(self, namespace: str, labels: Mapping[str, str]) -> Candidate | None:
        """Choose the capture that has a pod with these labels, as the operator would."""
        candidates = self._by_namespace.get(namespace)
        return None if candidates is None else winner(candidates.values(), labels)
