"""What the hook's Python original does at every event: its imports, its configuration and XML parsed, and at both ends
of a guest's life what makes and drops an overlay."""

import json
import logging
import os
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

logging.basicConfig(filename=sys.argv[2], level=logging.INFO)
with open(sys.argv[1], encoding="utf-8") as file:
    config = json.load(file)
domain = ElementTree.fromstring(sys.stdin.read())
sources = {
    disk.find("target").get("dev"): disk.find("source").get("file")
    for disk in domain.iter("disk")
    if disk.find("source") is not None
}
for disk in config["disks"]:
    image = sources[disk["target"]]
    backing = image + ".backing_file"
    if sys.argv[4] == "prepare":
        os.rename(image, backing)
        create = f"/usr/bin/qemu-img create -q -f qcow2 -F qcow2 -b {shlex.quote(backing)} {shlex.quote(image)}"
        subprocess.run(shlex.split(create), check=True)
    if sys.argv[4] == "release":
        os.rename(backing, image)
    logging.info("%s %s: %s", sys.argv[3], sys.argv[4], image)
