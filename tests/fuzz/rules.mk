# Damaged ELF objects: the shim's readers of loaded objects in memory, under ASan and UBSan, and whole processes that load them
# without the shim and with it. Included by the Makefile. `make fuzz FUZZ_FIRST=1000000` tries others than CI does;
# `make build/fuzz/libfuzzer` makes a program for clang's libFuzzer.

FUZZ_SECONDS ?= 20
FUZZ_COUNT ?= 1500
FUZZ_FIRST ?= 1
fuzz_out := build/fuzz
fuzz_flags := -std=gnu11 -O1 -g -D_GNU_SOURCE -Wall -Wextra -iquote shim -iquote tests/fuzz
fuzz_sources := tests/fuzz/readers.c $(unit_sources_redirect)
fuzz_headers := tests/fuzz/mutate.h tests/fuzz/rules.mk $(wildcard shim/*.h shim/*/*.h shim/*.def)
# Their section headers tell where their tables are, so not those that have none.
fuzz_objects = $(fuzz_out)/libpython.so $(filter-out %/libbare.so,$(unit_library_files))

.PHONY: fuzz
fuzz: $(library) $(fuzz_out)/readers $(fuzz_out)/load $(fuzz_out)/libpython.so $(unit_library_files)
	$(Q)ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:detect_leaks=0 $(fuzz_out)/readers $(FUZZ_SECONDS) $(FUZZ_FIRST) $(fuzz_objects)
	$(Q)tests/fuzz/run $(fuzz_out)/load $(abspath $(library)) $(FUZZ_FIRST) $(FUZZ_COUNT) $(abspath $(fuzz_objects))

$(fuzz_out)/readers: $(fuzz_sources) $(fuzz_headers)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(fuzz_flags) $(unit_sanitize) -o $@ $(fuzz_sources) -ldl
$(fuzz_out)/libfuzzer: $(fuzz_sources) $(fuzz_headers)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)clang $(fuzz_flags) -DWITH_LIBFUZZER -fsanitize=address,undefined,fuzzer -o $@ $(fuzz_sources) -ldl
$(fuzz_out)/load: tests/fuzz/load.c $(fuzz_headers)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(fuzz_flags) -o $@ $< -ldl
$(fuzz_out)/libpython.so: tests/fuzz/python.c $(fuzz_headers)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -w -O1 -fPIC -shared -iquote shim -Wl,-soname,libpython.so -o $@ $<

# gilshim-inspect --core, with core files of processes that hung or crashed (FUZZ_CORES) and their program (FUZZ_EXE=, in the environment);
# tests/49-core.bats has some made.
fuzz_core_sources = tests/fuzz/core.c $(filter-out shim/inspect/inspect.c,$(wildcard shim/inspect/*.c)) $(inspect_shared)
$(fuzz_out)/core: $(fuzz_core_sources) shim/inspect/inspect.c $(fuzz_headers)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(fuzz_flags) -include shim/platform.h -fexceptions $(unit_sanitize) -Wl,--wrap=core_image_read -o $@ $(fuzz_core_sources)
.PHONY: fuzz-core
fuzz-core: $(fuzz_out)/core
	$(Q)$(fuzz_out)/core $(FUZZ_FIRST) $(FUZZ_COUNT) $(FUZZ_CORES)
