# Prints what is read from a process's memory about its CPython, for each-python/67-memory.bats. Included by the Makefile.

inspect_out := build/inspect
inspect_sources := tests/inspect/show.c tests/inspect/process.c shim/system/text.c shim/cpython/layout.c $(addprefix shim/inspect/, \
	interpreter.c attached_thread.c cpython_find.c machine_code.c thread_descriptor.c python_stack.c python_text.c code_lines.c)

$(inspect_out)/show: $(inspect_sources) $(wildcard shim/inspect/*.h shim/cpython/layout.h shim/cpython/layouts.def tests/inspect/*.h tests/inspect/standin/*/*.h) tests/inspect/rules.mk
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O1 -g -D_GNU_SOURCE $(warnings) -iquote tests/inspect/standin -iquote shim -include shim/platform.h \
		$(unit_sanitize) -o $@ $(inspect_sources)
