# Unit tests of the parts of the shim that need no Python: ordinary programs under ASan and UBSan. Included by the
# Makefile; every program reports in TAP.

unit_out := build/unit
unit_flags := -std=gnu11 -O1 -g -D_GNU_SOURCE -Wall -Wextra -iquote shim -ftls-model=initial-exec -pthread
unit_sanitize := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
unit_tests := $(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c)) owner_ubsan

# What each test is linked with, besides itself.
unit_sources_text := shim/system/text.c
unit_sources_interpreter := -iquote tests/inspect/standin shim/inspect/interpreter.c shim/inspect/attached_thread.c shim/inspect/cpython_find.c shim/cpython/layout.c shim/inspect/machine_code.c shim/inspect/thread_descriptor.c shim/inspect/python_stack.c shim/inspect/python_text.c shim/inspect/code_lines.c shim/system/text.c
unit_sources_machine_code := shim/inspect/machine_code.c
# mmap is looked at: where it maps with MAP_FIXED.
unit_sources_mirror := -Wl,--wrap=mmap shim/inspect/objects.c shim/inspect/mirror.c shim/inspect/target.c shim/system/elf.c shim/system/cfi.c shim/system/cfi_entry.c shim/system/cfi_row.c shim/system/symtab.c shim/system/text.c
unit_sources_limited := shim/inspect/limited.c
unit_sources_nearest := shim/system/nearest.c
unit_sources_json := shim/system/json.c shim/system/text.c
unit_sources_suppress := shim/diagnose/suppress.c shim/system/text.c
unit_sources_journal := shim/journal/journal.c shim/journal/journal_read.c shim/journal/modules.c shim/system/ticks.c shim/system/list.c shim/system/elf.c shim/system/elf_loaded.c shim/system/redirected.c shim/system/thunks.c shim/system/thunks.S shim/system/loader.c shim/system/dlsym_hook.c shim/system/thread.c shim/system/thread_wait.c shim/system/thread_self.c shim/system/text.c
unit_sources_options := shim/process/options.c shim/process/options_read.c shim/system/path.c shim/system/list.c shim/system/nearest.c shim/system/text.c
unit_sources_symbol := shim/system/symbol.c shim/system/symbol_file.c shim/system/symtab.c shim/system/glimpse.c shim/system/elf.c shim/system/elf_loaded.c shim/system/redirected.c shim/system/thunks.c shim/system/thunks.S shim/system/loader.c shim/system/dlsym_hook.c shim/system/thread.c shim/system/thread_wait.c shim/system/thread_self.c shim/system/text.c
unit_sources_thunks := shim/system/thunks.c shim/system/thunks.S
unit_sources_thread := shim/system/thread.c shim/system/thread_wait.c shim/system/thread_self.c shim/system/text.c
unit_sources_registry := shim/states/registry.c shim/process/locks.c
unit_sources_elf := shim/system/elf.c shim/system/elf_loaded.c shim/system/redirected.c shim/system/thunks.c shim/system/thunks.S shim/system/loader.c shim/system/dlsym_hook.c shim/system/thread.c shim/system/thread_wait.c shim/system/thread_self.c shim/system/text.c
unit_sources_current := shim/cpython/current.c shim/system/tls.c $(unit_sources_elf)
unit_sources_slot := shim/cpython/slot.c shim/system/tls.c $(unit_sources_elf)
unit_sources_stacks := shim/diagnose/stacks.c shim/system/call_site.c shim/system/cfi.c shim/system/cfi_entry.c shim/system/cfi_row.c $(unit_sources_elf)
unit_sources_redirect := shim/system/redirect.c shim/system/glimpse.c shim/system/elf.c shim/system/elf_loaded.c shim/system/redirected.c shim/system/thunks.c shim/system/thunks.S shim/system/loader.c shim/system/dlsym_hook.c shim/system/thread.c shim/system/thread_wait.c shim/system/thread_self.c shim/system/text.c
unit_sources_nesting := shim/rules/nesting.c shim/states/blocks.c shim/system/list.c
unit_sources_lifecycle := shim/hooks/lifecycle.c shim/states/taken.c
unit_sources_two_states := shim/hooks/two_states.c
unit_sources_owner := shim/states/owner.c shim/states/dead_states.c shim/states/owner_pool.c shim/states/owner_states.c shim/states/taken.c shim/states/blocks.c shim/system/list.c shim/states/registry.c shim/process/locks.c shim/process/options.c shim/process/options_read.c shim/system/nearest.c shim/system/path.c shim/system/text.c

# The libraries that elf and redirect work on: not sanitized, built with what linkers there are, and changed afterwards by what
# tools there are. `highbase` is linked at an address above all that a process has, `rodynamic` has a dynamic section that
# ld.so can't write to, `patched` had its strings moved to a segment of their own, `bare` has no section headers.
unit_linkers := $(foreach l,gold lld mold,$(if $(shell command -v ld.$l),$l))
unit_has_relr := $(shell $(CC) -shared -Wl,-z,pack-relative-relocs -Wl,--fatal-warnings -nostdlib -o /dev/null -x c /dev/null 2>&1 || echo no)
unit_libraries := plain sysv both now norelro separate noseparate highbase bare $(unit_linkers) $(if $(unit_has_relr),,relr) \
	$(if $(filter lld,$(unit_linkers)),rodynamic) $(if $(shell command -v patchelf),patched patched_sysv)
unit_importers := lazy now noplt norelro noplt_norelro
unit_lib_plain := -Wl,--hash-style=gnu
unit_lib_sysv := -Wl,--hash-style=sysv
unit_lib_both := -Wl,--hash-style=both
unit_lib_now := -Wl,-z,now -Wl,-z,relro
unit_lib_norelro := -Wl,-z,norelro
unit_lib_gold := -fuse-ld=gold -Wl,--hash-style=gnu
unit_lib_lld := -fuse-ld=lld -Wl,--hash-style=gnu
unit_lib_mold := -fuse-ld=mold -Wl,--hash-style=gnu
unit_lib_separate := -Wl,-z,separate-code
unit_lib_noseparate := -Wl,-z,noseparate-code
unit_lib_highbase := -Wl,-Ttext-segment=0x800000000000
unit_lib_relr := -Wl,-z,pack-relative-relocs
unit_lib_rodynamic := -fuse-ld=lld -Wl,-z,rodynamic
unit_lib_patched_sysv := -Wl,--hash-style=sysv
unit_patch := patchelf --set-rpath /$(subst $(eval) ,/,$(foreach n,1 2 3 4 5,long long long long long long long long))
unit_post_patched := $(unit_patch)
unit_post_patched_sysv := $(unit_patch)
unit_post_bare := tests/unit/cut_sections.sh
unit_imp_lazy := -Wl,-z,lazy -Wl,-z,relro
unit_imp_now := -Wl,-z,now -Wl,-z,relro
unit_imp_noplt := -fno-plt -Wl,-z,now -Wl,-z,relro
unit_imp_norelro := -Wl,-z,lazy -Wl,-z,norelro
unit_imp_noplt_norelro := -fno-plt -Wl,-z,norelro
unit_library_files := $(unit_libraries:%=$(unit_out)/lib%.so)
unit_importer_files := $(unit_importers:%=$(unit_out)/import_%.so)

unit_versioned_files := $(unit_out)/versions_gnu.so $(unit_out)/versions_sysv.so

# Late libpythons, with each model of thread-locals that the compiler has.
unit_has_tlsdesc := $(shell $(CC) -mtls-dialect=gnu2 -S -o /dev/null -x c /dev/null 2>/dev/null && echo desc)
unit_lates := general exec $(unit_has_tlsdesc)
unit_late_general := -ftls-model=global-dynamic
unit_late_exec := -ftls-model=initial-exec
unit_late_desc := -mtls-dialect=gnu2
unit_late_files := $(unit_lates:%=$(unit_out)/late_%.so)

unit_arguments_elf := $(unit_library_files) -- $(unit_versioned_files)
unit_arguments_current := $(unit_late_files)
unit_arguments_slot := $(unit_late_files)
unit_arguments_redirect := $(unit_library_files) -- $(unit_importer_files)

# Status 1 is that of a program which has told its failures itself.
define unit_run
echo '# $t'; status=0; ASAN_OPTIONS=detect_leaks=0 timeout -s KILL 300 $(unit_out)/$t $(unit_arguments_$t) || status=$$?; \
[ $$status -eq 0 ] || failed=1; [ $$status -le 1 ] || echo "not ok - $t died with status $$status";
endef

.PHONY: unit
unit: $(unit_tests:%=$(unit_out)/%)
	$(Q)failed=0; $(foreach t,$(unit_tests),$(unit_run)) exit $$failed

unit_headers := $(wildcard tests/unit/*.h shim/*.h shim/*.def shim/*/*.[ch])
# Once more without ASan, which can't bear some of its tests.
$(unit_out)/owner_ubsan: tests/unit/test_owner.c $(unit_headers)
	$(call say,UNIT,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(unit_flags) $(subst address$(comma),,$(unit_sanitize)) -o $@ $< $(unit_sources_owner)
$(filter-out %_ubsan,$(unit_tests:%=$(unit_out)/%)): $(unit_out)/%: tests/unit/test_%.c $(unit_headers)
	$(call say,UNIT,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(unit_flags) $(unit_sanitize) -o $@ $< $(unit_sources_$*) -ldl
$(unit_out)/elf $(unit_out)/redirect: $(unit_library_files) $(unit_importer_files)
$(unit_out)/elf: $(unit_versioned_files)
$(unit_out)/current $(unit_out)/slot: $(unit_late_files)

$(unit_library_files): $(unit_out)/lib%.so: tests/unit/library.c tests/unit/rules.mk tests/unit/cut_sections.sh
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O1 -g -fPIC -shared $(unit_lib_$*) -Wl,-soname,lib$*.so -o $@ $<
	$(Q)$(if $(unit_post_$*),$(unit_post_$*) $@)
$(unit_versioned_files): $(unit_out)/versions_%.so: tests/unit/versions.c tests/unit/versions.map tests/unit/rules.mk
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O1 -g -fPIC -shared -Wl,--hash-style=$* -Wl,--version-script=tests/unit/versions.map -o $@ $<
$(unit_importer_files): $(unit_out)/import_%.so: tests/unit/importer.c $(unit_out)/libplain.so
	$(Q)$(CC) -O1 -g -fPIC -shared $(unit_imp_$*) -Wl,-rpath,'$$ORIGIN' -o $@ $< $(unit_out)/libplain.so
$(unit_late_files): $(unit_out)/late_%.so: tests/unit/late.c tests/unit/rules.mk
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O1 -g -fPIC -shared $(unit_late_$*) -o $@ $<
