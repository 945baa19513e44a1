"""C-FIND's search in Orthanc: one call, and for Orthanc 1.10 the few more that fill in what it does not tell.

Matches come as mappings "gggg,eeee" -> value, unfiltered; `proxy.dicom.match` has the last word.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from proxy.dicom.identifier import FindKeys
from proxy.dicom.level import Level
from proxy.dicom.match import name_of
from proxy.errors import InstanceGone
from proxy.orthanc.client import OrthancClient
from proxy.orthanc.query import COUNTS, ORTHANC_LEVEL, LegacyPlan, find_body, legacy_plan

_MODALITIES_IN_STUDY, _SOP_CLASSES_IN_STUDY = name_of(0x00080061), name_of(0x00080062)
_TOGETHER = 500  # resources asked about in one further call
_PARALLEL = 4  # files looked into at the same time
_PARENT_LEVEL: dict[Level, str] = {"STUDY": "ParentPatient", "SERIES": "ParentStudy", "IMAGE": "ParentSeries"}

Found = dict[str, Any]


def search(client: OrthancClient, keys: FindKeys) -> Iterator[Mapping[str, object]]:
    """All that may match `keys`. Raises OrthancError."""
    mode = client.capabilities.mode
    found = client.find(find_body(keys, mode))
    if mode == "extended":
        yield from (item.get("RequestedTags") or {} for item in found)
    elif mode == "requested":
        yield from ({**_main(item), **(item.get("RequestedTags") or {})} for item in found)
    else:
        plan = legacy_plan(keys)
        for start in range(0, len(found), _TOGETHER):
            yield from _Legacy(client, keys.level, plan, found[start : start + _TOGETHER]).matches()


def _main(item: Found) -> Found:
    return {**(item.get("PatientMainDicomTags") or {}), **(item.get("MainDicomTags") or {})}


@dataclass(slots=True)
class _Legacy:
    """One batch of answers of Orthanc 1.10, completed. `found` are resources at `level`."""

    client: OrthancClient
    level: Level
    plan: LegacyPlan
    found: Sequence[Found]
    _series: dict[str, list[Found]] = field(default_factory=lambda: defaultdict(list))  # by parent study
    _studies: dict[str, list[Found]] = field(default_factory=lambda: defaultdict(list))  # by parent patient

    def matches(self) -> Iterator[Mapping[str, object]]:
        parents = self._parents()
        if self.plan.children or (self.plan.sample and self.level in ("PATIENT", "STUDY")):
            self._list_children()
        classes = self._sop_classes() if self.plan.sop_classes else {}
        samples = self._samples() if self.plan.sample else {}
        for item in self.found:
            yield {
                **samples.get(item["ID"], {}),
                **parents.get(item["ID"], {}),
                **_main(item),
                **self._computed(item),
                **classes.get(item["ID"], {}),
            }

    def _parents(self) -> dict[str, Found]:
        """The main tags of higher levels, for each resource found."""
        if not self.plan.parents:
            return {}
        above: dict[str, Found] = {}
        chain: list[Level] = {"SERIES": ["STUDY"], "IMAGE": ["SERIES", "STUDY"]}.get(self.level, [])  # type: ignore[assignment]
        ids = [item["ID"] for item in self.found]
        by_id = {level: {one["ID"]: one for one in self._bulk(ids, level)} for level in chain}
        for item in self.found:
            tags: Found = {}
            child, below = item, self.level
            for level in chain:
                parent = by_id[level].get(child.get(_PARENT_LEVEL[below], ""), {})
                tags = {**_main(parent), **tags}
                child, below = parent, level
            above[item["ID"]] = tags
        return above

    def _list_children(self) -> None:
        ids = [item["ID"] for item in self.found]
        for series in self._bulk(ids, "SERIES"):
            self._series[series.get("ParentStudy", "")].append(series)
        if self.level == "PATIENT":
            for study in self._bulk(ids, "STUDY"):
                self._studies[study.get("ParentPatient", "")].append(study)

    def _computed(self, item: Found) -> Found:
        """NumberOf...Related... and Modalities in Study, counted."""
        counted: Found = {}
        series = self._series_of(item)
        numbers = {
            "STUDY": len(self._studies.get(item["ID"], ())),
            "SERIES": len(series),
            "IMAGE": len(item.get("Instances", ())) or sum(len(one.get("Instances", ())) for one in series),
        }
        for tag, (of, what) in COUNTS.items():
            if of == self.level and (self._series or self.level == "SERIES"):
                counted[name_of(tag)] = str(numbers[what])
        if self.level == "STUDY" and series:
            modalities = sorted({str(_main(one).get("0008,0060") or "") for one in series} - {""})
            counted[_MODALITIES_IN_STUDY] = "\\".join(modalities)
        return counted

    def _series_of(self, item: Found) -> list[Found]:
        if self.level == "STUDY":
            return self._series.get(item["ID"], [])
        if self.level == "PATIENT":
            return [one for study in self._studies.get(item["ID"], ()) for one in self._series.get(study["ID"], ())]
        return []

    def _sop_classes(self) -> dict[str, Found]:
        study_of = {one["ID"]: study for study, series in self._series.items() for one in series}
        classes: dict[str, set[str]] = defaultdict(set)
        for instance in self._bulk([item["ID"] for item in self.found], "IMAGE", Metadata=True):
            study = study_of.get(instance.get("ParentSeries", ""), "")
            classes[study].add(str((instance.get("Metadata") or {}).get("SopClassUid", "")))
        return {study: {_SOP_CLASSES_IN_STUDY: "\\".join(sorted(uids - {""}))} for study, uids in classes.items()}

    def _samples(self) -> dict[str, Found]:
        """All tags of one instance of each resource: the only way to elements that the database lacks."""
        samples = {item["ID"]: sample for item in self.found if (sample := self._sample_of(item))}
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="sample") as readers:
            return dict(zip(samples, readers.map(self._tags, samples.values()), strict=True))

    def _sample_of(self, item: Found) -> str:
        if self.level == "IMAGE":
            return str(item["ID"])
        instances = item.get("Instances") or [i for one in self._series_of(item) for i in one.get("Instances", ())]
        return str(instances[0]) if instances else ""

    def _tags(self, instance_id: str) -> Found:
        try:
            return self.client.instance_tags(instance_id)
        except InstanceGone:
            return {}

    def _bulk(self, ids: Sequence[str], level: Level, **more: object) -> list[Found]:
        return self.client.bulk_content({"Resources": ids, "Level": ORTHANC_LEVEL[level], "Short": True, **more})
