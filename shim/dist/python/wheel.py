"""Packs gilshim for pip, with nothing but Python's standard library.

`make wheel` runs this file to pack a library that runs with old C libraries, under a manylinux tag. pip imports it as the
build backend (PEP 517) of the tarball of `make dist`, and gets a library for this machine only.
The same commit, compiler and zlib give the same bytes.
"""

import argparse
import base64
import hashlib
import os
import re
import struct
import subprocess
import sys
import time
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PROCESSORS = {62: "x86_64", 183: "aarch64"}


def read(*path):
    with open(os.path.join(ROOT, *path), "rb") as file:
        return file.read()


def stated(name):
    """Returns what shim/version.h defines NAME to be."""
    return re.search(r'#define %s "(.*)"' % name, read("shim", "version.h").decode()).group(1)


def metadata():
    return read("shim", "dist", "python", "PKG-INFO.in").replace(b"@VERSION@", stated("GILSHIM_VERSION").encode()) + read("README.md")


# ---- the library


def sections(elf):
    """Yields (type, offset, size, index of the linked section) of each section of the 64-bit ELF file."""
    table, = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    for at in range(table, table + size * count, size):
        kind, = struct.unpack_from("<I", elf, at + 4)
        offset, length, link = struct.unpack_from("<QQI", elf, at + 24)
        yield kind, offset, length, link


def glibc_needed(elf):
    """Returns the newest version of glibc, as (2, 28), that a symbol which the ELF file imports asks for."""
    SHT_GNU_verneed = 0x6FFFFFFE
    table = list(sections(elf))
    newest = (0, 0)
    for kind, at, length, link in table:
        if kind != SHT_GNU_verneed:
            continue
        strings = table[link][1]
        while True:
            count, = struct.unpack_from("<H", elf, at + 2)
            first, following = struct.unpack_from("<II", elf, at + 8)
            entry = at + first
            for _ in range(count):
                name, step = struct.unpack_from("<II", elf, entry + 8)
                text = elf[strings + name : elf.index(b"\0", strings + name)].decode()
                if text.startswith("GLIBC_"):
                    newest = max(newest, tuple(int(part) for part in text[6:].split(".")[:2]))
                entry += step
            if not following:
                break
            at += following
    return newest


def tag_of(elf, policy):
    """Returns the wheel's tag for this ELF file, for example py3-none-manylinux_2_28_x86_64. Ends if it does not keep the policy."""
    platform = "%s_%s" % (policy, PROCESSORS[struct.unpack_from("<H", elf, 18)[0]])
    match = re.match(r"manylinux_(\d+)_(\d+)$", policy)
    needed = glibc_needed(elf)
    if match and needed > (int(match.group(1)), int(match.group(2))):
        sys.exit("wheel.py: what was built needs glibc %d.%d, which %s does not allow" % (needed + (policy,)))
    return "py3-none-" + platform


# ---- the wheel


def filled_in(text, libdir, datadir):
    """Returns a file of the tree as `make install` would install it."""
    for old, new in (
        (b"'@LIBDIR@'", b"'" + libdir + b"'"),
        (b"'@LIBEXECDIR@'", b"'" + libdir + b"'"),
        (b"'@DATADIR@'", b"'" + datadir + b"'"),
        (b"@VERSION@", stated("GILSHIM_VERSION").encode()),
        (b"/usr/local/lib/libgilshim", libdir + b"/libgilshim"),
        (b"/usr/local/libexec/gilshim", libdir),
        (b"/usr/local/share/gilshim", datadir + b"/gilshim"),
    ):
        text = text.replace(old, new)
    return text


def files(built):
    """Yields (name in the wheel, content, whether it can be executed) of everything but the folder of metadata."""
    data = "gilshim-%s.data/" % stated("GILSHIM_VERSION")
    in_package = lambda name: filled_in(read("shim", "dist", "python", name), b"", b"")
    yield "gilshim/__init__.py", in_package("__init__.py"), False
    yield "gilshim/__main__.py", in_package("__main__.py"), False
    yield "gilshim/libgilshim.so", built["libgilshim.so"], False
    yield "gilshim/gilshim-inspect", built["gilshim-inspect"], True
    yield "gilshim/plot.html", built["plot.html"], False
    # It looks beside itself first; nowhere else is a library of this version.
    yield "gilshim/run-with-shim.sh", filled_in(read("run-with-shim.sh"), b"/dev/null", b"/dev/null"), True
    for name in "gilshim", "run-with-shim.sh":
        yield data + "scripts/" + name, read("shim", "dist", "python", "launcher.sh"), True
    share = data + "data/share/"
    page = filled_in(read("shim", "dist", "gilshim.1"), b"VENV/lib/python3.*/site-packages/gilshim", b"VENV/share")
    yield share + "man/man1/gilshim.1", page, False
    yield share + "man/man1/run-with-shim.sh.1", b".so man1/gilshim.1\n", False
    yield share + "gilshim/gilshim.supp", read("shim", "dist", "gilshim.supp"), False
    bash, fish = read("shim", "dist", "run-with-shim.bash"), read("shim", "dist", "run-with-shim.fish")
    for name in "gilshim", "run-with-shim.sh":
        yield share + "bash-completion/completions/" + name, bash, False
        yield share + "fish/vendor_completions.d/%s.fish" % name, fish, False
    yield share + "zsh/site-functions/_gilshim", read("shim", "dist", "run-with-shim.zsh"), False


def metadata_files(tag):
    yield "METADATA", metadata()
    yield "WHEEL", ("Wheel-Version: 1.0\nGenerator: gilshim (make wheel)\nRoot-Is-Purelib: false\nTag: %s\n" % tag).encode()
    yield "LICENSE", read("LICENSE")


def info_folder():
    return "gilshim-%s.dist-info" % stated("GILSHIM_VERSION")


def source_time():
    """Returns the time that files in the wheel have, in seconds: SOURCE_DATE_EPOCH, or that of the commit, or 1980."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or stated("GILSHIM_COMMIT_TIME")
    if not seconds.isdigit():
        found = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        seconds = found.stdout.decode().strip() or 0
    return max(int(seconds), 315532800)  # zip files know nothing earlier


PROGRAMS = "libgilshim.so", "gilshim-inspect"


def read_built(build):
    """Returns the content of the files that make has built in this folder, by name."""
    built = {}
    for name in PROGRAMS + ("plot.html",):
        with open(os.path.join(build, name), "rb") as file:
            built[name] = file.read()
    return built


def pack(build, policy, folder):
    """Writes the wheel of what was built in BUILD into the folder. Returns its name."""
    built = read_built(build)
    tag, = {tag_of(elf, policy) for elf in (built[name] for name in PROGRAMS)}
    members = list(files(built)) + [(info_folder() + "/" + name, content, False) for name, content in metadata_files(tag)]
    record = ""
    for name, content, _ in members:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += "%s,sha256=%s,%d\n" % (name, digest, len(content))
    record += info_folder() + "/RECORD,,\n"
    members.append((info_folder() + "/RECORD", record.encode(), False))

    wheel = "gilshim-%s-%s.whl" % (stated("GILSHIM_VERSION"), tag)
    when = time.gmtime(source_time())[:6]
    os.makedirs(folder, exist_ok=True)
    new = os.path.join(folder, wheel + ".new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, executable in members:
            entry = zipfile.ZipInfo(name, when)
            entry.create_system = 3  # Unix, so that the next field is the mode
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    os.replace(new, os.path.join(folder, wheel))
    return wheel


# ---- what pip calls (PEP 517)


def make(*arguments):
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    environment.setdefault("CFLAGS", "-O2")  # without debug information
    subprocess.check_call(["make", "-C", ROOT] + list(arguments), env=environment, stdout=sys.stderr)


def local_build():
    make("BUILD=build/pip", "all")
    return os.path.join(ROOT, "build", "pip")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return pack(local_build(), "linux", wheel_directory)


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    tag = tag_of(read_built(local_build())["libgilshim.so"], "linux")
    folder = os.path.join(metadata_directory, info_folder())
    os.mkdir(folder)
    for name, content in metadata_files(tag):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    return info_folder()


def build_sdist(sdist_directory, config_settings=None):
    make("BUILD=build/pip", "dist")
    name = "gilshim-%s.tar.gz" % stated("GILSHIM_VERSION")
    os.replace(os.path.join(ROOT, "build", "pip", name), os.path.join(sdist_directory, name))
    return name


def main():
    parser = argparse.ArgumentParser(description="Packs what make has built into a wheel.")
    parser.add_argument("--build", required=True)
    parser.add_argument("--policy", default="linux", help="linux, or manylinux_2_28: the oldest glibc that is to do")
    parser.add_argument("--folder", required=True)
    arguments = parser.parse_args()
    print(os.path.join(arguments.folder, pack(arguments.build, arguments.policy, arguments.folder)))


if __name__ == "__main__":
    main()
