"""Writes a tar of files, packed by xz, to stdout; stdin has a line of JSON for each file: {"from": path, "to": name}."""

from __future__ import annotations

import json
import lzma
import sys
import tarfile


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leaves out owner and time, so that equal files give equal bytes."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


with lzma.open(sys.stdout.buffer, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
    for line in sys.stdin:
        file = json.loads(line)
        archive.add(file["from"], file["to"], recursive=False, filter=anonymous)
