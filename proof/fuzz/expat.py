"""Says what disks domain XML describes, by expat: one JSON string a line in, the disks or null for no XML a line out."""

import json
import re
import sys
from xml.parsers import expat

ROOTS = (["domain", "devices"], ["domstatus", "domain", "devices"])
UNFIT = {"readonly", "shareable", "transient", "encryption", "backingStore"}


class Disk:
    def __init__(self, attributes):
        self.type = attributes.get("type", "file")
        self.device = attributes.get("device", "disk")
        self.first = {}
        self.inside = set()
        self.source_inside = set()
        self.backing = None

    def described(self):
        source = self.first.get("source")
        file = (source or {}).get("file")
        fits = (
            self.device == "disk"
            and self.type == "file"
            and file is not None
            and self.first.get("driver", {}).get("type") == "qcow2"
            and not UNFIT & self.inside
            and not {"encryption", "slices"} & self.source_inside
            and "fdgroup" not in source
        )
        return {
            "target": self.first.get("target", {}).get("dev", ""),
            "file": file if self.type == "file" else None,
            "backing": (self.backing or {}).get("file"),
            "fits": fits,
        }


def disks_of(xml):
    path, sources, disks = [], [0], []

    def version(number, *_):
        # expat takes any.
        if not re.fullmatch(r"1\.[0-9]+", number):
            raise ValueError(f"{number} is no version of XML")

    def start(name, attributes):
        if not path and name not in ("domain", "domstatus"):
            raise ValueError(f"{name} is no domain")
        below = next((path[len(root):] for root in ROOTS if path[: len(root)] == root), None)
        if below == [] and name == "disk":
            disks.append(Disk(attributes))
        elif below == ["disk"]:
            disk = disks[-1]
            if name == "source":
                sources[0] = 0 if name not in disk.first else sources[0] + 1
            disk.first.setdefault(name, attributes)
            disk.inside.add(name)
        elif below == ["disk", "source"] and sources[0] == 0:
            disks[-1].source_inside.add(name)
        elif below == ["disk", "backingStore"] and name == "source" and disks[-1].backing is None:
            disks[-1].backing = attributes
        path.append(name)

    # A prefix without its namespace is an error only to a parser of namespaces, which would change all the names.
    expat.ParserCreate("utf-8", " ").Parse(xml.encode("utf-8"), True)
    parser = expat.ParserCreate("utf-8")
    parser.XmlDeclHandler = version
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: path.pop()
    parser.Parse(xml.encode("utf-8"), True)
    return [disk.described() for disk in disks]


for line in sys.stdin:
    try:
        answer = disks_of(json.loads(line))
    except (expat.ExpatError, UnicodeEncodeError, ValueError):
        answer = None
    print(json.dumps(answer), flush=True)
