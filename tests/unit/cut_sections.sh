#!/bin/sh
# Takes the section headers off an ELF object (64-bit, little-endian), as sstrip and packers do: ld.so has no use for them.
# usage: cut_sections.sh FILE
set -eu
zero() {
    dd if=/dev/zero of="$1" bs=1 seek="$2" count="$3" conv=notrunc 2>/dev/null
}
zero "$1" 40 8 # e_shoff
zero "$1" 60 4 # e_shnum, e_shstrndx
