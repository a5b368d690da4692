"""The programs of the nesting suite: which blocks are legal where, all chains, random trees, reading and shrinking.

A program is (start, blocks), a block is (name, blocks)."""

import re

# What the thread has where a block stands.
ATTACHED = "attached"  # a state and the GIL
DETACHED = "detached"  # nothing
HELD = "held"  # the GIL and no state: up to 3.11, inside PyThreadState_Swap(NULL)
NULL = "null"  # the same from 3.12 on, where Swap(NULL) lets go of the GIL

STARTS = {"main": ATTACHED, "thread": ATTACHED, "foreign": DETACHED, "sub": ATTACHED, "gil": ATTACHED, "many": DETACHED}

EVER = ((0, 0), (9, 9))
PYBIND = ((3, 0), (9, 9))
PEP788 = ((3, 15), (9, 9))
OWN_GIL = ((3, 12), (9, 9))

# name: where it is legal, what is inside, for which versions. tests/fixtures/nesting/blocks.c says what each does.
BLOCKS = {
    "ensure": ((ATTACHED, DETACHED, NULL), ATTACHED, EVER),
    "oldA": ((ATTACHED, DETACHED, NULL), ATTACHED, EVER),
    "oldB": ((ATTACHED, DETACHED, NULL), ATTACHED, EVER),
    "new": ((ATTACHED, DETACHED, NULL), ATTACHED, EVER),
    "newd": ((ATTACHED, DETACHED, NULL), ATTACHED, EVER),
    "own": ((ATTACHED, DETACHED, NULL), ATTACHED, EVER),
    "again": ((ATTACHED,), ATTACHED, EVER),
    "swap": ((ATTACHED, HELD), ATTACHED, EVER),
    "swapnull": ((ATTACHED,), HELD, EVER),
    "sub": ((ATTACHED, HELD, NULL), ATTACHED, EVER),
    "release": ((ATTACHED,), DETACHED, EVER),
    "detach": ((ATTACHED,), DETACHED, EVER),
    "relA": ((ATTACHED,), DETACHED, EVER),
    "relB": ((ATTACHED,), DETACHED, EVER),
    "disA": ((ATTACHED,), DETACHED, EVER),
    "disB": ((ATTACHED,), DETACHED, EVER),
    "py": ((ATTACHED,), ATTACHED, EVER),
    "ctypes": ((ATTACHED,), ATTACHED, EVER),
    "ctypesheld": ((ATTACHED,), ATTACHED, EVER),
    "thread": ((ATTACHED,), ATTACHED, EVER),
    "pthread": ((ATTACHED, DETACHED, NULL), DETACHED, EVER),
    "handed": ((ATTACHED,), ATTACHED, EVER),
    "movedA": ((ATTACHED,), ATTACHED, EVER),
    "movedB": ((ATTACHED,), ATTACHED, EVER),
    "made": ((ATTACHED, DETACHED, NULL), ATTACHED, EVER),
    "lent": ((ATTACHED, DETACHED, NULL), ATTACHED, EVER),
    "keepA": ((DETACHED, NULL), DETACHED, EVER),
    "keepB": ((DETACHED, NULL), DETACHED, EVER),
    "cached": ((ATTACHED, DETACHED, NULL), ATTACHED, EVER),
    "token": ((ATTACHED, DETACHED, NULL), ATTACHED, PEP788),
    "view": ((ATTACHED, DETACHED, NULL), ATTACHED, PEP788),
    "tokensub": ((ATTACHED, NULL), ATTACHED, PEP788),
    "oldP": ((ATTACHED, DETACHED, NULL), ATTACHED, PYBIND),
    "relP": ((ATTACHED,), DETACHED, PYBIND),
    "disP": ((ATTACHED,), DETACHED, PYBIND),
    "movedP": ((ATTACHED,), ATTACHED, PYBIND),
    "keepP": ((DETACHED, NULL), DETACHED, PYBIND),
    "unlock": ((ATTACHED,), DETACHED, ((0, 0), (3, 8))),
    "lock": ((DETACHED,), ATTACHED, ((0, 0), (2, 7))),
    "gil": ((ATTACHED, DETACHED, NULL), ATTACHED, OWN_GIL),
    "gilaway": ((ATTACHED, DETACHED, NULL), ATTACHED, OWN_GIL),
}

# The same blocks with a state of the main interpreter, or of one of two that have their own GILs.
SIDES = ("main", "east", "west")
ANYWHERE = ("swap", "new", "own", "made", "lent")
ASIDE = {name + side: name for name in ANYWHERE for side in SIDES}
BLOCKS.update({name: ((ATTACHED, DETACHED, NULL), ATTACHED, OWN_GIL) for name in ASIDE})

# What is generated only if it is asked for: with these the random trees of a seed would be others.
GILS = ("gil", "gilaway") + tuple(ASIDE)
GIL_STARTS = ("gil", "many")


# Without a GIL in the build, on or off, a state's memory belongs to the thread that made it, and debug builds assert that no other
# thread uses it.
WITH_ANOTHERS_STATE = ("handed",) + tuple(name for name in BLOCKS if name.startswith(("made", "lent", "moved")))

# The attached state stays the same.
KEEPS_STATE = ("ensure", "py", "ctypes", "ctypesheld", "cached")

# On another OS thread.
ELSEWHERE = ("thread", "pthread", "handed", "movedA", "movedB", "movedP")

# AcquireThread or RestoreThread of a state that a program made; where one is attached, over that one.
BY_HAND = ("new", "newd", "made", "lent", "own", "again")

# PyEval_SaveThread by the object that the block is in.
SAVES = ("release", "relA", "relB", "relP", "disA", "disB", "disP", "pthread", "handed", "movedA", "movedB", "movedP", "lent")


class Place:
    """Where a block stands: what the thread has there; which libraries keep a state; which may have one filed under their
    key (used), of these for which it is the attached one (here), and for which it is not the thread's first (apart); and
    whether the attached state was attached by hand over another one, and not counted up since: with AcquireThread (over),
    or with RestoreThread (own)."""

    def __init__(self, holding, kept=frozenset(), used=frozenset(), here=frozenset(), apart=frozenset(), over=False, own=False):
        self.holding, self.kept, self.used, self.here, self.apart = holding, kept, used, here, apart
        self.over, self.own = over, own

    def after(self, block):
        """The same place, after a block."""
        inside = libraries(block)
        return Place(self.holding, self.kept, self.used | inside, self.here - inside, self.apart, self.over, self.own)


def libraries(block):
    """Those whose blocks are in it."""
    name, blocks = block
    found = frozenset(name[-1]) if name[-1].isupper() else frozenset()
    return found.union(*[libraries(inner) for inner in blocks])


class Rules:
    """What is legal for a version. `undecided`: also what is known not to be decidable. `one_object`: all blocks are calls
    from one shared object. `lacking`: blocks that can't be played."""

    def __init__(self, version, undecided=False, one_object=False, lacking=()):
        self.version, self.undecided, self.one_object, self.lacking = version, undecided, one_object, lacking

    def inside(self, name, place):
        """The place inside the block, None where the block is not legal."""
        legal, within, (first, last) = BLOCKS[name]
        library = frozenset(name[-1]) if name[-1].isupper() else frozenset()
        held = place.holding == ATTACHED
        keeps = name.startswith("keep")
        if not first <= self.version <= last or name in self.lacking:
            return None
        if place.holding not in legal and not (keeps and held):
            return None
        # Misuse: gil_scoped_release(true) files the attached state in the place of the kept one, which would be lost. Not
        # where the kept one is the attached one: that is another's, and the library comes back to it with an empty key, too.
        if name.startswith(("dis", "moved")) and library & place.kept:
            return None
        name = ASIDE.get(name, name)
        if not self.undecided:
            # AcquireThread, ReleaseThread: the latter has to let go of the GIL here. In `again`, and wherever a program
            # attaches a state of its own when it is needed, the same calls have to go back to the state beneath.
            if name == "detach" and place.over:
                return None
            # `own[release]` and `own`: the same with RestoreThread and SaveThread, unless other objects make the calls.
            if name in SAVES and place.own and self.one_object:
                return None
            # A library that has a state of its own filed attaches it over the other one, counts it up twice, down once
            # and calls SaveThread. That has to go back to the state beneath here, but is the same as
            # `oldA[relA]` in which somebody called inc_ref(), where it has to let go of the GIL.
            if keeps and held and library & (place.used - place.here):
                return None
        if keeps and held:
            within = ATTACHED
        if within == HELD and self.version >= (3, 12):
            within = NULL
        over, own = held and name in BY_HAND, held and name == "own"
        # A Python frame shows nothing of itself, and PEP 788 counts in a place of its own, where the rules don't look.
        if name in ("py", "token", "view") and held:
            over, own = place.over, place.own
        if name in ELSEWHERE:
            return Place(within, used=library, here=library, apart=library)  # what is moved is not that thread's first
        kept = place.kept | (library if keeps and not held else frozenset())
        here = place.here if held and (keeps or name in KEEPS_STATE) else frozenset()
        here |= library if within == ATTACHED else frozenset()
        apart = place.apart | (library if name.startswith("dis") else frozenset())
        # ctypes lets go of the GIL, and up to 3.11 its call-back's Ensure attaches the thread's first state.
        if name == "ctypes" and self.version < (3, 12):
            here -= apart  # on a thread to which a state was moved it makes one
        return Place(within, kept, place.used | library, here, apart, over, own)

    def allow(self, program):
        start, blocks = program
        if start in GIL_STARTS and self.version < OWN_GIL[0]:
            return False
        return self.allow_all(blocks, Place(STARTS[start]))

    def allow_all(self, blocks, place):
        for name, inner in blocks:
            within = self.inside(name, place)
            if within is None or not self.allow_all(inner, within):
                return False
            if ASIDE.get(name, name) == "own" and not self.allow_all(inner, within.after((name, inner))):
                return False  # it plays them twice
            place = place.after((name, inner))
        return True


def text(program):
    start, blocks = program
    return start + ":" + "".join(" " + block_text(block) for block in blocks)


def block_text(block):
    name, blocks = block
    return name + ("[%s]" % " ".join(block_text(inner) for inner in blocks) if blocks else "")


def parse(line):
    start, colon, rest = line.partition(":")
    if not colon or start.strip() not in STARTS:
        raise SystemExit("no start: " + line)
    words = re.findall(r"\w+|\[|\]", rest)
    position = 0

    def blocks():
        nonlocal position
        found = []
        while position < len(words) and words[position] != "]":
            name = words[position]
            if name not in BLOCKS:
                raise SystemExit("no such block: %s in %s" % (name, line))
            position += 1
            within = []
            if position < len(words) and words[position] == "[":
                position += 1
                within = blocks()
                position += 1
            found.append((name, within))
        return found

    found = blocks()
    if position < len(words):
        raise SystemExit("one ] too many: " + line)
    return start.strip(), found


def smaller(program):
    """Programs with one thing less: a block gone, a block replaced by what is in it, a simpler start."""
    start, blocks = program
    for shorter in smaller_lists(blocks):
        yield start, shorter
    if start != "main":
        yield "main", blocks


def smaller_lists(blocks):
    for i, (name, inner) in enumerate(blocks):
        yield blocks[:i] + blocks[i + 1 :]
        if inner:
            yield blocks[:i] + inner + blocks[i + 1 :]
        for shorter in smaller_lists(inner):
            yield blocks[:i] + [(name, shorter)] + blocks[i + 1 :]


class Grammar:
    def __init__(self, rules, only=None, without=(), gils=False):
        self.rules = rules
        without = tuple(without) + (() if gils or only else GILS)
        self.names = [name for name in BLOCKS if (not only or name in only) and name not in without]
        self.starts = [start for start in STARTS if start not in GIL_STARTS or (gils and rules.version >= OWN_GIL[0])]

    def legal(self, place):
        for name in self.names:
            within = self.rules.inside(name, place)
            if within is not None:
                yield name, within

    def chains(self, depth):
        """All programs in which each block has at most one other inside."""
        lines = []
        for start in self.starts:
            outer = STARTS[start]
            lines.append(text((start, [])))
            lines += [text((start, [chain])) for chain in self.chains_in(Place(outer), depth)]
        return lines

    def chains_in(self, outer, depth):
        if depth == 0:
            return
        for name, within in self.legal(outer):
            yield name, []
            for inner in self.chains_in(within, depth - 1):
                yield name, [inner]

    def random_trees(self, count, depth, size, source):
        lines = []
        while len(lines) < count:
            start = source.choice(self.starts)
            program = start, self.random_blocks(Place(STARTS[start]), depth, [size], source)
            if self.rules.allow(program):
                lines.append(text(program))
        return lines

    def random_blocks(self, outer, depth, left, source):
        """Each list of blocks is short; at most left[0] blocks altogether."""
        blocks = []
        for _ in range(source.choice((1, 1, 1, 2, 2, 3))):
            choices = list(self.legal(outer))
            if depth == 0 or left[0] == 0 or not choices:
                break
            left[0] -= 1
            name, within = source.choice(choices)
            blocks.append((name, self.random_blocks(within, depth - 1, left, source)))
            outer = outer.after(blocks[-1])
        return blocks
