"""Pages that must follow the code: the picture for developers, and the list of public names."""

import re
from pathlib import Path
from types import ModuleType

import bayesnmf as bn

ROOT = Path(__file__).parent.parent
DESIGN = (ROOT / "docs" / "developer" / "design.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")


def pictured() -> set[str]:
    """Return the files that the first block of the page shows, as paths without their ending."""
    files, package, inner = set(), "", ""
    for line in DESIGN.split("```")[1].splitlines()[1:]:
        if line.isupper() or not line.strip() or line[0] not in " ⎰⎪⎱":
            continue
        indent, words = len(line) - len(line[1:].lstrip()), line[1:].split()
        if words[0].endswith("/"):
            package, inner = (words[0], "") if indent < 4 else (package, words[0])
        elif indent < 4:
            files.add(words[0])
        else:
            files |= {f"{package}{inner}{word}" for word in words}
    return files


def test_the_picture_shows_every_file():
    package = ROOT / "bayesnmf"
    files = {path.relative_to(package).with_suffix("").as_posix() for path in package.rglob("*.py")}
    shown = {name for name in files if not name.endswith(("__init__", "__main__"))}
    assert pictured() == shown


def test_files_in_the_text_exist():
    places = [ROOT, *(ROOT / "bayesnmf" / folder for folder in ("", "methods"))]
    known = {path.name for path in (ROOT / "bayesnmf").rglob("*.py")}
    for name in re.findall(r"`([\w/]+\.py)`", DESIGN):
        found = any((place / name).exists() for place in places) if "/" in name else name in known
        assert found, name


def test_every_public_name_is_on_the_reference_page_once():
    listed = re.findall(r"^   ([A-Za-z]\S*)$", REFERENCE, re.MULTILINE)
    assert len(listed) == len(set(listed))
    public = {name for name in bn.__all__ if not isinstance(getattr(bn, name), ModuleType)}
    assert public <= set(listed)
