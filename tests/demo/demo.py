"""Two native modules, each correct, in one program. See engine.c and codec.c."""

import sys

import engine
import codec


def say(text):
    sys.stdout.write("    %s\n" % text)
    sys.stdout.flush()


def on_engine_thread(who):
    say("2. in a call-back on " + who + ": calling codec, which enters Python in its own way ...")
    codec.encode(None)
    say("   ... and is back.")


def notified(who):
    say("4. in a call-back of " + who + ".")


say("1. engine starts a native thread and calls back.")
engine.run(on_engine_thread)
say("3. codec enters Python and notifies engine, which enters it once more ...")
codec.encode(notified)
say("   ... and is back.")
say("5. done.")
