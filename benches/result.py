"""Results as files of JSON, which hold what is done so far."""
import json
import os

from .machine import revision
from .workloads import ROOT


def begun(file, now, again):
    """What was measured before with what is there now, unless all is to be measured again."""
    before = json.loads(file.read_text()) if file.exists() else {}
    same = not again and all(before.get(key) == value for key, value in now.items())
    return before if same else {**now, "commit": revision(ROOT)}


def write(file, result):
    """Writes it, whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    os.replace(part, file)
